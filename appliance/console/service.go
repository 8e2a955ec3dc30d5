package console

import (
	"context"
	"errors"
	"fmt"
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
				m.notice = m.c.T("That did not work: %s", err)
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
			h, u := smart.value(), user.value()
			c := mailapi.SettingsChange{SmartHost: &h, SmartHostUser: &u}
			if w := word.value(); w != "" {
				c.SmartHostPassword = &w
			}
			_, err := m.mail.ChangeSettings(ctx, c)
			return err
		},
		done: m.back(T("Mail leaves as you said from now on.")),
	}
}

// waiting lists the queue; Enter tries one now.
func (m *model) waiting() *list {
	T := m.c.T
	return &list{
		title: T("Mail waiting to go out"), intro: T("Enter tries one now."),
		load: func(ctx context.Context) ([]item, error) {
			entries, err := m.mail.Queue(ctx)
			var items []item
			for _, e := range entries {
				detail := T("since %s", e.Created.In(m.zone).Format("2006-01-02 15:04"))
				if e.LastError != "" {
					detail += ": " + e.LastError
				}
				items = append(items, item{e.Recipient, detail, func() tea.Cmd {
					return m.ask(func(ctx context.Context) then {
						err := m.mail.RetryQueued(ctx, e.ID)
						return func() tea.Cmd {
							m.notice = T("It is being tried now.")
							if err != nil {
								m.notice = T("That did not work: %s", err)
							}
							return nil
						}
					})
				}})
			}
			if len(items) == 0 && err == nil {
				items = []item{{label: T("Nothing is waiting.")}}
			}
			return items, err
		},
	}
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
			detail := T(s.State) + " " + T("since %s", s.Since.In(m.zone).Format("2006-01-02 15:04"))
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
				t.lines = []string{T("That did not work: %s", err)}
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
