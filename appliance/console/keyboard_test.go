package console

import (
	"errors"
	"slices"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
)

// screenDrive is newDrive with the box's own keyboard.
func screenDrive(t *testing.T, f *fake, load func(string) error) *drive {
	t.Helper()
	now := time.Date(2026, 3, 4, 10, 20, 30, 0, time.UTC)
	m, err := newModel(t.Context(), Config{Serial: true, Backend: f, LoadKeyboard: load, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	m.tick = func() tea.Cmd { return nil }
	d := &drive{t, m}
	d.run(m.Init())
	return d
}

func TestKeyboardGoesWithTheLanguageUntilItIsChosen(t *testing.T) {
	var loaded []string
	f := freshBox()
	d := screenDrive(t, f, func(layout string) error { loaded = append(loaded, layout); return nil })
	d.keys("down", "enter")
	d.expect("first-keyboard-de")
	d.press(3, "down") // German, French, Spanish, Swiss
	d.keys("shift+tab", "down", "enter", "enter")
	d.wants("Réseau")
	if want := []string{"de", "fr", "es", "ch"}; !slices.Equal(loaded, want) {
		t.Errorf("loaded %v, want %v", loaded, want)
	}
	d.keys("enter", "example.org", "enter", "enter", "admin password", "enter", "admin password", "enter",
		"ann", "enter", "enter", "ann's password", "enter", "ann's password", "enter", "enter", "enter", "utc", "enter", "enter")
	if len(f.got) != 1 || f.got[0].Language != "fr" || f.got[0].Keyboard != "ch" {
		t.Errorf("set up with %+v", f.got)
	}
}

func TestLanguageAndKeyboardAreKept(t *testing.T) {
	var loaded []string
	load := func(layout string) error { loaded = append(loaded, layout); return nil }
	f := &fake{state: State{SetUp: true, Serving: true, Language: "de", Keyboard: "ch"}}
	d := screenDrive(t, f, load)
	d.wants("ALLES IN ORDNUNG")
	if !slices.Equal(loaded, []string{"ch"}) {
		t.Errorf("loaded %v", loaded)
	}
	d.m.unlockedUntil = d.m.now().Add(time.Hour)
	d.keys("m")
	d.choose("Sprache und Tastatur")
	d.choose("Tastatur")
	d.choose("Deutsch")
	d.choose("Sprache")
	d.choose("Español")
	if f.state.Language != "es" || f.state.Keyboard != "de" || !slices.Equal(loaded, []string{"ch", "de"}) {
		t.Errorf("kept %q and %q, loaded %v", f.state.Language, f.state.Keyboard, loaded)
	}
	other := screenDrive(t, f, func(string) error { return errors.New("no such key") })
	other.wants("TODO BIEN", "no such key")
	f.state.Language = "fr" // on the other console
	other.run(other.m.readState)
	other.wants("TOUT VA BIEN")
}

// choose opens the item of the list on the screen that begins with label.
func (d *drive) choose(label string) {
	d.t.Helper()
	l, ok := d.m.top().(*list)
	if !ok {
		d.t.Fatalf("no list to choose %q from:\n%s", label, d.screen())
	}
	at := slices.IndexFunc(l.items, func(i item) bool { return i.label == label })
	if at < 0 {
		d.t.Fatalf("no %q in the list:\n%s", label, d.screen())
	}
	d.keys("home")
	d.press(at, "down")
	d.keys("enter")
}
