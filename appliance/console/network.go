package console

import (
	"context"
	"errors"
	"strings"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/config"
)

// networkMenu is one entry of the menu, which has to fit on 24 lines.
func (m *model) networkMenu() *list {
	T := m.c.T
	return &list{title: T("Network and firewall"), items: []item{
		{T("Addresses"), "", m.openNetwork},
		{T("Test the network"), "", func() tea.Cmd { m.push(netTestScreen{}); return m.watchTests() }},
		{T("Time servers and search domains"), "", m.openServers},
		{T("Firewall"), "", m.openFirewall},
	}}
}

// openSettings opens a form about the box's settings as they are now.
func (m *model) openSettings(of func(boxapi.Settings) *form) tea.Cmd {
	return m.ask(func(ctx context.Context) then {
		s, err := m.box.Settings(ctx)
		return func() tea.Cmd {
			if err != nil {
				m.failed(err)
				return nil
			}
			m.openForm(of(*s))
			return nil
		}
	})
}

// openServers asks for what cuts nobody off when it is wrong, and so is kept at
// once.
func (m *model) openServers() tea.Cmd {
	return m.openSettings(m.servers)
}

func (m *model) servers(s boxapi.Settings) *form {
	T := m.c.T
	ntp := newField(field{
		id: "ntp", label: T("Time servers"),
		help: T("Names with spaces between; nts:// before each has them prove what they say. Empty: those of the network, or of the NTP pool."),
	}, strings.Join(s.NTP, " "))
	search := newField(field{
		id: "network.search", label: T("Search domains"), help: T("Empty: those of the network."),
	}, strings.Join(s.Network.Search, " "))
	return &form{
		title: T("Time servers and search domains"), button: T("Change it"), fields: []*field{ntp, search},
		submit: func(ctx context.Context) error {
			now, err := m.box.Settings(ctx)
			if err != nil {
				return err
			}
			now.NTP, now.Network.Search = strings.Fields(ntp.value()), strings.Fields(search.value())
			_, err = m.box.SetSettings(ctx, *now)
			return err
		},
	}
}

// openNetwork asks how the box gets its addresses.
func (m *model) openNetwork() tea.Cmd {
	return m.openSettings(m.network)
}

func (m *model) network(s boxapi.Settings) *form {
	T := m.c.T
	byDHCP, byHand := T("automatic (DHCP)"), T("fixed address")
	now := byDHCP
	if s.Network.Mode == boxapi.ModeStatic {
		now = byHand
	}
	mode := newField(field{id: "mode", label: T("Address"), options: []string{byDHCP, byHand}, help: T("Choose with the arrow keys.")}, "")
	mode.choose(now)
	fixed := func() bool { return mode.value() == byHand }
	question := func(id, label, help, value string, optional bool, check func(string) (string, error)) *field {
		return newField(field{id: id, label: label, help: help, needless: func() bool { return !fixed() }, check: func(v string) error {
			switch {
			case v == "" && optional:
				return nil
			case v == "":
				return errors.New(T("Please fill this in."))
			}
			if _, err := check(v); err != nil {
				return errors.New(m.c.Refusal(err.Error()))
			}
			return nil
		}}, value)
	}
	address := question("network.address", T("Fixed address"), T("With the length of the network, such as 192.168.1.10/24."), s.Network.Address, false, config.InterfaceAddress)
	gateway := question("network.gateway", T("Router"), "", s.Network.Gateway, true, config.IP)
	dns := question("network.dns", T("Name servers"), T("One or more addresses with spaces between."), strings.Join(s.Network.DNS, " "), true, func(v string) (string, error) {
		for _, ip := range strings.Fields(v) {
			if _, err := config.IP(ip); err != nil {
				return "", err
			}
		}
		return v, nil
	})
	intro := T("Whoever is connected is cut off when the address changes. Unless you keep the new one within two minutes, it is as before.")
	if len(s.Network.Interfaces) > 0 {
		intro += " " + T("The interfaces of this box have settings of their own, by a pillarbox.toml. What you say here takes their place.")
	}
	return &form{
		title: T("Network"), intro: intro, button: T("Change the network"), fields: []*field{mode, address, gateway, dns},
		submit: func(ctx context.Context) error {
			n := boxapi.Network{Mode: boxapi.ModeDHCP, Interface: s.Network.Interface, MTU: s.Network.MTU, Search: s.Network.Search}
			if now == byDHCP {
				n.DNS = s.Network.DNS // which may be set instead of the lease's
			}
			if fixed() {
				n.Mode, n.Address, n.Gateway = boxapi.ModeStatic, address.value(), gateway.value()
				n.DNS = strings.Fields(dns.value())
			}
			return m.box.TryNetwork(ctx, n)
		},
		done: func() tea.Cmd {
			m.pop(1)
			return m.open(m.keepNetwork())
		},
	}
}

// keepNetwork asks whether the new network works. No answer is a no: the box
// goes back by itself.
func (m *model) keepNetwork() *list {
	T := m.c.T
	return &list{
		title: T("Network"), intro: T("The new network is in force. See whether the box is reached, then keep it. After two minutes it is as before."),
		items: []item{
			{T("Keep it"), "", func() tea.Cmd {
				return m.ask(func(ctx context.Context) then {
					err := m.box.KeepNetwork(ctx)
					return func() tea.Cmd {
						m.pop(1)
						m.notice = T("The network is as you said from now on.")
						if err != nil {
							m.failed(err)
						}
						return nil
					}
				})
			}},
			{T("Wait, and let it be as before"), "", func() tea.Cmd { m.pop(1); return nil }},
		},
	}
}
