package console

import (
	"context"
	"errors"
	"strings"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/boxapi"
)

// openReset asks for the box's name to be typed before everything goes.
func (m *model) openReset() tea.Cmd {
	T := m.c.T
	typed := m.ownNameField(T("Type the name of this box to empty it"))
	m.openForm(&form{
		title: T("Factory reset"), button: T("Remove everything"), fields: []*field{typed},
		intro: T("All mail, all mailboxes and all settings will be gone: %s. Only a backup kept elsewhere brings them back. The box restarts and asks the first questions again; pull out a stick with a pillarbox.toml.",
			m.c.Plural(m.state.Mail.Messages, "%d message", "%d messages")),
		submit: func(ctx context.Context) error {
			return m.box.FactoryReset(ctx, boxapi.ResetRequest{Hostname: typed.value()})
		},
		done: func() tea.Cmd {
			m.stack, m.notice = nil, T("Restarting.")
			return nil
		},
	})
	return nil
}

// ownNameField is where the box's name is typed before something is lost.
func (m *model) ownNameField(label string) *field {
	return newField(field{
		id: "hostname", label: label,
		check: func(v string) error {
			if !strings.EqualFold(v, m.state.Hostname) {
				return errors.New(m.c.T("This is not the name %s.", m.state.Hostname))
			}
			return nil
		},
	}, "")
}
