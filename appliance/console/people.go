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

// mailboxes lists the people; each opens what can be done for the person.
func (m *model) mailboxes() *list {
	T := m.c.T
	return &list{
		title: T("Mailboxes and passwords"),
		load: func(ctx context.Context) ([]item, error) {
			users, err := m.mail.Users(ctx)
			if err != nil {
				return nil, err
			}
			domains, err := m.mail.Domains(ctx)
			items := []item{{"+ " + T("Add a mailbox"), "", func() tea.Cmd { return m.openAddMailbox(domains) }}}
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
	toggle, change := T("Close it: no more logging in"), func() tea.Cmd {
		m.confirm(u.Address, T("Whoever reads this mailbox is cut off at once, on each device, and cannot send any more. No mail is lost: what is there stays, what arrives is kept, and you can open the mailbox again at any time, with the same password."),
			T("Yes, close the mailbox"), func() tea.Cmd { return m.shutMailbox(u, true) })
		return nil
	}
	if u.Disabled {
		toggle, change = T("Open it again"), func() tea.Cmd { return m.shutMailbox(u, false) }
	}
	intro := u.Name
	if len(u.Aliases) > 0 {
		intro += "\n" + T("Also reached as %s", strings.Join(u.Aliases, ", "))
	}
	if u.Admin {
		intro += "\n" + T("Mail to the postmaster arrives here.")
	}
	l := &list{title: u.Address, intro: intro, items: []item{
		{T("New password"), "", func() tea.Cmd {
			word, again := m.newPassword(T("New password"), func() string { return u.Address })
			m.openForm(&form{
				title: u.Address, button: T("Change the password"), fields: []*field{word, again},
				intro: T("With the old one nobody gets in any more: the person has to type the new one into each mail program and phone."),
				submit: func(ctx context.Context) error {
					return m.mail.SetPassword(ctx, u.Address, mailapi.Password{Password: word.value()})
				},
				done: m.back(T("%s has a new password.", u.Address)),
			})
			return nil
		}},
		{toggle, "", change},
		{T("Code for a phone"), "", func() tea.Cmd { m.push(newPhone(m.state.Hostname, u)); return nil }},
		{T("Storage limit"), m.limit(u.Quota), func() tea.Cmd { m.openQuota(u); return nil }},
		{T("Remove it with all its mail"), "", func() tea.Cmd { m.openRemove(u); return nil }},
	}}
	if !u.Admin {
		l.items = slices.Insert(l.items, len(l.items)-1, item{T("Let it get the postmaster's mail too"), "", func() tea.Cmd { return m.makePostmaster(u) }})
	}
	return l
}

// makePostmaster lets a mailbox get what is sent to the postmaster. One has to: the
// last that does can be removed once there is another.
func (m *model) makePostmaster(u mailapi.User) tea.Cmd {
	admin := true
	return m.change(func(ctx context.Context) error {
		_, err := m.mail.ChangeUser(ctx, u.Address, mailapi.UserChange{Admin: &admin})
		return err
	}, m.back(m.c.T("Mail to the postmaster arrives at %s too.", u.Address)))
}

// shutMailbox closes a mailbox or opens it again.
func (m *model) shutMailbox(u mailapi.User, disabled bool) tea.Cmd {
	T := m.c.T
	said := T("%s is open again.", u.Address)
	if disabled {
		said = T("%s is closed.", u.Address)
	}
	return m.change(func(ctx context.Context) error {
		_, err := m.mail.ChangeUser(ctx, u.Address, mailapi.UserChange{Disabled: &disabled})
		return err
	}, m.back(said))
}

func (m *model) limit(quota int64) string {
	if quota == 0 {
		return m.c.T("no limit")
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
	octetsOf := func() int64 {
		n, _ := config.ParseSize(limit.value()) // checked; nothing is no limit
		return int64(n)
	}
	set := func(ctx context.Context) error {
		n := octetsOf()
		_, err := m.mail.ChangeUser(ctx, u.Address, mailapi.UserChange{Quota: &n})
		return err
	}
	done := func() tea.Cmd { m.pop(1); return m.back("")() }
	f := &form{title: u.Address, button: T("Set the limit"), fields: []*field{limit}, submit: set, done: done}
	f.before = func() bool {
		if n := octetsOf(); n == 0 || n > u.Used {
			return false
		}
		m.confirm(u.Address, T("%s are in this mailbox already. With a limit of %s it takes no new mail until some is deleted; its senders try for some days, then get theirs back. Nothing that is there is lost.", octets(u.Used), octets(octetsOf())),
			T("Yes, set the limit"), func() tea.Cmd { return f.send(m) })
		return true
	}
	m.openForm(f)
}

// openRemove asks for the address to be typed: nothing else takes a person's mail
// away for good.
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
		intro:  T("%s will be gone, and so will the aliases that lead here. Other than single deleted messages, nothing of it can be brought back later, but from a backup made before. To keep the person out and the mail here, close the mailbox instead.", m.c.Plural(u.Messages, "%d message", "%d messages")),
		submit: func(ctx context.Context) error { return m.mail.RemoveUser(ctx, u.Address) },
		done:   func() tea.Cmd { m.pop(1); return m.back(T("%s was removed.", u.Address))() },
	})
}

func (m *model) openAddMailbox(domains []mailapi.Domain) tea.Cmd {
	T := m.c.T
	address := m.newAddress(T("Address"), domains)
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
