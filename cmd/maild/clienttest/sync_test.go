package clienttest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// utf7 writes mailboxes' names as RFC 3501 section 5.1.3 has them, which clients
// take over as their folders' names.
var utf7 = strings.NewReplacer("Grüße", "Gr&APwA3w-e")

// syncRound is the round of a client that keeps Maildirs and mailboxes alike.
// Before it is called the client is set up; sync runs it once, folder gives the
// Maildir of a mailbox.
func syncRound(t *testing.T, p *peer, sync func(), folder func(mailbox string) maildir) {
	t.Helper()
	inbox, work, deep := folder("INBOX"), folder("Work"), folder("Work/Grüße")
	alike := func(when string, mailbox string, want ...string) {
		t.Helper()
		same(t, when+": the server's "+mailbox, p.list(mailbox), want...)
		same(t, when+": the client's "+mailbox, folder(mailbox).list(t), want...)
	}

	// More messages than go into one command.
	many := subjects(100)
	p.create("Work", "Work/Grüße", "Many")
	p.append("Many", many...)
	p.append("INBOX", "one", "two", "three", "four S", "five FS", "six")
	p.append("Work", "seven RS", "eight")
	p.append("Work/Grüße", "nine D")
	sync()
	alike("first", "INBOX", "one", "two", "three", "four S", "five FS", "six")
	alike("first", "Work", "seven RS", "eight")
	alike("first", "Work/Grüße", "nine D")
	alike("first", "Many", many...)

	// Both sides change things, some of them the same.
	inbox.flag(t, "one", "FS")
	inbox.remove(t, "two")
	inbox.move(t, "three", work)
	inbox.add(t, "made here")
	work.flag(t, "seven RS", "R")
	deep.add(t, "made deep down")
	p.flag("INBOX", "one", "R")
	p.flag("INBOX", "four", "")
	p.expunge("INBOX", "five")
	p.move("INBOX", "six", "Work/Grüße")
	p.append("INBOX", "made there S")
	p.expunge("Work", "eight")
	p.flagAll("Many", many[40:60], "F")
	folder("Many").remove(t, many[20:40]...)
	sync()
	sync() // what a first run brings to one side, a second may have to mark on the other
	alike("second", "INBOX", "one FRS", "four", "made here", "made there S")
	alike("second", "Work", "seven R", "three")
	alike("second", "Many", slices.Concat(many[:20], with("F", many[40:60]), many[60:])...)
	alike("second", "Work/Grüße", "nine D", "made deep down", "six")

	// Nothing to do: nothing is done.
	before := p.fetch("INBOX")
	sync()
	if after := p.fetch("INBOX"); !maps.Equal(before, after) {
		t.Errorf("a run without work changed the server's INBOX from %v to %v", before, after)
	}
}

// busyRound has a client sync, once and again, while another client keeps
// changing the mailbox, and looks at what both have when that is over. start
// starts a run.
func busyRound(t *testing.T, p *peer, start func() *program, inbox maildir) {
	t.Helper()
	const runs = 2
	p.append("INBOX", subjects(30)...)
	random := rand.New(rand.NewPCG(1, 2))
	added := 0
	for range runs {
		run := start()
		for running := true; running; {
			select {
			case <-run.done:
				running = false
			default:
				added++
				p.change("INBOX", random, fmt.Sprintf("meanwhile %d", added))
			}
		}
		run.wait() // some end with an error where a message vanishes before they fetch it
	}
	for range 2 {
		if out, code := start().wait(); code != 0 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
	}
	want := p.list("INBOX")
	same(t, fmt.Sprintf("the client's, after %d changes", added), inbox.list(t), want...)
}

// TestMbsync has mbsync use all extensions it knows, which in isync 1.4 neither
// CONDSTORE nor QRESYNC is among, and none.
func TestMbsync(t *testing.T) {
	for _, tt := range []struct {
		name      string
		TLS, Port string
		Account   string // more lines of IMAPAccount
	}{
		{"TLS", "IMAPS", "imaps", "PipelineDepth 50"},
		{"STARTTLS", "STARTTLS", "imap", "AuthMechs PLAIN"},
		{"plain IMAP4rev1", "IMAPS", "imaps", "DisableExtensions LITERAL+ MOVE NAMESPACE UIDPLUS SASL-IR\nAuthMechs LOGIN\nPipelineDepth 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t)
			near := filepath.Join(b.Home, "mail")
			b.mkdir(near)
			rc := b.config("mbsyncrc", tt)
			syncRound(t, b.peer(), func() { b.run("mbsync", "-c", rc, "--all") }, func(mailbox string) maildir {
				return maildir(filepath.Join(near, utf7.Replace(mailbox)))
			})
		})
	}
}

func TestMbsyncBusy(t *testing.T) {
	b := newBox(t)
	near := filepath.Join(b.Home, "mail")
	b.mkdir(near)
	rc := b.config("mbsyncrc", struct{ TLS, Port, Account string }{"IMAPS", "imaps", "PipelineDepth 50"})
	busyRound(t, b.peer(), func() *program { return b.start("mbsync", "-c", rc, "--all") }, maildir(filepath.Join(near, "INBOX")))
}
