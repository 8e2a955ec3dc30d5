package console

import (
	"context"
	"errors"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/config"
)

// addresses lists the addresses that are no mailboxes: an alias leads to one
// address, a group to several.
func (m *model) addresses() *list {
	T := m.c.T
	return &list{
		title: T("Aliases and groups"), intro: T("An alias is one more address of a mailbox. Mail to a group goes to each of its members."),
		load: func(ctx context.Context) ([]item, error) {
			domains, err := m.mail.Domains(ctx)
			if err != nil {
				return nil, err
			}
			aliases, err := m.mail.Aliases(ctx)
			if err != nil {
				return nil, err
			}
			groups, err := m.mail.Groups(ctx)
			if err != nil {
				return nil, err
			}
			items := []item{
				{"+ " + T("Add an alias"), "", func() tea.Cmd { return m.openAddAlias(domains) }},
				{"+ " + T("Add a group"), "", func() tea.Cmd { return m.openAddGroup(domains) }},
			}
			for _, a := range aliases {
				items = append(items, item{a.Address, T("leads to %s", a.Target), func() tea.Cmd { return m.open(m.alias(a)) }})
			}
			for _, g := range groups {
				detail := m.c.Plural(int64(len(g.Members)), "%d member", "%d members") + ": " + strings.Join(g.Members, ", ")
				items = append(items, item{g.Address, detail, func() tea.Cmd { return m.open(m.group(g.Address)) }})
			}
			return items, nil
		},
	}
}

// newAddress asks for an address of the box, with its domain where there is but one.
func (m *model) newAddress(label string, domains []mailapi.Domain) *field {
	f := newField(field{id: "address", label: label, check: checked(m.c, config.Address)}, "")
	if len(domains) == 1 {
		f.proposeDomain(domains[0].Name)
	}
	return f
}

func (m *model) openAddAlias(domains []mailapi.Domain) tea.Cmd {
	T := m.c.T
	address := m.newAddress(T("The further address"), domains)
	target := m.aliasTarget("", address.value)
	to := func() string { return inDomainOf(address.value(), target.value()) }
	m.openForm(&form{
		title: T("Add an alias"), button: T("Add an alias"), fields: []*field{address, target},
		submit: func(ctx context.Context) error {
			_, err := m.mail.AddAlias(ctx, mailapi.Alias{Address: address.value(), Target: to()})
			return err
		},
		done: func() tea.Cmd {
			return m.back(T("Mail to %s goes to %s from now on.", address.value(), to()))()
		},
	})
	return nil
}

// aliasTarget asks where mail to an alias goes.
func (m *model) aliasTarget(now string, alias func() string) *field {
	T := m.c.T
	check := checked(m.c, config.Member)
	return newField(field{id: "target", label: T("Mail to it goes to"), help: T("The address of a mailbox, such as ann@example.org; one elsewhere is possible too."), check: func(v string) error {
		return check(inDomainOf(alias(), v))
	}}, now)
}

func (m *model) alias(a mailapi.Alias) *list {
	T := m.c.T
	return &list{title: a.Address, intro: T("Mail to %s goes to %s.", a.Address, a.Target), items: []item{
		{T("Let it lead to another address"), "", func() tea.Cmd {
			target := m.aliasTarget(a.Target, func() string { return a.Address })
			to := func() string { return inDomainOf(a.Address, target.value()) }
			m.openForm(&form{
				title: a.Address, button: T("Change it"), fields: []*field{target},
				submit: func(ctx context.Context) error {
					target := to()
					_, err := m.mail.ChangeAlias(ctx, a.Address, mailapi.AliasChange{Target: &target})
					return err
				},
				done: func() tea.Cmd {
					m.pop(1)
					return m.back(T("Mail to %s goes to %s from now on.", a.Address, to()))()
				},
			})
			return nil
		}},
		{T("Remove the alias"), "", func() tea.Cmd {
			m.removeAddress(a.Address, T("Yes, remove the alias"), m.mail.RemoveAlias)
			return nil
		}},
	}}
}

