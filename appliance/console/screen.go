package console

import (
	"cmp"
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

// screen is one page behind the status page. Screens stand on a stack: Esc
// takes the top one away, and the status page is what is left.
type screen interface {
	// update takes a key or a paste.
	update(m *model, msg tea.Msg) tea.Cmd
	view(m *model, width, height int) (title string, lines []string, keys string)
}

// then is what a question to the daemons led to; it runs where the model may
// be changed.
type then func() tea.Cmd

// ask runs job beside the screen and what it returns on the model.
func (m *model) ask(job func(ctx context.Context) then) tea.Cmd {
	return m.askWithin(setUpTime, job)
}

// askWithin is ask for a job that may take longer.
func (m *model) askWithin(limit time.Duration, job func(ctx context.Context) then) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, limit)
		defer cancel()
		return job(ctx)
	}
}

func (m *model) push(s screen) { m.stack = append(m.stack, s) }

// pop goes back by n screens.
func (m *model) pop(n int) { m.stack = m.stack[:max(0, len(m.stack)-n)] }

func (m *model) top() screen {
	if len(m.stack) == 0 {
		return nil
	}
	return m.stack[len(m.stack)-1]
}

// bottom is the screen the stack began with: the menu, or the question for
// the password before it.
func (m *model) bottom() screen {
	if len(m.stack) == 0 {
		return nil
	}
	return m.stack[0]
}

// list is a screen to choose from.
type list struct {
	title string
	intro string
	items []item
	at    int
	err   string
	// load, where set, fills items; it is asked again with reload.
	load   func(ctx context.Context) ([]item, error)
	loaded bool
	// free is a first list that may be open without the password.
	free bool
}

// item is one line of a list.
type item struct {
	label, detail string
	open          func() tea.Cmd
}

// open shows a list and loads it.
func (m *model) open(l *list) tea.Cmd {
	m.push(l)
	return l.reload(m)
}

func (l *list) reload(m *model) tea.Cmd {
	if l.load == nil {
		l.loaded = true
		return nil
	}
	return m.ask(func(ctx context.Context) then {
		items, err := l.load(ctx)
		return func() tea.Cmd {
			l.loaded, l.err = true, ""
			if err != nil {
				l.err = m.c.why(err)
				return nil
			}
			l.items = items
			l.at = min(l.at, max(0, len(items)-1))
			return nil
		}
	})
}

func (l *list) update(m *model, msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	switch k.String() {
	case "esc", "left":
		m.pop(1)
	case "up", "shift+tab":
		l.at = max(0, l.at-1)
	case "down", "tab":
		l.at = min(max(0, len(l.items)-1), l.at+1)
	case "home":
		l.at = 0
	case "end":
		l.at = max(0, len(l.items)-1)
	case "enter", "right":
		if l.at < len(l.items) && l.items[l.at].open != nil {
			return l.items[l.at].open()
		}
	}
	return nil
}

func (l *list) view(m *model, width, height int) (string, []string, string) {
	var lines []string
	for _, s := range wrap(l.intro, width-4) {
		if s != "" {
			lines = append(lines, "  "+s)
		}
	}
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	lines = append(lines, m.t.trouble(l.err, width)...)
	if !l.loaded {
		lines = append(lines, "  "+m.c.T("One moment."))
	}
	label := l.labelWidth(width)
	room := max(1, height-len(lines))
	from := max(0, min(l.at-room/2, len(l.items)-room))
	for i := from; i < len(l.items) && i < from+room; i++ {
		text := " " + fit(l.items[i].label, label) + " " + fit(l.items[i].detail, max(0, width-label-8)) + " "
		if i == l.at {
			lines = append(lines, "> "+m.t.button.Render(text))
		} else {
			lines = append(lines, "  "+text)
		}
	}
	return l.title, lines, m.c.T("Up, down: choose   Enter: open   Esc: back")
}

