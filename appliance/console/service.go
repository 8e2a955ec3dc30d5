package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/mailapi"
)

// linesOfLog is how much of a service's log is shown: what a person scrolls through.
const linesOfLog = 500

// openSending asks how mail leaves: to each domain's own servers, or by a
// smart host.
func (m *model) openSending() tea.Cmd {
	return m.ask(func(ctx context.Context) then {
		s, err := m.mail.Settings(ctx)
		return func() tea.Cmd {
			if err != nil {
				m.failed(err)
				return nil
			}
			m.openForm(m.sending(s))
			return nil
		}
	})
}

func (m *model) sending(s *mailapi.Settings) *form {
	T := m.c.T
	smart := newSmartHost(m.c, T("A server of your provider, such as smtp.example.net. Empty: straight to each recipient's server, which needs port 25 to be open outwards."), s.SmartHost, true, nil)
	direct := func() bool { return smart.value() == "" }
	user := newField(field{id: "smart_host_user", label: T("User name there"), needless: direct}, s.SmartHostUser)
	help := ""
	if s.SmartHostPasswordSet {
		help = T("Empty: as it is.")
	}
	word := newField(field{
		id: "smart_host_password", label: T("Password there"), secret: true, help: help,
		needless: func() bool { return direct() || user.value() == "" },
		check: func(v string) error {
			if v == "" && !s.SmartHostPasswordSet {
				return errors.New(T("Please fill this in."))
			}
			return nil
		},
	}, "")
	return &form{
		title: T("How mail leaves"), button: T("Change it"), fields: []*field{smart.host, smart.port, user, word},
		submit: func(ctx context.Context) error {
			h, u, w := smart.value(), user.value(), word.value()
			if direct() { // nothing is left of the smart host
				u, w = "", ""
			}
			c := mailapi.SettingsChange{SmartHost: &h, SmartHostUser: &u}
			if w != "" || u == "" {
				c.SmartHostPassword = &w
			}
			_, err := m.mail.ChangeSettings(ctx, c)
			return err
		},
		done: m.back(T("Mail leaves as you said from now on.")),
	}
}

// waiting lists the queue; Enter says why one waits.
func (m *model) waiting() *list {
	T := m.c.T
	return &list{
		title: T("Mail waiting to go out"), intro: T("It is tried again by itself. Enter shows why one waits."),
		load: func(ctx context.Context) ([]item, error) {
			entries, err := m.mail.Queue(ctx)
			var items []item
			for _, e := range entries {
				items = append(items, item{e.Recipient, T("since %s", e.Created.In(m.zone).Format(minute)), func() tea.Cmd { return m.open(m.queued(e)) }})
			}
			if len(items) == 0 && err == nil {
				items = []item{{label: T("Nothing is waiting.")}}
			}
			return items, err
		},
	}
}

// minute is how moments are written: every language reads it in one way.
const minute = "2006-01-02 15:04"

// queued shows why a message waits.
func (m *model) queued(e mailapi.QueueEntry) *list {
	T := m.c.T
	parts := []string{T("From %s, %s, since %s.", cmp.Or(e.Sender, "-"), octets(e.Size), e.Created.In(m.zone).Format(minute))}
	if e.LastError != "" {
		parts = append(parts, T("The last answer: %s", e.LastError))
	}
	parts = append(parts, T("The next try is at %s.", e.Due.In(m.zone).Format(minute)))
	return &list{title: e.Recipient, intro: strings.Join(parts, "\n"), items: []item{
		{T("Back"), "", func() tea.Cmd { m.pop(1); return nil }},
		{T("Try it now"), "", func() tea.Cmd {
			return m.change(func(ctx context.Context) error { return m.mail.RetryQueued(ctx, e.ID) }, m.back(T("It is being tried now.")))
		}},
	}}
}

func (m *model) logs() *list {
	T := m.c.T
	return &list{title: T("Logs"), load: func(ctx context.Context) ([]item, error) {
		services, err := m.init.Services(ctx)
		if err != nil {
			return nil, err
		}
		items := []item{{T("Last events"), T("what an administrator should know of"), func() tea.Cmd { return m.openText(m.allEvents()) }}, {T("Everything"), "", func() tea.Cmd { return m.openText(m.log("")) }}}
		for _, s := range services {
			detail := T(s.State) + " " + T("since %s", s.Since.In(m.zone).Format(minute))
			if s.LastExit != "" {
				detail += "; " + s.LastExit
			}
			items = append(items, item{s.Name, detail, func() tea.Cmd { return m.openText(m.log(s.Name)) }})
		}
		items = append(items, item{T("The kernel"), "", func() tea.Cmd { return m.openText(m.log("kernel")) }})
		return items, nil
	}}
}

func (m *model) log(service string) *text {
	return &text{title: m.c.T("Logs") + " " + service, searched: true, load: func(ctx context.Context) ([]string, error) {
		log, err := m.init.Log(ctx, service, linesOfLog)
		lines := make([]string, 0, len(log))
		for _, l := range log {
			name := ""
			if service == "" {
				name = fit(l.Service, 8) + " "
			}
			lines = append(lines, l.Time.In(m.zone).Format(time.TimeOnly)+" "+name+l.Text)
		}
		return lines, err
	}}
}

// openCheck verifies the mail store and shows what was found.
func (m *model) openCheck() tea.Cmd {
	T := m.c.T
	t := &text{title: T("Check the mail store"), lines: []string{T("The store is being checked; mail goes on meanwhile.")}}
	m.push(t)
	return m.ask(func(ctx context.Context) then {
		report, err := m.mail.Check(ctx, mailapi.CheckRequest{}, nil)
		return func() tea.Cmd {
			if err != nil {
				t.lines = []string{T("That did not work: %s", m.c.why(err))}
				return nil
			}
			t.lines = []string{T("%d folders with %d messages were checked.", report.Mailboxes, report.Messages), ""}
			if len(report.Problems) == 0 {
				t.lines = append(t.lines, T("All is in order."))
			}
			for _, p := range report.Problems {
				t.lines = append(t.lines, fmt.Sprintf("! %s: %s", p.Where, p.What))
			}
			if report.Unlisted > 0 {
				t.lines = append(t.lines, "! "+T("and %d more problems", report.Unlisted))
			}
			return nil
		}
	})
}
