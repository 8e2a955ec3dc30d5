package console

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/boxapi"
)

// testAgain is how old the results of the network's tests get while somebody
// looks at them: a cable that was put in shows soon.
const testAgain = 10 * time.Second

// netTest is the live test of the network: one test after the other, each
// shown as it comes.
type netTest struct {
	results map[string]boxapi.NetworkTest
	running string // the test under way; empty: none
	ended   time.Time
	err     error // boxd did not answer
}

func (n *netTest) due(now time.Time) bool {
	return n.running == "" && now.Sub(n.ended) > testAgain
}

// failed is the first test that did not go well, empty where all did.
func (n *netTest) failed() string {
	for _, name := range boxapi.NetworkTests() {
		if r, ok := n.results[name]; ok && !r.OK {
			return name
		}
	}
	return ""
}

// testNetwork makes the tests from the one at index at on. Where one fails that
// the others need, they are not tried: they would say the same.
func (m *model) testNetwork(at int) tea.Cmd {
	n, names := &m.tested, boxapi.NetworkTests()
	if n.results == nil {
		n.results = map[string]boxapi.NetworkTest{}
	}
	if at == len(names) {
		n.running, n.ended = "", m.now()
		return nil
	}
	n.running = names[at]
	return m.ask(func(ctx context.Context) then {
		r, err := m.backend.TestNetwork(ctx, names[at])
		return func() tea.Cmd {
			n.err = err
			if err == nil {
				n.results[names[at]] = *r
				if r.OK || r.Test == boxapi.TestTime {
					return m.testNetwork(at + 1)
				}
			}
			for _, later := range names[at+1:] {
				delete(n.results, later)
			}
			return m.testNetwork(len(names))
		}
	})
}

// lines draw the results, and what to do about the first bad one.
func (n *netTest) lines(t theme, c *Catalogue, width int) []string {
	T := c.T
	labels := map[string]string{
		boxapi.TestLink: T("Cable"), boxapi.TestAddress: T("Address"), boxapi.TestGateway: T("Router"),
		boxapi.TestDNS: T("Name servers"), boxapi.TestTime: T("Time server"), boxapi.TestPort25: T("Port 25 out"),
	}
	advice := map[string]string{
		boxapi.TestLink:    T("No cable carries a signal. Plug one into the box and into the router or the switch."),
		boxapi.TestAddress: T("The router gave no address. See that its DHCP is on, or go on and set a fixed address in the menu later."),
		boxapi.TestGateway: T("The router does not answer. See that it is on, and restart it."),
		boxapi.TestDNS:     T("Names cannot be looked up. See whether the line to the Internet is up; other name servers can be set in the menu later."),
		boxapi.TestTime:    T("No time server answers: the line may keep NTP (UDP port 123) shut. Without the right time certificates fail."),
		boxapi.TestPort25:  T("The line keeps port 25 shut. Ask its provider to open it, or send by a smart host."),
	}
	var lines []string
	for _, name := range boxapi.NetworkTests() {
		r, known := n.results[name]
		state, detail := t.dim.Render(fit("-", 6)), r.Detail
		switch {
		case n.running == name:
			state = t.warn.Render(fit("...", 6))
		case known && r.OK:
			state = t.good.Render(fit(T("good"), 6))
		case known:
			state = t.bad.Render(fit(T("BAD"), 6))
		}
		lines = append(lines, "  "+fit(labels[name], 20)+state+" "+fit(detail, width-31))
	}
	what := advice[n.failed()]
	if n.err != nil {
		what = T("That did not work: %s", c.why(n.err))
	}
	if what != "" {
		lines = append(lines, "")
		lines = append(lines, t.trouble(what, width)...)
	}
	return lines
}

// netTestScreen is the test in the menu.
type netTestScreen struct{}

func (netTestScreen) update(m *model, msg tea.Msg) tea.Cmd {
	if k, ok := msg.(tea.KeyPressMsg); ok {
		switch k.String() {
		case "esc", "left", "enter":
			m.pop(1)
		}
	}
	return nil
}

func (netTestScreen) view(m *model, width, _ int) (string, []string, string) {
	lines := append(networkFacts(m.t, m.c, m.state), "")
	return m.c.T("Test the network"), append(lines, m.tested.lines(m.t, m.c, width)...), m.c.T("Enter: next   Esc: back")
}

// testsWatched tells whether somebody looks at the results.
func (m *model) testsWatched() bool {
	if m.wizard != nil {
		return m.wizard.phase == asking && m.wizard.at == networkPage
	}
	_, ok := m.top().(netTestScreen)
	return ok
}

// watchTests makes the tests again where somebody looks at old results.
func (m *model) watchTests() tea.Cmd {
	if m.testsWatched() && m.tested.due(m.now()) {
		return m.testNetwork(0)
	}
	return nil
}
