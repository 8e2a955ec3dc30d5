package console

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/mailapi"
)

// firstBoot are the keys of a first boot, page by page.
func firstBoot() [][]string {
	return [][]string{
		{"down", "enter"}, // German
		{"enter"},
		{"example.org", "enter", "enter"},
		{"admin password", "enter", "admin password", "enter"},
		{"ann", "enter", "Ann", "enter", "ann's password", "enter", "ann's password", "enter"},
		{"enter"},
		{"down", "enter", "ann@example.net", "enter"},
		{"berlin", "enter"},
		{"enter"},
	}
}

// A power cut on any page leaves nothing behind: the box asks from the
// beginning, in English, with empty fields.
func TestPowerCutWhileAsking(t *testing.T) {
	f := freshBox()
	first := newDrive(t, f)
	first.wants("Welcome (1/9)")
	begin := first.screen()
	pages := firstBoot()
	for cut := range pages {
		d := newDrive(t, f)
		if got := d.screen(); got != begin {
			t.Fatalf("after a cut on page %d the box begins with\n%s", cut, got)
		}
		for _, page := range pages[:cut] {
			d.keys(page...)
		}
		half := pages[cut][:len(pages[cut])-1]
		d.keys(half...)
		if len(f.got) > 0 || f.state.Language != "" || f.state.Keyboard != "" || f.state.SetUp {
			t.Fatalf("something was written before the summary was confirmed, by page %d: %+v", cut+1, f)
		}
	}
	d := newDrive(t, f)
	for _, page := range pages {
		d.keys(page...)
	}
	if len(f.got) != 1 || f.got[0].Mailbox != "ann@example.org" || f.got[0].Language != "de" {
		t.Errorf("set up with %+v", f.got)
	}
}

var errCut = errors.New("power cut")

// cutBox and cutMail are daemons whose box loses power before one of the steps
// of a set-up.
type cutBox struct {
	fakeBox
	left *int
}

func (c *cutBox) SetSettings(ctx context.Context, s boxapi.Settings) (*boxapi.Settings, error) {
	if *c.left--; *c.left < 0 {
		return nil, errCut
	}
	return c.fakeBox.SetSettings(ctx, s)
}

type cutMail struct {
	setUpMail
	left *int
}

func (c *cutMail) ChangeSettings(ctx context.Context, s mailapi.SettingsChange) (*mailapi.Settings, error) {
	if *c.left--; *c.left < 0 {
		return nil, errCut
	}
	return c.setUpMail.ChangeSettings(ctx, s)
}

func (c *cutMail) Setup(ctx context.Context, s mailapi.Setup) error {
	if *c.left--; *c.left < 0 {
		return errCut
	}
	return c.setUpMail.Setup(ctx, s)
}

// A power cut while the answers are applied: the step that makes the box set up
// is the last one, and all of them done again come to the same.
func TestPowerCutWhileApplying(t *testing.T) {
	a := Answers{Language: "de", Keyboard: "ch", Hostname: "mail.example.org", Domain: "example.org", AdminPassword: "admin word", Mailbox: "ann@example.org",
		Password: "ann's word", TimeZone: "Europe/Berlin", SmartHost: "smtp.example.net:587", SmartHostUser: "ann", SmartHostPassword: "word"}
	for cut := range 3 {
		var steps []string
		left := cut
		box := &cutBox{left: &left}
		s := &Sockets{Box: box, Mail: &cutMail{setUpMail{steps: &steps}, &left}}
		if err := s.SetUp(t.Context(), a, func(SetUpStep) {}); !errors.Is(err, errCut) {
			t.Fatalf("cut %d: %v", cut, err)
		}
		if strings.Contains(strings.Join(steps, " "), "setup") {
			t.Fatalf("cut %d: the box counts as set up after %v", cut, steps)
		}
		left, steps = 3, nil
		if err := s.SetUp(t.Context(), a, func(SetUpStep) {}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(steps, " "); got != "smart host smtp.example.net:587 setup ann@example.org" || box.settings.Hostname != "mail.example.org" || box.settings.Keyboard != "ch" {
			t.Errorf("cut %d: after doing it again: %v, %+v", cut, got, box.settings)
		}
	}
}
