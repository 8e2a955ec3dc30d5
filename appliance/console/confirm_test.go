package console

import (
	"context"
	"strings"
	"testing"

	"pillarbox/appliance/api/mailapi"
)

func (f *fakeMail) ChangeUser(_ context.Context, address string, c mailapi.UserChange) (*mailapi.User, error) {
	for i := range f.users {
		u := &f.users[i]
		switch {
		case u.Address != address:
			continue
		case c.Disabled != nil && *c.Disabled:
			u.Disabled = true
			f.changed = append(f.changed, "close "+address)
		case c.Disabled != nil:
			u.Disabled = false
			f.changed = append(f.changed, "open "+address)
		case c.Quota != nil:
			u.Quota = *c.Quota
			f.changed = append(f.changed, "limit "+octets(*c.Quota))
		}
		return u, nil
	}
	return nil, nil
}

// done fails unless just these changes were made.
func (f *fakeMail) done(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(f.changed, "; "); got != strings.Join(want, "; ") {
		t.Errorf("done: %q, want %q", got, strings.Join(want, "; "))
	}
}

// Enter alone never closes a mailbox.
func TestClosingAMailboxAsksBack(t *testing.T) {
	d, mail, _ := menuDrive(t)
	d.unlock()
	d.choose("Mailboxes and passwords")
	d.choose("ann@example.org")
	d.choose("Close it: no more logging in")
	d.expect("menu-close")
	d.keys("enter")
	mail.done(t)
	d.choose("Close it: no more logging in")
	d.keys("esc")
	mail.done(t)
	d.choose("Close it: no more logging in")
	d.keys("down", "enter")
	mail.done(t, "close ann@example.org")
	d.wants("ann@example.org is closed.", "closed, 3 messages")
	d.choose("ann@example.org")
	d.choose("Open it again")
	mail.done(t, "close ann@example.org", "open ann@example.org")
	d.wants("ann@example.org is open again.")
}

// A limit that shuts a mailbox for new mail is no less than closing it.
func TestALimitBelowWhatIsThereAsksBack(t *testing.T) {
	d, mail, _ := menuDrive(t)
	d.unlock()
	d.choose("Mailboxes and passwords")
	d.choose("ann@example.org")
	d.choose("Storage limit")
	d.keys("10kB", "enter", "enter")
	d.expect("menu-limit")
	d.keys("enter")
	mail.done(t)
	d.keys("enter", "down", "enter")
	mail.done(t, "limit 10 kB")
	d.choose("ann@example.org")
	d.choose("Storage limit")
	d.press(len("10kB"), "backspace")
	d.keys("5GB", "enter", "enter")
	mail.done(t, "limit 10 kB", "limit 5.0 GB")
}

func TestStoppingFromTheMenuAsksBack(t *testing.T) {
	d, _, _ := menuDrive(t)
	f := d.m.backend.(*fake)
	d.unlock()
	d.choose("Restart or switch off")
	d.choose("Switch off")
	d.expect("menu-switch-off")
	d.keys("enter")
	if f.off != 0 {
		t.Fatal("switched off without a yes")
	}
	d.choose("Restart")
	d.wants("Nobody can read or send mail for a minute or two.")
	d.keys("esc")
	d.choose("Switch off")
	d.keys("down", "enter")
	d.wants("Switching off.")
	if f.off != 1 {
		t.Errorf("switched off %d times, want once", f.off)
	}
}
