package clienttest

import (
	"path/filepath"
	"testing"
)

// getmail is getmail's settings in testdata/getmailrc.
type getmail struct {
	Protocol, Port string
	More           string // lines of the retriever's
	Delete         bool   // at the server what was fetched
}

// newGetmail gives the Maildir that getmail fills, and what runs it.
func (b *box) newGetmail() (maildir, func(getmail)) {
	b.t.Helper()
	b.deliverer()
	return b.newMaildir("mail"), func(settings getmail) {
		b.t.Helper()
		rc := b.config("getmailrc", settings)
		b.run("getmail", "--getmaildir="+b.Home, "--rcfile="+filepath.Base(rc))
	}
}

func TestGetmailPOP3(t *testing.T) {
	b := newBox(t)
	p := b.peer()
	mail, run := b.newGetmail()
	pop := getmail{Protocol: "POP3", Port: "pop3s"}

	p.append("INBOX", "one", "two S")
	run(pop)
	same(t, "first", mail.list(t), "one", "two")
	run(pop)
	same(t, "nothing new", mail.list(t), "one", "two")

	p.append("INBOX", "three")
	p.expunge("INBOX", "one")
	run(pop)
	same(t, "with what is new", mail.list(t), "one", "two", "three")
	same(t, "the server's", p.list("INBOX"), "two S", "three")

	pop.Delete = true
	p.append("INBOX", "four")
	run(pop)
	same(t, "before deletion", mail.list(t), "one", "two", "three", "four")
	same(t, "the server's after deletion", p.list("INBOX"))
}

func TestGetmailIMAP(t *testing.T) {
	b := newBox(t)
	p := b.peer()
	mail, run := b.newGetmail()
	imap := getmail{Protocol: "IMAP", Port: "imaps", More: `mailboxes = ("INBOX", "Work")`}

	p.create("Work", "Fetched")
	p.append("INBOX", "one", "two F")
	p.append("Work", "three")
	run(imap)
	same(t, "first", mail.list(t), "one", "two", "three")
	same(t, "the server's, not marked as seen", p.list("INBOX"), "one", "two F")

	p.append("Work", "four")
	p.move("INBOX", "one", "Drafts")
	run(imap)
	same(t, "with what is new", mail.list(t), "one", "two", "three", "four")

	// Deleting means moving when a mailbox is named for it.
	imap.Delete, imap.More = true, imap.More+"\nmove_on_delete = Fetched"
	p.append("INBOX", "five")
	run(imap)
	same(t, "before deletion", mail.list(t), "one", "two", "three", "four", "five")
	same(t, "the server's INBOX", p.list("INBOX"))
	same(t, "the server's Work", p.list("Work"))
	same(t, "what was moved", p.list("Fetched"), "two F", "three", "four", "five")
}
