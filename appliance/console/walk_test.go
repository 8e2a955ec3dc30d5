package console

import (
	"context"
	"fmt"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/mailapi"
)

func (f *fakeMail) Check(context.Context, mailapi.CheckRequest, func(mailapi.Progress)) (*mailapi.CheckReport, error) {
	return &mailapi.CheckReport{Mailboxes: 12, Messages: 1234}, nil
}

func (f *fakeMail) RetryQueued(_ context.Context, id uint64) error {
	f.changed = append(f.changed, fmt.Sprintf("retry %d", id))
	return nil
}

// walk opens all that the list on the screen offers, and all behind it.
func (d *drive) walk(where string, depth int, page func(where string)) {
	d.t.Helper()
	at := len(d.m.stack)
	l, ok := d.m.top().(*list)
	if !ok || depth == 0 {
		return
	}
	for i := range len(l.items) {
		l.at = i
		label := l.items[i].label
		d.keys("enter")
		if len(d.m.stack) > at {
			page(where + " > " + label)
			d.walk(where+" > "+label, depth-1, page)
		} else {
			page(where + ", after " + label)
		}
		if len(d.m.stack) < at { // back, or the box stops
			return
		}
		d.m.pop(len(d.m.stack) - at)
		d.m.notice = ""
	}
}

// fullBox has something behind each entry of the menu.
func fullBox(t *testing.T) *drive {
	d, mail, box := menuDrive(t)
	d.m.exec = func(tea.ExecCommand, tea.ExecCallback) tea.Cmd { return nil }
	mail.users[0].Aliases = []string{"info@example.org"}
	mail.aliases = []mailapi.Alias{{Address: "info@example.org", Target: "ann@example.org"}}
	mail.groups = []mailapi.Group{{Address: "all@example.org", Members: []string{"a@example.org"}}}
	box.backups = []boxapi.StickFile{{Stick: "sdb", Name: "pillarbox-2026-03-01.pbk", Size: 1e9, Written: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}}
	mail.queue = []mailapi.QueueEntry{{ID: 7, Recipient: "bob@example.net", LastError: "451 4.7.1 later"}}
	f := d.m.backend.(*fake)
	f.state.Links = freshBox().state.Links
	f.state.Events = []Event{{time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC), "warning", "maild died (killed) and is started again"}}
	d.run(d.m.readState)
	return d
}

// TestTheMenuFitsInEachLanguage opens each page there is behind the menu.
func TestTheMenuFitsInEachLanguage(t *testing.T) {
	for _, l := range Languages() {
		d := fullBox(t)
		pages := 0
		d.m.speak(l.Code)
		for i, entry := range d.m.menu().items {
			d.m.speak(l.Code) // again: one page changes it
			d.m.stack, d.m.notice = nil, ""
			d.m.unlockedUntil = d.m.now().Add(unlockedFor)
			d.run(d.m.open(d.m.menu()))
			d.m.top().(*list).at = i
			d.keys("enter")
			page := func(where string) {
				pages++
				d.fits(l.Code + where)
				d.uncut(l.Code + where)
			}
			page(" " + entry.label)
			d.walk(" "+entry.label, 3, page)
		}
		if pages < 60 {
			t.Errorf("%s: only %d pages were opened", l.Code, pages)
		}
	}
}

// uncut fails where a label has no room, or the line of keys.
func (d *drive) uncut(where string) {
	d.t.Helper()
	_, _, keys := d.m.page()
	if w := ansi.StringWidth(keys); d.m.notice == "" && w > d.m.width-2 {
		d.t.Errorf("%s: the line of keys has %d columns: %q", where, w, keys)
	}
	switch s := d.m.top().(type) {
	case *list:
		for _, i := range s.items {
			if room := s.labelWidth(d.m.width); ansi.StringWidth(i.label) > room {
				d.t.Errorf("%s: %q has room for %d columns", where, i.label, room)
			}
			if room := d.m.width - s.labelWidth(d.m.width) - 8; ansi.StringWidth(i.detail) > room {
				d.t.Errorf("%s: %q has room for %d columns", where, i.detail, room)
			}
		}
	case *form:
		for _, f := range s.fields {
			if room := d.m.width - 6; ansi.StringWidth(f.label) > room {
				d.t.Errorf("%s: %q has room for %d columns", where, f.label, room)
			}
			for _, o := range f.options {
				if ansi.StringWidth(o) > fieldWidth-1 {
					d.t.Errorf("%s: %q has room for %d columns", where, o, fieldWidth-1)
				}
			}
		}
	}
}