// removeAddress asks back before an address is one no more.
func (m *model) removeAddress(address, yes string, remove func(ctx context.Context, address string) error) {
	T := m.c.T
	m.confirm(address, T("Mail to %s is refused from then on; its senders are told. No mail is lost: what has arrived lies in the mailboxes. You can add the address again at any time.", address), yes, func() tea.Cmd {
		return m.change(func(ctx context.Context) error { return remove(ctx, address) }, m.back(T("%s was removed.", address)))
	})
}

// change does something beside the screen, and then what follows where it worked.
func (m *model) change(do func(ctx context.Context) error, done func() tea.Cmd) tea.Cmd {
	return m.ask(func(ctx context.Context) then {
		err := do(ctx)
		return func() tea.Cmd {
			if err != nil {
				m.failed(err)
				return nil
			}
			return done()
		}
	})
}

func (m *model) openAddGroup(domains []mailapi.Domain) tea.Cmd {
	T := m.c.T
	address := m.newAddress(T("Address of the group"), domains)
	members := m.groupMembers("members", address.value)
	m.openForm(&form{
		title: T("Add a group"), button: T("Add a group"), fields: []*field{address, members},
		submit: func(ctx context.Context) error {
			_, err := m.mail.AddGroup(ctx, mailapi.Group{Address: address.value(), Members: addressesIn(members.value(), address.value())})
			return err
		},
		done: func() tea.Cmd { return m.back(T("%s can be used.", address.value()))() },
	})
	return nil
}

// groupMembers asks for members of the group that has an address; id is as the
// API names them.
func (m *model) groupMembers(id string, group func() string) *field {
	T := m.c.T
	return newField(field{id: id, label: T("Members"), help: T("Addresses with spaces between. More can be added later."), check: func(v string) error {
		list := addressesIn(v, group())
		if len(list) == 0 {
			return errors.New(T("Please fill this in."))
		}
		for _, a := range list {
			if _, err := config.Member(a); err != nil {
				return errors.New(a + ": " + m.c.Refusal(err.Error()))
			}
		}
		return nil
	}}, "")
}

// addressesIn are the addresses in a line, however they are parted.
func addressesIn(line, group string) []string {
	list := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ',' || r == ';' })
	for i, name := range list {
		list[i] = inDomainOf(group, name)
	}
	return list
}

// inDomainOf makes a name alone an address beside another one.
func inDomainOf(address, name string) string {
	_, domain, ok := strings.Cut(address, "@")
	if !ok || domain == "" || name == "" || strings.Contains(name, "@") {
		return name
	}
	return name + "@" + domain
}

// group shows who is in a group; Enter takes one out.
func (m *model) group(address string) *list {
	T := m.c.T
	return &list{
		title: address, intro: T("Mail to %s goes to each of these. Enter takes one out.", address),
		load: func(ctx context.Context) ([]item, error) {
			groups, err := m.mail.Groups(ctx)
			if err != nil {
				return nil, err
			}
			at := slices.IndexFunc(groups, func(g mailapi.Group) bool { return g.Address == address })
			if at < 0 {
				return nil, errors.New(T("This group is not there any more."))
			}
			items := []item{
				{"+ " + T("Add members"), "", func() tea.Cmd { return m.openAddMembers(address) }},
				{"- " + T("Remove the group"), "", func() tea.Cmd {
					m.removeAddress(address, T("Yes, remove the group"), m.mail.RemoveGroup)
					return nil
				}},
			}
			for _, member := range groups[at].Members {
				items = append(items, item{member, "", func() tea.Cmd {
					m.confirm(address, T("%s gets no mail to %s any more. What has arrived stays where it is.", member, address), T("Yes, take it out"), func() tea.Cmd {
						return m.change(func(ctx context.Context) error {
							_, err := m.mail.ChangeGroup(ctx, address, mailapi.GroupChange{Remove: []string{member}})
							return err
						}, m.reloadTop)
					})
					return nil
				}})
			}
			return items, nil
		},
	}
}

func (m *model) openAddMembers(group string) tea.Cmd {
	T := m.c.T
	members := m.groupMembers("add", func() string { return group })
	m.openForm(&form{
		title: group, button: T("Add members"), fields: []*field{members},
		submit: func(ctx context.Context) error {
			_, err := m.mail.ChangeGroup(ctx, group, mailapi.GroupChange{Add: addressesIn(members.value(), group)})
			return err
		},
		done: m.back(""),
	})
	return nil
}
