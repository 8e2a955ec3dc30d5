package console

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/console/shell"
)

// The console is drawn for a screen of this size, and for a line that
// reports none.
const (
	defaultWidth  = 80
	defaultHeight = 24

	// leastHeight has room for a line between title and keys: a window that is
	// drawn smaller shows a part.
	leastHeight = 5
)

const (
	// refreshEvery is how old what the status page shows may get. A redraw
	// sends only what changed, tens of bytes on a serial line.
	refreshEvery = 2 * time.Second
	// redrawEvery mends a screen that somebody else wrote on: the kernel, or
	// a terminal that was connected to the serial line just now.
	redrawEvery = time.Minute
	// askTime bounds one question to the daemons.
	askTime = 5 * time.Second
	// setUpTime bounds the set-up: hashing passwords, first certificates.
	setUpTime = 2 * time.Minute
	// diskTime is added where a disk is made ready for mail: its file system grows
	// by some 40 GB a second at worst.
	diskTime = 10 * time.Minute
)

// model is the console's root: the page shown, and what it needs.
type model struct {
	ctx     context.Context
	backend Backend
	mail    mailapi.Service
	box     boxapi.Service
	init    initapi.Service
	health  healthapi.Service
	tty     *os.File
	shell   *shell.Shell
	logger  *slog.Logger
	exec    func(tea.ExecCommand, tea.ExecCallback) tea.Cmd // tea.Exec but in tests
	t       theme
	c       *Catalogue
	now     func() time.Time
	zone    *time.Location // of the box, which may change while the console runs
	tick    func() tea.Cmd // asks for the next refresh

	width, height int
	state         State
	stateErr      error
	drawn         time.Time // the whole screen, last
	known         bool      // state has been read at least once
	language      string
	kept          string // language that the box's settings held when they were read last
	keyboard      string // layout in force here
	loadKeyboard  func(layout string) error
	zones         []string
	wizard        *wizard
	asked         *question
	notice        string // the last thing done, until the next key
	tested        netTest
	welcome       []screen // to read once after the set-up
	sheet         int      // of welcome
	stack         []screen // behind the status page, the last on top
	unlockedUntil time.Time
}

// question is a choice that needs a second key.
type question struct {
	text string
	yes  func(context.Context) error
	done string
}

type (
	stateRead struct {
		state State
		err   error
	}
	zonesRead struct {
		zones []string
		err   error
	}
	refresh    struct{}
	actionDone struct {
		notice string
		err    error
	}
)

// failed says below the page that something did not work.
func (m *model) failed(err error) { m.notice = m.c.T("That did not work: %s", m.c.why(err)) }

// here is the time as a clock on the wall shows it.
func (m *model) here() time.Time { return m.now().In(m.zone) }

func (m *model) Init() tea.Cmd { return m.readState }

func (m *model) readState() tea.Msg {
	ctx, cancel := context.WithTimeout(m.ctx, askTime)
	defer cancel()
	s, err := m.backend.State(ctx)
	return stateRead{s, err}
}

