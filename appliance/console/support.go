package console

import (
	"context"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/mailapi"
)

// openSupport writes a support bundle to a stick.
func (m *model) openSupport() tea.Cmd {
	T := m.c.T
	message := newField(field{id: "message", label: T("A message it is about"), help: T("Its ID, its Message-ID or an address. Empty: none.")}, "")
	var file *boxapi.StickFile
	m.openForm(&form{
		title: T("Support bundle to a USB stick"), button: T("Write it to the stick"), fields: []*field{message},
		intro: T("Logs, health and settings in one file, for whoever looks for a fault. No mail and no password is in it, but addresses are. Plug in a stick formatted with FAT."),
		submit: func(ctx context.Context) (err error) {
			file, err = m.box.SupportToStick(ctx, boxapi.SupportRequest{Message: message.value()})
			if err != nil {
				return m.stickTrouble(err)
			}
			return nil
		},
		done: func() tea.Cmd {
			return m.back(T("%s (%s) is on the stick; pull it out.", file.Name, octets(file.Size)))()
		},
	})
	return nil
}

// openTrace asks what happened to a message.
func (m *model) openTrace() tea.Cmd {
	T := m.c.T
	about := newField(field{id: "about", label: T("Message or address"), help: T("An address of the sender or of a recipient, the ID of a message, or its Message-ID."),
		check: checked(m.c, func(v string) (string, error) { return v, nil })}, "")
	var found []mailapi.TracedMessage
	m.openForm(&form{
		title: T("What happened to a message"), button: T("Look it up"), fields: []*field{about},
		submit: func(ctx context.Context) (err error) {
			found, err = m.mail.Trace(ctx, about.value())
			return err
		},
		done: func() tea.Cmd {
			return m.openText(&text{title: T("What happened to a message"), lines: m.traceLines(found)})
		},
	})
	return nil
}

func (m *model) traceLines(found []mailapi.TracedMessage) []string {
	T := m.c.T
	if len(found) == 0 {
		return []string{T("Nothing is known of it. Records are kept for a month.")}
	}
	kinds := map[string]string{
		"accepted": T("accepted"), "sent": T("sent on"), "deferred": T("put off, to be tried again"),
		"failed": T("given up"), "bounced": T("the sender was told"), "removed": T("removed by the administrator"),
	}
	var lines []string
	for _, message := range found {
		lines = append(lines, message.ID)
		for _, s := range message.Steps {
			line := "  " + s.Time.In(m.zone).Format("2006-01-02 15:04:05") + "  " + kinds[s.Kind]
			if s.Kind == "accepted" {
				line += fmt.Sprintf(": <%s>, %s", s.Sender, octets(s.Size))
			}
			if answer := strings.TrimSpace(s.Host + " " + s.Reply); answer != "" {
				line += ": " + answer
			}
			lines = append(lines, line)
			for _, r := range s.Recipients {
				where := strings.Join(r.Queued, " ")
				if r.Mailboxes > 0 {
					where = m.c.Plural(int64(r.Mailboxes), "%d mailbox", "%d mailboxes")
				}
				lines = append(lines, strings.TrimRight("    > "+r.Address+"  "+where, " "))
			}
		}
		lines = append(lines, "")
	}
	return lines
}
