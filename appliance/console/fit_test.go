package console

import (
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// fits fails when View would cut something off the page that is shown.
func (d *drive) fits(step string) {
	d.t.Helper()
	title, lines, keys := d.m.page()
	if room := d.m.height - 3 - len(d.m.foot(keys)); title != "" && len(lines) > room {
		d.t.Errorf("%s, %q: %d lines where %d fit", step, title, len(lines), room)
	}
	for _, l := range append(lines, " "+title) {
		if w := ansi.StringWidth(l); w > d.m.width {
			d.t.Errorf("%s, %q: %d columns: %q", step, title, w, l)
		}
	}
}

// TestTheFirstBootFitsInEachLanguage walks through the set-up, with a mistake
// on the way, on the smallest screens that are promised.
func TestTheFirstBootFitsInEachLanguage(t *testing.T) {
	for _, size := range []tea.WindowSizeMsg{{Width: 80, Height: 24}, {Width: 80, Height: 25}} {
		for i, l := range Languages() {
			f := freshBox()
			d := newDrive(t, f)
			d.run(second(d.m.Update(size)))
			d.press(i, "down")
			d.fits(l.Code + " language")
			for _, keys := range [][]string{
				{"enter", "enter"}, {"enter"}, {"enter"}, {"enter"}, {"example.org", "enter"}, {"enter"},
				{"short", "enter"}, {"er password", "enter"}, {"another", "enter"},
				{"backspace", "backspace", "backspace", "backspace", "backspace", "backspace", "backspace", "shorter password", "enter"},
				{"ann", "enter"}, {"Ann Example", "enter"}, {"ann's password", "enter"}, {"ann's password", "enter"},
				{"down", "enter"}, {"smtp.example.net:", "enter"}, {"backspace", "enter"}, {"enter"}, {"ann", "enter"}, {"enter"}, {"smart word", "enter"},
				{"down", "enter"}, {"ann", "enter"}, {"@example.net", "enter"},
				{"berl"}, {"enter"}, {"enter"}, {"enter"}, {"enter"}, {"enter"}, {"enter"}, {"enter"},
			} {
				d.keys(keys...)
				d.fits(l.Code + " after " + keys[0])
			}
			if !f.state.SetUp || len(f.got) != 1 || f.got[0].Language != l.Code {
				t.Errorf("%s: the walk ended before the end, set up with %+v, on\n%s", l.Code, f.got, d.screen())
			}
		}
	}
}

// What did not work is said to its end, however long it is.
func TestALongNoticeIsWhole(t *testing.T) {
	d, _, _ := menuDrive(t)
	d.unlock()
	d.m.notice = "That did not work: the mail service does not answer, for the disk that mail is kept on was pulled out of the box"
	d.wants(" That did not work: the mail service does not answer, for the disk that mail is\n kept on was pulled out of the box\n")
	d.fits("notice")
	d.keys("esc")
	d.m.notice = d.m.c.T("That did not work: %s", "a service that is asked at each start did not answer within the time it has")
	d.wants("answer within\n the time it has\n")
	d.fits("notice on the status page")
}