func (m *model) readZones() tea.Msg {
	ctx, cancel := context.WithTimeout(m.ctx, askTime)
	defer cancel()
	z, err := m.backend.TimeZones(ctx)
	return zonesRead{z, err}
}

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		if msg.Width > 0 && msg.Height > 0 {
			m.width, m.height = msg.Width, max(msg.Height, leastHeight)
		}
		return m, nil
	case stateRead:
		return m, m.took(msg)
	case zonesRead:
		if msg.err == nil && m.wizard == nil && !m.state.SetUp {
			m.zones = msg.zones
			m.wizard = newWizard(m.t, m.c, msg.zones, m.loadKeyboard != nil, m.found)
		}
		return m, nil
	case refresh:
		m.closeMenus()
		if tests := m.watchTests(); tests != nil {
			return m, tea.Batch(tests, m.readState)
		}
		if t, ok := m.top().(*text); ok {
			return m, tea.Batch(t.reload(m), m.readState)
		}
		if m.now().Sub(m.drawn) > redrawEvery {
			m.drawn = m.now()
			return m, tea.Batch(tea.ClearScreen, m.readState)
		}
		return m, m.readState
	case confirmed:
		return m, m.apply(msg.answers)
	case setUpAt:
		if m.wizard != nil {
			m.wizard.step = msg.step
		}
		return m, msg.next
	case setUpDone:
		if msg.err == nil {
			m.welcome, m.sheet = m.welcomeSheets(), 0
			m.wizard = nil
			return m, m.readState
		}
	case then:
		if msg == nil {
			return m, nil
		}
		return m, msg()
	case actionDone:
		m.notice = msg.notice
		if msg.err != nil {
			m.failed(msg.err)
		}
		return m, nil
	}
	if k, ok := msg.(tea.KeyPressMsg); ok && k.String() == "ctrl+l" { // the screen is another one, or was disturbed
		return m, tea.ClearScreen
	}
	if m.wizard != nil {
		cmd := tea.Batch(m.wizard.update(msg), m.watchTests())
		m.speak(m.wizard.language())
		m.typeOn(m.wizard.keyboard())
		return m, cmd
	}
	k, isKey := msg.(tea.KeyPressMsg)
	if s := m.top(); s != nil {
		if isKey {
			m.notice = ""
			if m.now().Before(m.unlockedUntil) {
				m.unlockedUntil = m.now().Add(unlockedFor)
			}
		}
		return m, s.update(m, msg)
	}
	if isKey {
		return m, m.key(k)
	}
	return m, nil
}

// found is what the wizard shows and proposes by.
func (m *model) found() found { return found{m.state, &m.tested} }

// took keeps a state that was read and plans the next reading.
func (m *model) took(msg stateRead) tea.Cmd {
	m.stateErr = msg.err
	if msg.err == nil {
		m.state, m.known = msg.state, true
		if zone, err := time.LoadLocation(m.state.Clock.Zone); err == nil {
			m.zone = zone
		}
		if m.state.Language != m.kept && m.wizard == nil {
			m.kept = m.state.Language // here or on another console
			m.speak(m.kept)
		}
		if m.wizard == nil {
			m.typeOn(m.state.Keyboard)
		}
	}
	if m.wizard != nil && m.wizard.phase == asking {
		m.wizard.offerDisks()
	}
	if m.state.SetUp && m.wizard != nil && m.wizard.phase == asking {
		m.wizard = nil // answered elsewhere: on the other console, by file or on the web
	}
	if m.known && !m.state.SetUp && !m.state.AskAgain && m.wizard == nil && m.welcome == nil {
		return tea.Batch(m.readZones, m.tick())
	}
	return m.tick()
}

// speak changes to a language where it is another one than now.
func (m *model) speak(code string) {
	if code == "" || code == m.language {
		return
	}
	c, err := LoadCatalogue(code)
	if err != nil {
		m.notice = err.Error()
		return
	}
	m.c, m.language = c, code
	if m.wizard != nil {
		m.wizard = m.wizard.speak(c, m.zones, m.found)
	}
}

// apply has the box set up and the wizard hear of each step.
func (m *model) apply(a Answers) tea.Cmd {
	steps := make(chan SetUpStep, setUpSteps) // room for all: SetUp waits for nobody
	var next tea.Cmd
	next = func() tea.Msg {
		step, more := <-steps
		if !more {
			return nil
		}
		return setUpAt{step, next}
	}
	return tea.Batch(func() tea.Msg {
		limit := setUpTime
		if a.Disk.Name != "" {
			limit += diskTime
		}
		ctx, cancel := context.WithTimeout(m.ctx, limit)
		defer cancel()
		defer close(steps)
		return setUpDone{m.backend.SetUp(ctx, a, func(s SetUpStep) { steps <- s })}
	}, next)
}

