package clienttest

import (
	"strings"
	"testing"
	"time"
)

// fetchmail is fetchmail's settings in testdata/fetchmailrc.
type fetchmail struct {
	Protocol, Port string
	TLS            string // "ssl", or "" for STARTTLS
	Server         string // more of the server's
	Options        string // and of the user's
}

// nothingNew is fetchmail's exit code where there was no mail.
const nothingNew = 1

// newFetchmail gives the Maildir that fetchmail fills, and what runs it.
func (b *box) newFetchmail() (maildir, func(f fetchmail, wantCode int)) {
	b.t.Helper()
	b.deliverer()
	return b.newMaildir("mail"), func(f fetchmail, wantCode int) {
		b.t.Helper()
		rc := b.config("fetchmailrc", f)
		if out, code := b.exit("fetchmail", "--fetchmailrc", rc, "--nodetach", "--verbose"); code != wantCode {
			b.t.Fatalf("fetchmail: exit code %d, want %d\n%s", code, wantCode, out)
		}
	}
}

func TestFetchmailIMAP(t *testing.T) {
	b := newBox(t)
	p := b.peer()
	mail, run := b.newFetchmail()
	keep := fetchmail{Protocol: "imap", Port: "imaps", TLS: "ssl", Options: `folder "INBOX","Work" keep`}

	p.create("Work")
	p.append("INBOX", "one", "two S", "three F")
	p.append("Work", "four")
	run(keep, 0)
	// It takes what is unseen, and marks it as seen.
	same(t, "first", mail.list(t), "one", "three", "four")
	same(t, "the server's INBOX", p.list("INBOX"), "one S", "two S", "three FS")
	same(t, "the server's Work", p.list("Work"), "four S")
	run(keep, nothingNew)

	p.append("INBOX", "five")
	p.expunge("INBOX", "three")
	run(keep, 0)
	same(t, "with what is new", mail.list(t), "one", "three", "four", "five")

	// All is taken away, over STARTTLS, with an EXPUNGE after each.
	p.append("INBOX", "six")
	run(fetchmail{Protocol: "imap", Port: "imap", Options: "fetchall nokeep expunge 1"}, 0)
	same(t, "before deletion", mail.list(t), "one", "three", "four", "five", "one", "two", "five", "six")
	same(t, "the server's INBOX", p.list("INBOX"))
	same(t, "the server's Work", p.list("Work"), "four S")
}

func TestFetchmailPOP3(t *testing.T) {
	b := newBox(t)
	p := b.peer()
	mail, run := b.newFetchmail()
	keep := fetchmail{Protocol: "pop3", Port: "pop3s", TLS: "ssl", Server: "uidl", Options: "keep"}

	p.append("INBOX", "one", "two")
	run(keep, 0)
	same(t, "first", mail.list(t), "one", "two")
	run(keep, nothingNew)
	p.append("INBOX", "three")
	p.expunge("INBOX", "one")
	run(keep, 0)
	same(t, "with what is new", mail.list(t), "one", "two", "three")

	p.append("INBOX", "four")
	run(fetchmail{Protocol: "pop3", Port: "pop3", Options: "fetchall nokeep"}, 0)
	same(t, "before deletion", mail.list(t), "one", "two", "three", "two", "three", "four")
	same(t, "the server's", p.list("INBOX"))
}

// TestFetchmailIdle has fetchmail wait in IDLE for mail that comes.
func TestFetchmailIdle(t *testing.T) {
	b := newBox(t)
	p := b.peer()
	b.deliverer()
	mail := b.newMaildir("mail")
	rc := b.config("fetchmailrc", fetchmail{Protocol: "imap", Port: "imaps", TLS: "ssl", Options: "idle"})
	run := b.start("fetchmail", "--fetchmailrc", rc, "--nodetach", "--verbose")
	var want []string
	for _, subject := range []string{"one", "two", "three"} {
		p.append("INBOX", subject)
		want = append(want, subject)
		for len(mail.list(t)) < len(want) {
			select {
			case <-run.done:
				t.Fatalf("fetchmail ended before %q came:\n%s", subject, run.out.String())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	same(t, "fetched", mail.list(t), want...)
	if !strings.Contains(run.out.String(), "IDLE") {
		t.Errorf("fetchmail did not use IDLE:\n%s", run.out.String())
	}
}
