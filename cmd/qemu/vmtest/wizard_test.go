//go:build vm

package vmtest

import (
	"strings"
	"testing"
	"time"
)

// TestWizard sets a box up over the serial line, as a person types, mistakes
// included, and logs in with the account it made. Then it is emptied again.
func TestWizard(t *testing.T) {
	const (
		user     = "eva@example.net"
		password = "eva picks a long one"
		admin    = "the box opens to this"
	)
	b := start(t, raw(newDisk(t, "")))
	began := time.Now()
	b.shows(bootLimit, `Welcome \(1/9\)`)
	b.typed("\r")
	b.shows(clientLimit, `Network \(2/9\)`)
	b.shows(clientLimit, `10\.0\.2\.15`)
	b.shows(clientLimit, `Router +good +10\.0\.2\.2`)
	b.typed("\r")

	b.shows(clientLimit, `Names \(3/9\)`)
	b.typed("not a domain\r")
	b.shows(clientLimit, `! `) // says what is wrong and stays
	b.typed(strings.Repeat("\x7f", len("not a domain")) + "example.net\r")
	b.shows(clientLimit, `mail\.example\.net`) // proposed
	b.typed("\r")

	b.shows(clientLimit, `Administrator \(4/9\)`)
	b.typed(admin + "\r" + admin + "x\r")
	b.shows(clientLimit, `! `) // not the same
	b.typed("\x7f\r")

	b.shows(clientLimit, `First mailbox \(5/9\)`)
	b.typed("eva\rEva Example\r" + password + "\r" + password + "\r")
	b.shows(clientLimit, `Sending \(6/9\)`)
	b.typed("\x1b[A") // straight, though the machine may keep port 25 shut and a smart host be proposed
	b.typed("\r")
	b.shows(clientLimit, `Certificate \(7/9\)`)
	b.typed("\r") // by the box's own authority
	b.shows(clientLimit, `Time zone \(8/9\)`)
	b.typed("berlin\r")
	b.shows(clientLimit, `Is this right\?`)
	b.shows(clientLimit, `Europe/Berlin`)
	b.typed("\r")
	b.shows(bootLimit, `The box is set up and carries mail\.`)
	b.typed("\r")
	b.shows(clientLimit, `_imaps\._tcp\.example\.net`)
	b.typed("\r")
	b.shows(clientLimit, `Scan QR code`)
	t.Logf("a mailbox ready for a phone %.1f minutes after power-on; the last page:\n%s", time.Since(began).Minutes(), b.Serial.Screen())
	b.typed("\r")
	b.shows(clientLimit, `Mail is served\.`)

	c, err := dialIMAP(b.Addr(993), user, password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if got, err := c.messages("INBOX"); err != nil || len(got) != 0 {
		t.Errorf("a new mailbox has %d messages, %v", len(got), err)
	}
	must(t, "", "swaks", "--server", "127.0.0.1", "--port", b.port(465), "--tlsc", "--auth", "PLAIN", "--auth-user", user, "--auth-password", password,
		"--from", user, "--to", "postmaster@example.net", "--header", "Subject: to myself", "--timeout", "300")
	if got, err := c.messages("INBOX"); err != nil || len(got) != 1 || !strings.Contains(got[0], "to myself") {
		t.Errorf("got %q, %v", got, err)
	}

	// A factory reset ends where the box began.
	b.typed("m")
	b.shows(clientLimit, `Locked`)
	b.typed(admin + "\r\r")
	b.shows(clientLimit, `Factory reset`)
	b.choose("Factory reset")
	b.typed("mail.example.net\r\r")
	b.expect(bootLimit, `factory reset: done`)
	b.shows(bootLimit, `Welcome \(1/9\)`)
	b.pressButton()
}
