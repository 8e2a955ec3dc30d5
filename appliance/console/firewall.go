package console

import (
	"context"
	"errors"
	"strings"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/config"
)

// limitedShown is how many of the sources that were limited are named; mailctl
// firewall names all.
const limitedShown = 5

// openFirewall asks from which networks the box may be managed, and says who was
// limited.
func (m *model) openFirewall() tea.Cmd {
	return m.ask(func(ctx context.Context) then {
		s, err := m.box.Settings(ctx)
		var f *boxapi.Firewall
		if err == nil {
			f, err = m.box.Firewall(ctx)
		}
		return func() tea.Cmd {
			if err != nil {
				m.failed(err)
				return nil
			}
			m.openForm(m.firewall(*s, f))
			return nil
		}
	})
}

func (m *model) firewall(s boxapi.Settings, f *boxapi.Firewall) *form {
	T := m.c.T
	intro := T("Nobody opened too many connections within the last hour.")
	if len(f.Limited) > 0 {
		var sources []string
		for _, l := range f.Limited[:min(len(f.Limited), limitedShown)] {
			sources = append(sources, l.Source)
		}
		intro = T("Too many connections within the last hour, and held up for it: %s.", strings.Join(sources, ", "))
	}
	networks := newField(field{
		id: "administration", label: T("Managed from"),
		help: T("Networks such as 192.168.1.0/24, with spaces between. Empty: private networks only."),
		check: func(v string) error {
			for _, n := range strings.Fields(v) {
				if _, err := config.Subnet(n); err != nil {
					return errors.New(m.c.Refusal(err.Error()))
				}
			}
			return nil
		},
	}, strings.Join(s.Administration, " "))
	return &form{
		title: T("Firewall"), intro: intro, button: T("Change it"), fields: []*field{networks},
		submit: func(ctx context.Context) error {
			now, err := m.box.Settings(ctx)
			if err != nil {
				return err
			}
			now.Administration = strings.Fields(networks.value())
			_, err = m.box.SetSettings(ctx, *now)
			return err
		},
		done: m.back(T("The box is managed from these networks from now on.")),
	}
}