// labelWidth is the usual one, or what long labels need and details leave.
func (l *list) labelWidth(width int) int {
	const usual = 34
	label, detail := usual, 0
	for _, i := range l.items {
		label, detail = max(label, lipgloss.Width(i.label)), max(detail, lipgloss.Width(i.detail))
	}
	return max(usual, min(label, width-detail-8))
}

// confirm asks back before something that loses mail or cuts people off. It says
// what that is; whoever only presses Enter changes nothing.
func (m *model) confirm(title, intro, yes string, do func() tea.Cmd) {
	m.push(&list{title: title, intro: intro, loaded: true, items: []item{
		{m.c.T("No, leave it as it is"), "", func() tea.Cmd { m.pop(1); return nil }},
		{yes, "", func() tea.Cmd { m.pop(1); return do() }},
	}})
}

// form is a screen of questions with one thing to do at the end.
type form struct {
	title, intro, button string
	fields               []*field
	focus                int // len(fields) is the button
	// submit does it. A *FieldError marks its field.
	submit func(ctx context.Context) error
	// before, where set, reports whether it asked back, when all is filled in.
	before func() bool
	// within bounds submit; setUpTime where 0.
	within time.Duration
	// done is what to do after it went well; nil goes back by one.
	done func() tea.Cmd
	busy bool
	err  string
}

func (m *model) openForm(f *form) {
	f.focusOn(0)
	m.push(f)
}

func (f *form) focusOn(at int) {
	f.focus = at
	for i, q := range f.fields {
		if i == at {
			q.input.Focus()
		} else {
			q.input.Blur()
		}
	}
}

func (f *form) update(m *model, msg tea.Msg) tea.Cmd {
	if f.busy {
		return nil
	}
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		if f.focus < len(f.fields) {
			f.fields[f.focus].input, _ = f.fields[f.focus].input.Update(msg)
		}
		return nil
	}
	switch k.String() {
	case "esc":
		m.pop(1)
		return nil
	case "shift+tab":
		f.focusOn(max(0, shown(f.fields, f.focus-1, -1)))
		return nil
	case "enter", "tab":
		if f.focus == len(f.fields) {
			if k.String() == "enter" {
				return f.press(m)
			}
			return nil
		}
		if f.fields[f.focus].valid() {
			f.focusOn(shown(f.fields, f.focus+1, 1))
		}
		return nil
	}
	if f.focus < len(f.fields) && f.fields[f.focus].update(k) {
		return nil
	}
	switch k.String() {
	case "up":
		f.focusOn(max(0, shown(f.fields, f.focus-1, -1)))
	case "down":
		f.focusOn(min(len(f.fields), shown(f.fields, f.focus+1, 1)))
	}
	return nil
}

// press is Enter on the button.
func (f *form) press(m *model) tea.Cmd {
	for i, q := range f.fields {
		if !q.valid() {
			f.focusOn(i)
			return nil
		}
	}
	if f.before != nil && f.before() {
		return nil
	}
	return f.send(m)
}

func (f *form) send(m *model) tea.Cmd {
	f.busy, f.err = true, ""
	return m.askWithin(cmp.Or(f.within, setUpTime), func(ctx context.Context) then {
		err := f.submit(ctx)
		return func() tea.Cmd {
			f.busy = false
			if err != nil {
				f.refuse(m, err)
				return nil
			}
			if f.done == nil {
				m.pop(1)
				return nil
			}
			return f.done()
		}
	})
}

func (f *form) refuse(m *model, err error) {
	name, message := refusedField(err)
	for i, q := range f.fields {
		if q.id == name {
			q.err, q.anew = m.c.Refusal(message), q.secret
			f.focusOn(i)
			return
		}
	}
	if r, _ := utf8.DecodeRuneInString(message); unicode.IsLower(r) { // not a sentence
		f.err = m.c.T("That did not work: %s", m.c.Report(message))
	} else {
		f.err = m.c.Report(m.c.T(message))
	}
	if len(f.fields) == 1 && f.fields[0].secret {
		f.fields[0].anew = true
		f.focusOn(0)
	}
}

