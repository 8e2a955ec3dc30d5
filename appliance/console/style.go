package console

import (
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
)

// theme draws for one kind of terminal. Colours are of the first sixteen,
// which a Linux VT and every terminal on a serial line have.
type theme struct {
	rule                              string
	bullet                            string
	title, good, bad, warn, dim, bold lipgloss.Style
	field, fieldFocus, button         lipgloss.Style
	goodBar, badBar, warnBar          lipgloss.Style // of the status page's first lines
	code                              lipgloss.Style // light on dark whatever the terminal prefers
}

// newTheme makes the theme. A serial line gets plain ASCII: what is at its
// other end may not know UTF-8.
func newTheme(serial bool) theme {
	t := theme{
		rule:       "─",
		bullet:     "•",
		title:      lipgloss.NewStyle().Bold(true).Foreground(lipgloss.BrightWhite).Background(lipgloss.Blue),
		good:       lipgloss.NewStyle().Bold(true).Foreground(lipgloss.BrightGreen),
		bad:        lipgloss.NewStyle().Bold(true).Foreground(lipgloss.BrightRed),
		warn:       lipgloss.NewStyle().Bold(true).Foreground(lipgloss.BrightYellow),
		dim:        lipgloss.NewStyle().Foreground(lipgloss.White),
		bold:       lipgloss.NewStyle().Bold(true),
		field:      lipgloss.NewStyle().Underline(true),
		fieldFocus: lipgloss.NewStyle().Underline(true).Bold(true).Foreground(lipgloss.BrightCyan),
		goodBar:    lipgloss.NewStyle().Bold(true).Foreground(lipgloss.BrightWhite).Background(lipgloss.Green),
		badBar:     lipgloss.NewStyle().Bold(true).Foreground(lipgloss.BrightWhite).Background(lipgloss.Red),
		warnBar:    lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Black).Background(lipgloss.Yellow),
		code:       lipgloss.NewStyle().Foreground(lipgloss.BrightWhite).Background(lipgloss.Black),
		button:     lipgloss.NewStyle().Reverse(true),
	}
	if serial {
		t.rule, t.bullet = "-", "*"
		// A terminal without colours shows the bars all the same.
		t.goodBar, t.badBar, t.warnBar = t.button.Bold(true), t.button.Bold(true), t.button.Bold(true)
	}
	return t
}

func (t theme) line(width int) string { return t.dim.Render(strings.Repeat(t.rule, width)) }

// fit cuts or pads a plain string to a width in columns.
func fit(s string, width int) string {
	n, width := lipgloss.Width(s), max(width, 0)
	if n <= width {
		return s + strings.Repeat(" ", width-n)
	}
	r := []rune(s)
	for len(r) > 0 && lipgloss.Width(string(r)) > max(width-2, 0) {
		r = r[:len(r)-1]
	}
	return string(r) + strings.Repeat(".", width-lipgloss.Width(string(r)))
}

// wrap breaks plain text at spaces into lines of at most width columns.
func wrap(s string, width int) []string {
	var lines []string
	for _, para := range strings.Split(s, "\n") {
		line := ""
		for _, w := range strings.Fields(para) {
			switch {
			case line == "":
				line = w
			case lipgloss.Width(line)+1+lipgloss.Width(w) <= width:
				line += " " + w
			default:
				lines = append(lines, line)
				line = w
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// fold breaks a line of a log where the width ends, at a space where there is one in
// the second half.
func fold(s string, width int) []string {
	var lines []string
	line, space := []rune{}, -1 // where a space stands last
	for _, r := range s {
		if r < ' ' {
			r = ' '
		}
		if lipgloss.Width(string(line)+string(r)) > width {
			rest := []rune{}
			if space > len(line)/2 {
				line, rest = line[:space], slices.Clone(line[space+1:])
			}
			lines = append(lines, string(line))
			line, space = rest, -1
		}
		if r == ' ' {
			space = len(line)
		}
		line = append(line, r)
	}
	return append(lines, string(line))
}

// hang breaks a line at spaces; what goes on stands below what begins at column at.
func hang(s string, at, width int) []string {
	lines := wrap(s[at:], width-at)
	for i, l := range lines {
		head := strings.Repeat(" ", at)
		if i == 0 {
			head = s[:at]
		}
		lines[i] = head + l
	}
	return lines
}

// trouble draws what was refused and why, nothing for an empty text.
func (t theme) trouble(text string, width int) []string {
	if text == "" {
		return nil
	}
	lines := wrap(text, width-8)
	for i, l := range lines {
		mark := "  "
		if i == 0 {
			mark = "! "
		}
		lines[i] = "  " + t.bad.Render(mark+l)
	}
	return lines
}
