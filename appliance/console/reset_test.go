package console

import "testing"

func TestFactoryResetNeedsTheName(t *testing.T) {
	d, _, box := menuDrive(t)
	d.m.state.Mail.Messages = 1200
	d.unlock()
	d.choose("Factory reset")
	d.keys("yes", "enter")
	d.expect("menu-reset")
	d.press(3, "backspace")
	if box.reset != "" {
		t.Fatal("reset without the name")
	}
	d.keys("mail.example.org", "enter", "enter")
	d.wants("Restarting.")
	if box.reset != "mail.example.org" {
		t.Errorf("reset %q", box.reset)
	}
}
