package console

import (
	"context"
	"errors"
	"strings"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/config"
)

// mailboxes lists the people; each opens what can be done for the person.
func (m *model) mailboxes() *list {
	T := m.c.T
	return &list{
		title: T("Mailboxes and passwords"),
		load: func(ctx context.Context) ([]item, error) {
			users, err := m.mail.Users(ctx)
			items := []item{{"+ " + T("Add a mailbox"), "", func() tea.Cmd { return m.openAddMailbox(users) }}}
			for _, u := range users {
				detail := m.c.Plural(u.Messages, "%d message", "%d messages") + ", " + octets(u.Used)
				if u.Quota > 0 {
					detail += " / " + octets(u.Quota)
				}
				if u.Disabled {
					detail = T("closed") + ", " + detail
				}
				items = append(items, item{u.Address, detail, func() tea.Cmd { return m.open(m.mailbox(u)) }})
			}
			return items, err
		},
	}
}

func (m *model) mailbox(u mailapi.User) *list {
	T := m.c.T
	toggle := T("Close it: no more logging in")
	if u.Disabled {
		toggle = T("Open it again")
	}
	return &list{title: u.Address, intro: u.Name, items: []item{
		{T("New password"), "", func() tea.Cmd {
			word, again := m.newPassword(T("New password"), func() string { return u.Address })
			m.openForm(&form{
				title: u.Address, button: T("Change the password"), fields: []*field{word, again},
				submit: func(ctx context.Context) error {
					return m.mail.SetPassword(ctx, u.Address, mailapi.Password{Password: word.value()})
				},
				done: m.back(T("%s has a new password.", u.Address)),
			})
			return nil
		}},
		{toggle, "", func() tea.Cmd {
			disabled := !u.Disabled
			return m.ask(func(ctx context.Context) then {
				_, err := m.mail.ChangeUser(ctx, u.Address, mailapi.UserChange{Disabled: &disabled})
				return func() tea.Cmd {
					if err != nil {
						m.notice = T("That did not work: %s", err)
						return nil
					}
					return m.back("")()
				}
			})
		}},
		{T("Code for a phone"), "", func() tea.Cmd { m.push(newPhone(m.state.Hostname, u)); return nil }},
		{T("Storage limit"), m.limit(u.Quota), func() tea.Cmd { m.openQuota(u); return nil }},
		{T("Remove it with all its mail"), "", func() tea.Cmd { m.openRemove(u); return nil }},
	}}
}

func (m *model) limit(quota int64) string {
	if quota == 0 {
		return m.c.T("none")
	}
	return octets(quota)
}

func (m *model) openQuota(u mailapi.User) {
	T := m.c.T
	size := ""
	if u.Quota > 0 {
		size = config.Size(u.Quota).String()
	}
	limit := newField(field{
		id: "quota", label: T("Storage limit"), help: T("Such as 5GB. Empty: no limit."),
		check: func(v string) error {
			if _, err := config.ParseSize(v); v != "" && err != nil {
				return errors.New(m.c.Refusal(err.Error()))
			}
			return nil
		},
	}, size)
	m.openForm(&form{
		title: u.Address, button: T("Set the limit"), fields: []*field{limit},
		submit: func(ctx context.Context) error {
			var n config.Size
			if v := limit.value(); v != "" {
				var err error
				if n, err = config.ParseSize(v); err != nil {
					return err
				}
			}
			octets := int64(n)
			_, err := m.mail.ChangeUser(ctx, u.Address, mailapi.UserChange{Quota: &octets})
			return err
		},
		done: func() tea.Cmd { m.pop(1); return m.back("")() },
	})
}

// openRemove asks for the address to be typed: nothing else takes mail away
// for good.
func (m *model) openRemove(u mailapi.User) {
	T := m.c.T
	typed := newField(field{
		id: "address", label: T("Type the address to remove it"),
		check: func(v string) error {
			if !strings.EqualFold(v, u.Address) {
				return errors.New(T("This is not the address %s.", u.Address))
			}
			return nil
		},
	}, "")
	m.openForm(&form{
		title: u.Address, button: T("Remove it with all its mail"), fields: []*field{typed},
		intro:  T("%s will be gone. It cannot be undone here; a backup would bring it back.", m.c.Plural(u.Messages, "%d message", "%d messages")),
		submit: func(ctx context.Context) error { return m.mail.RemoveUser(ctx, u.Address) },
		done:   func() tea.Cmd { m.pop(1); return m.back(T("%s was removed.", u.Address))() },
	})
}

// openAddMailbox proposes an address in the domain of the people there are, where
// that is one.
func (m *model) openAddMailbox(users []mailapi.User) tea.Cmd {
	T := m.c.T
	address := newField(field{
		id: "address", label: T("Address"),
		check: func(v string) error {
			if _, err := config.Address(v); err != nil {
				return errors.New(m.c.Refusal(err.Error()))
			}
			return nil
		},
	}, "")
	domains := map[string]bool{}
	for _, u := range users {
		_, d, _ := strings.Cut(u.Address, "@")
		domains[d] = true
	}
	if len(domains) == 1 {
		for d := range domains {
			address.proposeDomain(d)
		}
	}
	name := newField(field{id: "name", label: T("Name of the person")}, "")
	word, again := m.newPassword(T("Password of this mailbox"), address.value)
	m.openForm(&form{
		title: T("Add a mailbox"), button: T("Add a mailbox"), fields: []*field{address, name, word, again},
		submit: func(ctx context.Context) error {
			_, err := m.mail.AddUser(ctx, mailapi.NewUser{Address: address.value(), Name: name.value(), Password: word.value()})
			return err
		},
		done: func() tea.Cmd { return m.back(T("%s can be used.", address.value()))() },
	})
	return nil
}

// newPassword asks for a password twice.
func (m *model) newPassword(label string, login func() string) (word, again *field) {
	T := m.c.T
	word = newField(field{id: "password", label: label, secret: true, help: T("At least 8 characters."), check: strong(m.c, login)}, "")
	again = newField(field{id: "again", label: T("The same password again"), secret: true, again: true, check: same(m.c, word)}, "")
	return word, again
}