func (f *form) view(m *model, width, height int) (string, []string, string) {
	var lines []string
	for _, s := range wrap(f.intro, width-4) {
		if s != "" {
			lines = append(lines, "  "+s)
		}
	}
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	for i, q := range f.fields {
		lines = append(lines, q.view(m.t, i == f.focus, width-4)...)
	}
	lines = append(lines, m.t.trouble(f.err, width)...)
	button := " " + f.button + " "
	switch {
	case f.busy:
		lines = append(lines, "  "+m.c.T("One moment."))
	case f.focus == len(f.fields):
		lines = append(lines, "> "+m.t.button.Render(button))
	default:
		lines = append(lines, "  "+m.t.dim.Render("["+f.button+"]"))
	}
	return f.title, lines, m.c.T("Enter: next   Shift+Tab: back one   Esc: leave without a change")
}

// text is a screen to read, which may go on growing.
type text struct {
	title string
	lines []string
	from  int
	// load, where set, is asked at each refresh; the end is followed until
	// the person looks back.
	load   func(ctx context.Context) ([]string, error)
	behind bool
	// still is a text to be read from its beginning.
	still bool
	// searched is a text of which only lines with some text may be shown: find,
	// which is being typed while typing.
	searched, typing bool
	find             string
	// hang, where set, has long lines broken at spaces and go on at that column.
	hang int
}

func (m *model) openText(t *text) tea.Cmd {
	m.push(t)
	return t.reload(m)
}

func (t *text) reload(m *model) tea.Cmd {
	if t.load == nil {
		return nil
	}
	return m.ask(func(ctx context.Context) then {
		lines, err := t.load(ctx)
		return func() tea.Cmd {
			if err != nil {
				lines = []string{"! " + m.c.why(err)}
			}
			t.lines = lines
			return nil
		}
	})
}

func (t *text) update(m *model, msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if t.typing {
		t.search(k)
		return nil
	}
	page := max(1, m.height-5)
	switch k.String() {
	case "/":
		t.typing = t.searched
	case "esc", "left", "enter":
		m.pop(1)
	case "up":
		t.from, t.behind = t.from-1, true
	case "down":
		t.from++
	case "pgup", "b":
		t.from, t.behind = t.from-page, true
	case "pgdown", "space":
		t.from += page
	case "home":
		t.from, t.behind = 0, true
	case "end":
		t.behind = false
	}
	return nil
}

// search takes a key while the text to find is typed.
func (t *text) search(k tea.KeyPressMsg) {
	switch k.String() {
	case "enter":
		t.typing = false
	case "esc":
		t.typing, t.find = false, ""
	case "backspace":
		if r := []rune(t.find); len(r) > 0 {
			t.find = string(r[:len(r)-1])
		}
	default:
		if len(t.find)+len(k.Text) <= maxFind {
			t.find += k.Text
		}
	}
}

// maxFind bounds the text to find to what the line of keys shows.
const maxFind = 40

func (t *text) view(m *model, width, height int) (string, []string, string) {
	var lines []string
	find := strings.ToLower(t.find)
	for _, l := range t.lines {
		if !strings.Contains(strings.ToLower(l), find) {
			continue
		}
		if t.hang > 0 {
			lines = append(lines, hang(l, t.hang, width-2)...)
			continue
		}
		lines = append(lines, fold(l, width-2)...)
	}
	last := max(0, len(lines)-height)
	if t.load != nil && !t.behind && !t.still {
		t.from = last
	}
	t.from = max(0, min(t.from, last))
	if t.from == last {
		t.behind = false
	}
	lines = lines[t.from:min(len(lines), t.from+height)]
	for i, l := range lines {
		lines[i] = " " + l
	}
	switch {
	case t.typing:
		return t.title, lines, m.c.T("Find: %s", t.find+"_")
	case t.searched:
		title := t.title
		if t.find != "" {
			title += "  /" + t.find
		}
		return title, lines, m.c.T("Page up, Page down: read   /: find   Esc: back")
	}
	return t.title, lines, m.c.T("Up, down, Page up, Page down: read   Esc: back")
}
