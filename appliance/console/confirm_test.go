package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
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
		case c.Admin != nil:
			u.Admin = *c.Admin
			f.changed = append(f.changed, "postmaster "+address)
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

// The mailbox that gets the postmaster's mail can be removed once another does, and
// the person is told so.
func TestAnotherMailboxForThePostmaster(t *testing.T) {
	d, mail, _ := menuDrive(t)
	mail.users = append(mail.users, mailapi.User{Address: "bob@example.org"})
	mail.users[0].Admin = true
	d.unlock()
	d.choose("Mailboxes and passwords")
	d.choose("ann@example.org")
	d.wants("Mail to the postmaster arrives here.")
	d.choose("Remove it with all its mail")
	d.keys("ann@example.org", "enter", "enter")
	d.wants("somebody has to receive mail for postmaster: let", "another mailbox get it first")
	mail.done(t)
	d.keys("esc", "esc")
	d.choose("bob@example.org")
	d.choose("Let it get the postmaster's mail too")
	d.wants("Mail to the postmaster arrives at bob@example.org too.")
	d.choose("ann@example.org")
	d.choose("Remove it with all its mail")
	d.keys("ann@example.org", "enter", "enter")
	mail.done(t, "postmaster bob@example.org", "remove ann@example.org")
}

// What a daemon says of a failure is said in the person's language too.
func TestFailuresAreTranslated(t *testing.T) {
	d, _, _ := menuDrive(t)
	d.m.speak("de")
	for said, want := range map[error]string{
		wire.Conflict("ann@example.org is a person already"):                              "ann@example.org ist schon ein Postfach",
		fmt.Errorf("%w (%w)", wire.Unavailable("no answer from /run/maild.sock"), io.EOF): "Der Dienst maild antwortet nicht; versuchen Sie es in einer Minute wieder.",
		errors.New("something new"):                                                       "something new",
	} {
		d.m.failed(said)
		if d.m.notice != "Das hat nicht funktioniert: "+want {
			t.Errorf("%q is told as %q", said, d.m.notice)
		}
	}
}
