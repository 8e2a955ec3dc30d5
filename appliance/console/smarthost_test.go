package console

import (
	"context"
	"testing"

	"pillarbox/appliance/api/mailapi"
)

func (f *fakeMail) ChangeSettings(_ context.Context, c mailapi.SettingsChange) (*mailapi.Settings, error) {
	word := "as before"
	if c.SmartHostPassword != nil {
		word = *c.SmartHostPassword
	}
	f.changed = append(f.changed, "smart host "+*c.SmartHost+" "+*c.SmartHostUser+" "+word)
	return &mailapi.Settings{}, nil
}

func TestSmartHost(t *testing.T) {
	c, err := LoadCatalogue("en")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		typed    string
		tls      bool // the second port is chosen
		asked    bool // for the port
		want     string
		accepted bool
	}{
		{"smtp.example.net", false, true, "smtp.example.net:587", true},
		{"smtp.example.net", true, true, "smtp.example.net:465", true},
		{"smtp.example.net:2525", false, false, "smtp.example.net:2525", true},
		{"smtp.example.net:465", false, false, "smtp.example.net:465", true},
		{"192.0.2.25", false, true, "192.0.2.25:587", true},
		{"2001:db8::25", true, true, "[2001:db8::25]:465", true},
		{"[2001:db8::25]", false, true, "[2001:db8::25]:587", true},
		{"[2001:db8::25]:25", false, false, "[2001:db8::25]:25", true},
		{"smtp.example.net:", false, false, "smtp.example.net:", false},
		{"smtp.example.net:99999", false, false, "smtp.example.net:99999", false},
		{"smtp example", false, true, "smtp example:587", false},
		{"", false, false, "", false},
	} {
		s := newSmartHost(c, "", "", false, nil)
		s.host.set(tt.typed)
		if tt.tls {
			s.port.choose(s.port.options[1])
		}
		if got := s.value(); got != tt.want || s.port.hidden() == tt.asked || s.host.valid() != tt.accepted {
			t.Errorf("%q: %q, asked %v, %q; want %+v", tt.typed, got, !s.port.hidden(), s.host.err, tt)
		}
	}
	for _, now := range []string{"smtp.example.net:587", "smtp.example.net:465", "smtp.example.net:25", "[2001:db8::25]:465", ""} {
		if got := newSmartHost(c, "", now, true, nil); got.value() != now || !got.host.valid() {
			t.Errorf("%q of the settings becomes %q, %s", now, got.value(), got.host.err)
		}
	}
}

func TestSendingOnTheConsole(t *testing.T) {
	d, mail, _ := menuDrive(t)
	d.unlock()
	d.choose("How mail leaves")
	d.expect("menu-sending")
	d.keys("enter", "down", "enter", "ann", "enter", "enter")
	d.wants("Please fill this in.")
	d.keys("word", "enter", "enter")
	d.wants("Mail leaves as you said from now on.")
	// Who goes back to sending directly leaves nothing behind that maild refuses.
	mail.settings = mailapi.Settings{SmartHost: "smtp.example.net:465", SmartHostUser: "ann", SmartHostPasswordSet: true}
	d.choose("How mail leaves")
	d.wants("465 (TLS from the start)")
	d.keys("enter", "enter", "e", "enter", "enter", "enter")
	d.choose("How mail leaves")
	d.press(len("smtp.example.net"), "backspace")
	d.keys("enter", "enter")
	mail.done(t, "smart host smtp.example.net:465 ann word", "smart host smtp.example.net:465 anne as before", "smart host   ")
}
