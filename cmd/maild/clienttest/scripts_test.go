package clienttest

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// Libraries that programs are made with: the round is a script of testdata, in
// the library's language, which fails where what it sees is not what it should.
// The other client it needs is a second connection of its own; what the server
// has in the end is checked here.

// script copies a script of testdata to the client's home and gives its path.
func (b *box) script(name string) string {
	b.t.Helper()
	path := filepath.Join(b.Home, filepath.Base(name))
	b.write(path, b.read(filepath.Join("testdata", name)))
	return path
}

// eml writes message(subject) to a file of the client's and gives its path.
func (b *box) eml(subject string) string {
	b.t.Helper()
	path := filepath.Join(b.Home, subject+".eml")
	b.write(path, message(subject))
	return path
}

func TestMailIMAPClient(t *testing.T) {
	b := newBox(t)
	p := b.peer()
	p.create("Work")
	p.append("INBOX", "one", "two", "three", "four S")
	fetched := filepath.Join(b.Home, "fetched.eml")
	b.run("perl", b.script("imapclient.pl"), b.Port["imap"], b.Port["imaps"], b.CA, ann, annPassword, b.eml("made here"), b.eml("made too"), fetched)
	same(t, "the server's INBOX", p.list("INBOX"), "one FS", "four RS", "made here")
	same(t, "the server's Work", p.list("Work"), "one FS", "two")
	same(t, "the server's new mailbox", p.list("Renamed"), "made too DF")
	same(t, "the client's copy", []string{entry(b.read(fetched), "")}, "one")
}

func TestPython(t *testing.T) {
	b := newBox(t)
	p := b.peer()
	ports, err := json.Marshal(b.Port)
	if err != nil {
		t.Fatal(err)
	}
	b.run("python3", b.script("python.py"), string(ports), b.CA, ann, annPassword, b.eml("made here"))
	same(t, "the server's mailboxes", p.mailboxes(), "INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash", "Renamed")
	if got := p.list("INBOX"); len(got) != 2 {
		t.Errorf("the server's INBOX: %q, want what was copied and one of two that were sent", got)
	}
	if got := p.list("Trash"); len(got) != 1 {
		t.Errorf("the server's Trash: %q, want what was moved", got)
	}
}
