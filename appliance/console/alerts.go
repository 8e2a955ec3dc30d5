package console

import (
	"cmp"
	"context"
	"strings"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/healthapi"
)

// alerts lists whom the box tells of what it notices, and what it watches
// elsewhere; Enter changes the one.
func (m *model) alerts() *list {
	T := m.c.T
	return &list{title: T("Alerts"), intro: T("What the box does when something needs a look. Enter changes it."), load: func(ctx context.Context) ([]item, error) {
		s, err := m.health.Settings(ctx)
		if err != nil {
			return nil, err
		}
		turn := func(label string, on bool, change func(*healthapi.Settings)) item {
			detail := T("no")
			if on {
				detail = T("yes")
			}
			return item{label, detail, func() tea.Cmd {
				return m.ask(func(ctx context.Context) then {
					err := m.changeHealth(ctx, change)
					return func() tea.Cmd {
						if err != nil {
							m.failed(err)
						}
						return m.reloadTop()
					}
				})
			}}
		}
		fill := func(label, value string, open func(healthapi.Settings) *form) item {
			return item{label, cmp.Or(value, T("not set")), func() tea.Cmd { m.openForm(open(*s)); return nil }}
		}
		return []item{
			turn(T("Mail to the postmaster"), !s.NoMail, func(s *healthapi.Settings) { s.NoMail = !s.NoMail }),
			turn(T("Mail each Monday in any case"), s.Weekly, func(s *healthapi.Settings) { s.Weekly = !s.Weekly }),
			fill(T("Mail to an address elsewhere"), s.MailTo, m.mailElsewhere),
			fill(T("Webhook"), s.Webhook, func(s healthapi.Settings) *form {
				return m.oneAlert(T("Webhook"), "webhook", s.Webhook, T("An address such as https://chat.example.org/hook that is sent each change. Empty: none."),
					func(s *healthapi.Settings, v string) { s.Webhook = v })
			}),
			turn(T("Light of the server"), s.Light, func(s *healthapi.Settings) { s.Light = !s.Light }),
			turn(T("Speaker"), s.Speaker, func(s *healthapi.Settings) { s.Speaker = !s.Speaker }),
			fill(T("UPS"), s.UPS, func(s healthapi.Settings) *form {
				return m.oneAlert(T("UPS"), "ups", s.UPS, T("Its name and the NUT server it hangs on, such as rack@192.0.2.7. Empty: none."),
					func(s *healthapi.Settings, v string) { s.UPS = v })
			}),
			fill(T("Log server"), s.Syslog, m.logServer),
			turn(T("Metrics on port %d", healthapi.MetricsPort), s.Metrics, func(s *healthapi.Settings) { s.Metrics = !s.Metrics }),
			{T("Send a test"), "", m.testAlerts},
		}, nil
	}}
}

// changeHealth changes one thing of the settings as they are now.
func (m *model) changeHealth(ctx context.Context, change func(*healthapi.Settings)) error {
	s, err := m.health.Settings(ctx)
	if err != nil {
		return err
	}
	change(s)
	_, err = m.health.SetSettings(ctx, *s)
	return err
}

// reloadTop reads the list on the screen anew.
func (m *model) reloadTop() tea.Cmd {
	if l, ok := m.top().(*list); ok {
		return l.reload(m)
	}
	return nil
}

// oneAlert asks for one text.
func (m *model) oneAlert(title, id, value, help string, set func(s *healthapi.Settings, v string)) *form {
	f := newField(field{id: id, label: title, help: help}, value)
	return &form{
		title: title, button: m.c.T("Change it"), fields: []*field{f},
		submit: func(ctx context.Context) error {
			return m.changeHealth(ctx, func(s *healthapi.Settings) { set(s, f.value()) })
		},
		done: m.back(""),
	}
}

// mailElsewhere asks for the mail that does not go by the box's own.
func (m *model) mailElsewhere(s healthapi.Settings) *form {
	T := m.c.T
	to := newField(field{id: "mail_to", label: T("Address"), help: T("Empty: none.")}, s.MailTo)
	needless := func() bool { return to.value() == "" }
	smart := newSmartHost(m.c, T("Such as smtp.example.net."), s.SmartHost, false, needless)
	user := newField(field{id: "smart_host_user", label: T("User name there"), needless: needless}, s.SmartHostUser)
	help := ""
	if s.SmartHostPasswordSet {
		help = T("Empty: as it is.")
	}
	word := newField(field{id: "smart_host_password", label: T("Password there"), secret: true, help: help, needless: func() bool { return needless() || user.value() == "" }}, "")
	return &form{
		title: T("Mail to an address elsewhere"), button: T("Change it"), fields: []*field{to, smart.host, smart.port, user, word},
		intro: T("When the box's own mail is what is broken, a mailbox elsewhere still hears of it, by the server of a provider."),
		submit: func(ctx context.Context) error {
			return m.changeHealth(ctx, func(s *healthapi.Settings) {
				s.MailTo, s.SmartHost, s.SmartHostUser, s.SmartHostPassword = to.value(), smart.value(), user.value(), word.value()
				if needless() {
					s.SmartHost, s.SmartHostUser, s.SmartHostPassword = "", "", ""
				}
			})
		},
		done: m.back(""),
	}
}

// logServer asks where the logs go as well.
func (m *model) logServer(s healthapi.Settings) *form {
	T := m.c.T
	server := newField(field{id: "syslog", label: T("Log server"), help: T("Such as tls://logs.example.org:6514, or tcp:// or udp://. Empty: none.")}, s.Syslog)
	fingerprint := newField(field{
		id: "syslog_fingerprint", label: T("Fingerprint (SHA-256) of its certificate"), help: T("Empty: an authority vouches for it."),
		needless: func() bool { return !strings.HasPrefix(server.value(), "tls:") },
	}, s.SyslogFingerprint)
	return &form{
		title: T("Log server"), button: T("Change it"), fields: []*field{server, fingerprint},
		submit: func(ctx context.Context) error {
			return m.changeHealth(ctx, func(s *healthapi.Settings) {
				s.Syslog, s.SyslogFingerprint = server.value(), fingerprint.value()
				if fingerprint.hidden() {
					s.SyslogFingerprint = ""
				}
			})
		},
		done: m.back(""),
	}
}

// testAlerts has the box tell by each way, and shows what came of it.
func (m *model) testAlerts() tea.Cmd {
	T := m.c.T
	t := &text{title: T("Send a test"), lines: []string{T("One moment.")}}
	m.push(t)
	return m.ask(func(ctx context.Context) then {
		told, err := m.health.Test(ctx)
		return func() tea.Cmd {
			ways := map[string]string{"mail": T("Mail to the postmaster"), "relay": T("Mail to an address elsewhere"), "webhook": T("Webhook")}
			t.lines = nil
			for _, way := range told {
				t.lines = append(t.lines, fit(ways[way.Way], 34)+" "+cmp.Or(way.Error, T("sent")))
			}
			switch {
			case err != nil:
				t.lines = []string{T("That did not work: %s", m.c.why(err))}
			case len(told) == 0:
				t.lines = []string{T("Nobody is told of anything.")}
			}
			return nil
		}
	})
}