func (m *model) key(k tea.KeyPressMsg) tea.Cmd {
	m.notice = ""
	if q := m.asked; q != nil {
		m.asked = nil
		if pressed := strings.ToUpper(k.String()); pressed != "Y" && pressed != m.c.T("Y") {
			return nil
		}
		return func() tea.Msg {
			ctx, cancel := context.WithTimeout(m.ctx, askTime)
			defer cancel()
			return actionDone{q.done, q.yes(ctx)}
		}
	}
	if m.welcome != nil {
		return m.leaf(k)
	}
	T := m.c.T
	switch k.String() {
	case "m", "M":
		switch {
		case m.state.SetUp:
			return m.openMenu()
		case m.mailSilent():
			return m.open(m.lookMenu())
		}
	case "p", "P":
		m.asked = &question{T("Switch the box off? There is no mail until somebody presses its power button. Press Y for yes, any other key for no."), m.backend.PowerOff, T("Switching off.")}
	case "r", "R":
		m.asked = &question{T("Restart the box? There is no mail for a minute or two. Press Y for yes, any other key for no."), m.backend.Restart, T("Restarting.")}
	}
	return nil
}

// leaf turns the sheets of the welcome.
func (m *model) leaf(k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "enter":
		if m.sheet++; m.sheet == len(m.welcome) {
			m.welcome = nil
		}
	case "esc":
		m.sheet = max(0, m.sheet-1)
	default:
		return m.welcome[m.sheet].update(m, k)
	}
	return nil
}

func (m *model) View() tea.View {
	title, lines, keys := m.page()
	if title == "" { // a page that has the whole screen
		v := tea.NewView(strings.Join(lines, "\n"))
		v.AltScreen = true
		return v
	}
	foot := m.foot(keys)
	bodyHeight := m.height - 3 - len(foot)
	if len(lines) > bodyHeight {
		lines = lines[:bodyHeight]
	}
	var b strings.Builder
	head := " Pillarbox " + m.state.Version
	right := m.state.Hostname + " "
	b.WriteString(m.t.title.Render(fit(head, max(0, m.width-len(right))) + right))
	b.WriteString("\n" + m.t.bold.Render(" "+title) + "\n")
	for i := range bodyHeight {
		if i < len(lines) {
			b.WriteString(lines[i])
		}
		b.WriteByte('\n')
	}
	b.WriteString(m.t.line(m.width))
	for _, l := range foot {
		b.WriteString("\n" + m.t.dim.Render(fit(" "+l, m.width-1)))
	}
	v := tea.NewView(b.String())
	v.AltScreen = true
	return v
}

// foot is what stands below the line: the keys, or the last thing done, which may
// be longer than a line.
func (m *model) foot(text string) []string {
	if lipgloss.Width(text) < m.width-1 {
		return []string{text}
	}
	lines := wrap(text, m.width-2)
	return lines[:min(len(lines), max(1, m.height-leastHeight))]
}

func (m *model) page() (title string, lines []string, keys string) {
	T := m.c.T
	switch {
	case m.wizard != nil:
		return m.wizard.view(m.width)
	case m.welcome != nil:
		title, lines, _ = m.welcome[m.sheet].view(m, m.width, m.height-4)
		if title != "" {
			title = fmt.Sprintf("%s (%d/%d)", title, m.sheet+1, len(m.welcome))
		}
		return title, lines, T("Enter: next   Esc: page before")
	case !m.known:
		lines = append(banner(m.t.warnBar, T("STARTING"), m.width, m.height), "    "+T("The box is getting ready."))
		if m.stateErr != nil {
			for _, l := range wrap(m.stateErr.Error(), m.width-8) {
				lines = append(lines, "    "+l)
			}
		}
		return T("Status"), lines, ""
	}
	if s := m.top(); s != nil {
		title, lines, keys = s.view(m, m.width, m.height-3-len(m.foot(m.notice)))
		if m.notice != "" {
			keys = m.notice
		}
		return title, lines, keys
	}
	keys = T("P: switch off   R: restart")
	if m.state.SetUp || m.mailSilent() {
		keys = T("M: menu   P: switch off   R: restart")
	}
	if m.asked != nil {
		keys = m.asked.text
	} else if m.notice != "" {
		keys = m.notice
	}
	return T("Status"), statusView(m.t, m.c, m.state, m.here(), m.width, m.height-3-len(m.foot(keys))), keys
}
