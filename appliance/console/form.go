package console

import (
	"slices"
	"strings"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

// field is one question of a page.
type field struct {
	id     string // as in FieldError.Field
	label  string
	help   string
	secret bool
	again  bool // a secret typed for the second time
	// options, where set, are what may be chosen; typing narrows them.
	options []string
	// check refuses a value with a sentence; it is asked when the person goes on.
	check func(value string) error
	// needless, where set, tells that other answers make this one needless:
	// it is neither shown nor asked.
	needless func() bool

	// domain is what an address is proposed to end in, such as @example.org.
	domain string
	// proposal is what the console wrote, to be replaced with what it follows.
	proposal string

	input textinput.Model
	err   string
	pick  int // among the options that match
	// anew has the next letter begin the answer again: nobody sees what is wrong
	// with stars.
	anew bool
}

const (
	fieldWidth  = 50
	optionsSeen = 8
	maxAnswer   = 255 // no name, address or password of use is longer
)

func newField(f field, value string) *field {
	f.input = textinput.New()
	f.input.Prompt = ""
	f.input.CharLimit = maxAnswer
	f.set(value)
	return &f
}

func (f *field) set(value string) {
	f.input.SetValue(value)
	f.input.CursorEnd()
	f.pick = 0
	for i, o := range f.matching() {
		if o == value {
			f.pick = i
		}
	}
}

// proposeDomain has an address end in a domain, with the place for the name
// before it.
func (f *field) proposeDomain(domain string) {
	f.domain = "@" + domain
	f.set(f.domain)
	f.input.CursorStart()
}

// choose picks one of the options, with all of them to see.
func (f *field) choose(option string) {
	f.input.SetValue("")
	f.pick = max(0, slices.Index(f.options, option))
}

// value is the answer as it stands.
func (f *field) value() string {
	if f.options != nil {
		if m := f.matching(); f.pick < len(m) {
			return m[f.pick]
		}
		return f.input.Value()
	}
	if f.secret {
		return f.input.Value() // spaces may be part of a password
	}
	v := strings.TrimSpace(f.input.Value())
	if whole, ok := strings.CutSuffix(v, f.domain); ok && f.domain != "" && strings.Contains(whole, "@") {
		return whole // the whole address, before the domain that stood there
	}
	return v
}

// matching are the options that hold what was typed, those that begin with it first.
func (f *field) matching() []string {
	typed := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(f.input.Value()), " ", "_"))
	var first, rest []string
	for _, o := range f.options {
		low := strings.ToLower(o)
		switch {
		case low == typed:
			first = append([]string{o}, first...)
		case strings.HasPrefix(low, typed):
			first = append(first, o)
		case strings.Contains(low, typed):
			rest = append(rest, o)
		}
	}
	return append(first, rest...)
}

// valid asks the check and keeps its sentence for the page to show.
func (f *field) valid() bool {
	f.err = ""
	if f.domain != "" {
		f.input.SetValue(f.value())
	}
	if f.check != nil && !f.hidden() {
		if err := f.check(f.value()); err != nil {
			f.err = err.Error()
			f.anew = f.again
		}
	}
	return f.err == ""
}

// update takes a key that is not one of the page's own. It reports whether
// the field used it.
func (f *field) update(msg tea.KeyPressMsg) bool {
	if f.options != nil {
		switch msg.String() {
		case "up":
			f.pick, f.err = max(0, f.pick-1), ""
			return true
		case "down":
			f.pick, f.err = min(max(0, len(f.matching())-1), f.pick+1), ""
			return true
		}
	}
	before := f.input.Value()
	if f.anew && msg.Text != "" {
		f.input.SetValue("")
	}
	f.anew = false
	f.input, _ = f.input.Update(msg)
	if f.options != nil && len(f.options) <= optionsSeen && len(f.matching()) == 0 {
		f.input.SetValue(before) // all that can be chosen is on the screen
		return true
	}
	if f.input.Value() != before {
		f.pick, f.err = 0, ""
	}
	return f.input.Value() != before
}

func (f *field) hidden() bool { return f.needless != nil && f.needless() }

func (f *field) view(t theme, focused bool, width int) []string {
	if f.hidden() {
		return nil
	}
	mark, style := "  ", t.field
	if focused {
		mark, style = "> ", t.fieldFocus
	}
	lines := []string{mark + t.bold.Render(f.label)}
	if focused {
		for _, h := range wrap(f.help, width-4) {
			if h != "" {
				lines = append(lines, "  "+t.dim.Render(h))
			}
		}
	}
	lines = append(lines, "  "+f.inputLine(t, style, focused))
	if f.options != nil && focused {
		lines = append(lines, f.optionLines(t)...)
	}
	lines = append(lines, t.trouble(f.err, width)...)
	return append(lines, "")
}

// inputLine draws what was typed, as much of it as fits, with the place of the
// next letter in reverse.
func (f *field) inputLine(t theme, style lipgloss.Style, focused bool) string {
	text := []rune(f.input.Value())
	if f.options != nil && !focused {
		text = []rune(f.value())
	}
	if f.secret {
		text = []rune(strings.Repeat("*", len(text)))
	}
	if !focused {
		return style.Render(fit(string(text), fieldWidth))
	}
	at := f.input.Position()
	text = append(text, ' ')
	from := 0
	for lipgloss.Width(string(text[from:at+1])) > fieldWidth {
		from++
	}
	rest := fieldWidth - lipgloss.Width(string(text[from:at+1]))
	after := text[at+1:]
	for lipgloss.Width(string(after)) > rest {
		after = after[:len(after)-1]
	}
	return style.Render(string(text[from:at])) + t.button.Render(string(text[at])) +
		style.Render(string(after)+strings.Repeat(" ", rest-lipgloss.Width(string(after))))
}

func (f *field) optionLines(t theme) []string {
	m := f.matching()
	from := max(0, min(f.pick-optionsSeen/2, len(m)-optionsSeen))
	var lines []string
	for i := from; i < len(m) && i < from+optionsSeen; i++ {
		if i == f.pick {
			lines = append(lines, " >"+t.button.Render(fit(" "+m[i], fieldWidth)))
		} else {
			lines = append(lines, "   "+m[i])
		}
	}
	return lines
}

// shown is the next field that is to be asked from at on in the direction
// step; past either end where there is none.
func shown(fields []*field, at, step int) int {
	for at >= 0 && at < len(fields) && fields[at].hidden() {
		at += step
	}
	return at
}
