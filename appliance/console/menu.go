package console

import (
	"context"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/mailapi"
)

// unlockedFor is how long the menus stay open to whoever stands there after
// the last key.
const unlockedFor = 10 * time.Minute

// openMenu shows the menu, after the administrator's password.
func (m *model) openMenu() tea.Cmd {
	if m.now().Before(m.unlockedUntil) {
		return m.open(m.menu())
	}
	T := m.c.T
	word := newField(field{id: "password", label: T("Administrator's password"), secret: true}, "")
	m.openForm(&form{
		title: T("Locked"), button: T("Open the menu"), fields: []*field{word},
		intro: T("Lost the password? Whoever stands at the box can set a new one: write a file pillarbox.toml with the lines [box] and admin_password = \"the new one\" to a USB stick, plug it in and restart the box."),
		submit: func(ctx context.Context) error {
			return m.mail.VerifyAdmin(ctx, mailapi.AdminLogin{Password: word.value()})
		},
		done: func() tea.Cmd {
			m.unlockedUntil = m.now().Add(unlockedFor)
			m.pop(1)
			return m.open(m.menu())
		},
	})
	return nil
}

// mailSilent tells that maild, which keeps the password, cannot be asked.
func (m *model) mailSilent() bool { return slices.Contains(m.state.Silent, "maild") }

// lookMenu is what is left of the menu while no password can be checked. It
// shows how the box is and changes nothing, to whoever stands there: who does
// could as well switch the box off and take the disk along. Without it there
// would be no log and no support bundle just when they are needed.
func (m *model) lookMenu() *list {
	T := m.c.T
	return &list{
		title: T("Menu"), free: true,
		intro: T("The mail service does not answer, and it keeps the password. What only shows how the box is can be opened without."),
		items: []item{
			{T("Health"), "", func() tea.Cmd { return m.open(m.healthList()) }},
			{T("Logs"), "", func() tea.Cmd { return m.open(m.logs()) }},
			{T("Test the network"), "", func() tea.Cmd { m.push(netTestScreen{}); return m.watchTests() }},
			{T("Support bundle to a USB stick"), "", m.openSupport},
		},
	}
}

// closeMenus takes the menus away from who has gone, or who had them only while
// no password could be checked.
func (m *model) closeMenus() {
	switch bottom := m.bottom().(type) {
	case *form: // the question for the password
		return
	case *list:
		if bottom.free && m.mailSilent() {
			return
		}
	}
	if m.now().After(m.unlockedUntil) {
		m.stack = nil
	}
}

func (m *model) menu() *list {
	T := m.c.T
	return &list{title: T("Menu"), items: []item{
		{T("Mailboxes and passwords"), "", func() tea.Cmd { return m.open(m.mailboxes()) }},
		{T("Aliases and groups"), "", func() tea.Cmd { return m.open(m.addresses()) }},
		{T("Connecting mail programs"), "", func() tea.Cmd { return m.openText(m.connecting()) }},
		{T("DNS records to set"), "", func() tea.Cmd { return m.openText(m.dns()) }},
		{T("Network and firewall"), "", func() tea.Cmd { return m.open(m.networkMenu()) }},
		{T("How mail leaves"), "", m.openSending},
		{T("Mail waiting to go out"), "", func() tea.Cmd { return m.open(m.waiting()) }},
		{T("What happened to a message"), "", m.openTrace},
		{T("Certificate"), "", func() tea.Cmd { return m.open(m.certificates()) }},
		{T("Health"), "", func() tea.Cmd { return m.open(m.healthList()) }},
		{T("Alerts"), "", func() tea.Cmd { return m.open(m.alerts()) }},
		{T("Logs"), "", func() tea.Cmd { return m.open(m.logs()) }},
		{T("Backup to a USB stick"), "", func() tea.Cmd { return m.open(m.backups()) }},
		{T("Support bundle to a USB stick"), "", m.openSupport},
		{T("Check the mail store"), "", m.openCheck},
		{T("Administrator's password"), "", m.openAdminPassword},
		{T("Language and keyboard"), "", func() tea.Cmd { return m.open(m.spoken()) }},
		{T("Command line"), "", m.openShell},
		{T("Factory reset"), "", m.openReset},
		{T("Restart or switch off"), "", func() tea.Cmd { return m.open(m.power()) }},
	}}
}

func (m *model) power() *list {
	T := m.c.T
	stop := func(label, intro, yes, done string, do func(context.Context) error) item {
		return item{label, "", func() tea.Cmd {
			m.confirm(label, intro, yes, func() tea.Cmd {
				return m.ask(func(ctx context.Context) then {
					err := do(ctx)
					return func() tea.Cmd {
						m.stack, m.notice = nil, done
						if err != nil {
							m.failed(err)
						}
						return nil
					}
				})
			})
			return nil
		}}
	}
	return &list{title: T("Restart or switch off"), intro: T("Mail that is under way is finished first."), items: []item{
		{T("Back"), "", func() tea.Cmd { m.pop(1); return nil }},
		stop(T("Restart"), T("Nobody can read or send mail for a minute or two. Mail from elsewhere comes later: its senders try again by themselves."), T("Yes, restart the box"), T("Restarting."), m.backend.Restart),
		stop(T("Switch off"), T("Nobody can read or send mail until somebody presses the power button of the box. Mail from elsewhere waits at its senders for some days, and is sent back after that."), T("Yes, switch the box off"), T("Switching off."), m.backend.PowerOff),
	}}
}

// spoken is one entry of the menu, which has to fit on 24 lines.
func (m *model) spoken() *list {
	T := m.c.T
	return &list{title: T("Language and keyboard"), items: []item{
		{T("Language"), "", func() tea.Cmd { return m.open(m.languages()) }},
		{T("Keyboard"), "", func() tea.Cmd { return m.open(m.keyboards()) }},
	}}
}

func (m *model) languages() *list {
	var items []item
	for _, l := range Languages() {
		items = append(items, item{l.Name, "", func() tea.Cmd {
			return m.ask(func(ctx context.Context) then {
				err := m.backend.Speak(ctx, l.Code)
				return func() tea.Cmd {
					m.stack = nil
					m.speak(l.Code)
					if err != nil {
						m.failed(err)
					}
					return nil
				}
			})
		}})
	}
	return &list{title: m.c.T("Language"), items: items}
}

func (m *model) openAdminPassword() tea.Cmd {
	T := m.c.T
	word, again := m.newPassword(T("New password"), func() string { return "" })
	m.openForm(&form{
		title: T("Administrator's password"), button: T("Change the password"), fields: []*field{word, again},
		submit: func(ctx context.Context) error {
			return m.mail.SetAdminPassword(ctx, mailapi.AdminPassword{New: word.value()})
		},
		done: m.back(T("The administrator has a new password.")),
	})
	return nil
}

// back goes back by one screen with a word of what was done.
func (m *model) back(notice string) func() tea.Cmd {
	return func() tea.Cmd {
		m.pop(1)
		m.notice = notice
		return m.reloadTop()
	}
}
