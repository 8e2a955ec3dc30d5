package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
)

// problemsShown is how many sentences of what is the matter find room on the
// status page of a small screen.
const problemsShown = 3

// statusView draws how the box is: first the answer to "is all well?", to be
// seen from the door, then what somebody on the telephone would ask for.
func statusView(t theme, c *Catalogue, s State, now time.Time, width, height int) []string {
	T := c.T
	var lines []string
	add := func(l ...string) { lines = append(lines, l...) }
	answer, bar := T("STARTING"), t.warnBar
	switch {
	case len(s.Problems) > 0:
		answer, bar = T("LOOK HERE"), t.badBar
		add(problemLines(t, c, s, width)...)
		if more := len(s.Problems) - problemsShown; more > 0 {
			add("    " + t.warn.Render(T("and %d more: Health in the menu", more)))
		}
	case s.Serving && s.SetUp:
		answer, bar = T("ALL WELL"), t.goodBar
		add("    " + T("Mail is served."))
	case s.MailError != "":
		for _, l := range wrap(T("The mail service does not answer. It is started again by itself; if it stays so for minutes, restart the box."), width-8) {
			add("    " + l)
		}
	default:
		add("    " + T("The box is getting ready."))
	}
	add("")
	label := func(name, value string) { add("  " + fit(name, 12) + fit(value, width-16)) }
	for i, l := range s.Links {
		name := ""
		if i == 0 {
			name = T("Network")
		}
		state := T("no cable or no link")
		if l.Up {
			state = strings.Join(l.Addresses, "  ")
			if state == "" {
				state = T("no address yet")
			}
		}
		label(name, l.Name+"  "+state)
	}
	if len(s.Links) == 0 {
		label(T("Network"), T("no network card found"))
	}
	if m := s.Mail; slices.Contains(s.Silent, "maild") { // no figure is better than a wrong one
		label(T("Mail"), T("not known now"))
	} else {
		label(T("Mail"), strings.Join([]string{
			c.Plural(m.Mailboxes, "%d mailbox", "%d mailboxes"),
			c.Plural(m.Messages, "%d message", "%d messages"),
			T("%d waiting to go out", m.Queued),
		}, ", "))
	}
	if s.Disk.Total > 0 {
		text := T("%s free of %s", octets(s.Disk.Free), octets(s.Disk.Total))
		if s.Disk.Name != "" {
			text += ", " + s.Disk.Name
		}
		label(T("Disk"), text)
	}
	clock := T("not yet compared with a time server")
	if s.Clock.Synced {
		clock = T("in step with a time server")
	}
	label(T("Clock"), now.Format("2006-01-02 15:04 MST")+", "+clock)
	add("")
	add(serviceLines(t, c, s.Services, width)...)
	lines = append(banner(bar, answer, width, height-len(lines)), lines...)
	return append(lines, lastEvents(t, c, s.Events, now.Location(), width, height-len(lines))...)
}

// lastEvents draws as many of the latest events as there is room for, each whole.
func lastEvents(t theme, c *Catalogue, events []Event, zone *time.Location, width, room int) []string {
	lines := []string{"", "  " + t.bold.Render(c.T("Last events"))}
	for i, e := range events {
		text := hang(eventLine(c, e, zone), len(eventStamp), width-4)
		if left := room - len(lines); len(text) > left {
			if i > 0 || left < 1 {
				break
			}
			text = text[:left]
		}
		for _, l := range text {
			switch e.Level {
			case "error":
				l = t.bad.Render(l)
			case "warning":
				l = t.warn.Render(l)
			}
			lines = append(lines, "  "+l)
		}
	}
	if len(lines) == 2 {
		return nil
	}
	return lines
}

// banner is a bar of colour across the screen with a word in it, as high as
// there is room for.
func banner(bar lipgloss.Style, word string, width, room int) []string {
	left := max(0, width-lipgloss.Width(word)) / 2
	lines := []string{bar.Render(fit(strings.Repeat(" ", left)+word, width))}
	if empty := bar.Render(strings.Repeat(" ", width)); room >= 3 {
		lines = []string{empty, lines[0], empty}
	}
	return lines
}

// problemLines are the first sentences about what is the matter.
func problemLines(t theme, c *Catalogue, s State, width int) (lines []string) {
	for _, p := range s.Problems[:min(len(s.Problems), problemsShown)] {
		for _, l := range wrap(c.Report(p), width-8) {
			lines = append(lines, "    "+t.warn.Render(l))
		}
	}
	return lines
}

// wizardProblems are the same on the first page of the wizard: why a box that
// was given a provisioning file asks questions after all, for one.
func wizardProblems(t theme, c *Catalogue, s State) []string {
	lines := problemLines(t, c, s, 80)
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	return lines
}

// networkFacts says how each network card is connected.
func networkFacts(t theme, c *Catalogue, s State) []string {
	T := c.T
	var lines []string
	row := func(label, value string) { lines = append(lines, "  "+fit(label, 20)+value) }
	for _, l := range s.Links {
		switch {
		case !l.Up:
			row(l.Name, t.warn.Render(T("no cable or no link")))
		case len(l.Addresses) == 0:
			row(l.Name, t.warn.Render(T("no address yet")))
		default:
			row(l.Name, t.good.Render(fit(strings.Join(l.Addresses, "  "), 54)))
		}
	}
	if len(s.Links) == 0 {
		row(T("Network"), t.bad.Render(T("no network card found")))
	}
	return lines
}

// serviceLines names the services, several a row.
func serviceLines(t theme, c *Catalogue, services []Service, width int) []string {
	var cells []string
	for _, s := range services {
		text := s.Name + " " + c.T(s.State)
		if s.Restarts > 0 {
			text += fmt.Sprintf(" (%s)", c.Plural(int64(s.Restarts), "%d restart", "%d restarts"))
		}
		text = fit(text, 30)
		switch s.State {
		case "running":
		case "failed", "backoff":
			text = t.bad.Render(text)
		default:
			text = t.dim.Render(text)
		}
		cells = append(cells, text)
	}
	per := max(1, (width-14)/31)
	var lines []string
	for i := 0; i < len(cells); i += per {
		name := ""
		if i == 0 {
			name = c.T("Services")
		}
		lines = append(lines, "  "+fit(name, 12)+strings.Join(cells[i:min(i+per, len(cells))], " "))
	}
	return lines
}

// octets is a size as it stands on the box of a disk: in powers of ten.
func octets(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1000, 0
	for f >= 999.5 && i+1 < len(units) {
		f, i = f/1000, i+1
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f %cB", f, units[i])
	}
	return fmt.Sprintf("%.0f %cB", f, units[i])
}
