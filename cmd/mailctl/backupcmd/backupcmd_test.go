package backupcmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"pillarbox/appliance/api/backupapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/config"
	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/backups"
	"pillarbox/appliance/store/backup"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

const people = `
[box]
hostname = "mail.example.org"
timezone = "Europe/Berlin"
admin_password = "the red lighthouse"
[[domain]]
name = "example.org"
[[user]]
address = "ann@example.org"
password = "river stone window"
[[user]]
address = "bob@example.org"
password = "window stone river"
`

// box is a mail daemon as far as backups go, and somebody at its shell.
type box struct {
	t      *testing.T
	store  *store.Store
	people *account.Directory
	socket string
}

func open(t *testing.T, data, provision string) *box {
	t.Helper()
	b := &box{t: t, socket: filepath.Join(t.TempDir(), "s")}
	_, err := backups.Finish(data)
	b.must(err)
	b.store = storetest.Open(t, filepath.Join(data, "store"), store.Options{Small: true})
	b.people, err = account.New(t.Context(), account.Config{Store: b.store})
	b.must(err)
	if provision != "" {
		p, err := config.ParseProvision([]byte(provision))
		b.must(err)
		b.must(b.people.Provision(t.Context(), p))
	}
	l, err := wire.Listen(b.socket, 0o600)
	b.must(err)
	s := backups.New(backups.Config{Store: b.store, People: b.people, Data: data, Options: store.Options{Small: true}, Restart: func() {}})
	go func() { _ = wire.Serve(t.Context(), l, backupapi.Handler(s), slog.New(slog.DiscardHandler)) }()
	return b
}

func (b *box) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// deliver puts messages with the numbers from to to into ann's INBOX.
func (b *box) deliver(from, to int) {
	b.t.Helper()
	id, err := b.people.Account("ann@example.org")
	b.must(err)
	for n := from; n <= to; n++ {
		body, err := b.store.Spool(b.t.Context())
		b.must(err)
		size, err := fmt.Fprintf(body, "Subject: %d\r\n\r\n%s\r\n", n, strings.Repeat(fmt.Sprint(n), 1000))
		b.must(err)
		_, err = b.store.Deliver(b.t.Context(), store.Delivery{Body: body, Placements: []store.Placement{{Account: id}},
			Facts: store.Facts{Size: int64(size), MessageID: fmt.Sprintf("%d@example.org", n)}})
		b.must(err)
	}
}

func (b *box) messages(of string) uint32 {
	b.t.Helper()
	id, err := b.people.Account(of)
	b.must(err)
	m, err := b.store.MailboxByName(b.t.Context(), id, "INBOX")
	b.must(err)
	return m.Messages
}

// run runs a command line with the input given.
func (b *box) run(in []byte, args ...string) (out []byte, messages string, err error) {
	b.t.Helper()
	var o, e bytes.Buffer
	err = Run(b.t.Context(), Env{Socket: b.socket, In: bytes.NewReader(in), Out: &o, Err: &e}, args)
	return o.Bytes(), e.String(), err
}

// ok is run of a command that works.
func (b *box) ok(args ...string) (string, string) {
	b.t.Helper()
	out, messages, err := b.run(nil, args...)
	if err != nil {
		b.t.Fatalf("%v: %v\n%s", args, err, messages)
	}
	return string(out), messages
}

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	id, err := age.GenerateX25519Identity()
	b := open(t, t.TempDir(), people)
	b.must(err)
	b.must(os.WriteFile(file("key"), []byte(id.String()+"\n"), 0o600))
	b.must(os.WriteFile(file("pass"), []byte("four words and more\n"), 0o600))

	b.deliver(1, 5)
	if _, _, err := b.run(nil, "backup", "--increment", file("x")); err == nil {
		t.Error("an increment to nothing")
	}
	if _, _, err := b.run(nil, "backup", dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a backup to a folder: %v", err)
	}
	if _, err := os.Stat(dir + ".part"); err == nil {
		t.Error("a part of a backup was left")
	}
	b.ok("backup", file("full"))
	b.deliver(6, 7)
	b.ok("backup", file("inc1"), "--increment", "--recipient", id.Recipient().String())
	b.deliver(8, 8)
	if _, _, err := b.run(nil, "backup", "--increment", file("inc1")); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("an increment in place of what it is made to: %v", err)
	}
	_, said, err := b.run(nil, "backup", "-")
	if err != nil || !strings.Contains(said, "no increment will be made to it") {
		t.Errorf("to standard output: %v\n%s", err, said)
	}
	inc2, _, err := b.run(nil, "backup", "--increment", "--as-base", "-")
	b.must(err)
	b.deliver(9, 9)
	inc3, _, err := b.run(nil, "backup", "--increment", "-")
	b.must(err)
	list, _ := b.ok("backup", "--list")
	if strings.Count(list, "\n") != 3 { // full, inc1, inc2
		t.Errorf("list:\n%s", list)
	}
	for _, out := range [][]byte{inc3, inc2} {
		r, err := backup.NewReader(bytes.NewReader(out))
		b.must(err)
		if h := r.Header(); !strings.Contains(list, h.Base) || strings.Contains(list, h.ID) != (&out[0] == &inc2[0]) {
			t.Errorf("increment %s to %s, list:\n%s", h.ID, h.Base, list)
		}
		r.Close()
	}
	b.ok("backup", "--passphrase-file", file("pass"), file("secret"))
	for _, name := range []string{"full", "inc1", "secret"} {
		if s, err := os.Stat(file(name)); err != nil || s.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, s.Mode(), err)
		}
	}

	// Verifying.
	if out, _ := b.ok("verify", file("full")); !strings.Contains(out, "whole") || !strings.Contains(out, "5 messages") {
		t.Errorf("verify: %s", out)
	}
	b.ok("verify", "--passphrase-file", file("pass"), file("secret"))
	b.ok("verify", "--identity", file("key"), file("inc1"))
	if _, _, err := b.run(inc2, "verify", "--identity", file("key"), "-", file("inc1"), file("full")); err != nil {
		t.Errorf("verify a chain: %v", err)
	}
	if _, _, err := b.run(nil, "verify", file("inc1")); err == nil {
		t.Error("verified without the key")
	}
	if _, _, err := b.run(inc2, "verify", "-", file("full")); err == nil {
		t.Error("verified with an increment missing")
	}
	text, err := os.ReadFile(file("full"))
	b.must(err)
	text[len(text)/2] ^= 1
	b.must(os.WriteFile(file("bad"), text, 0o600))
	if _, _, err := b.run(nil, "verify", file("bad")); err == nil {
		t.Error("damage was not noticed")
	}

	// Restoring all, files in no order.
	data := t.TempDir()
	fresh := open(t, data, "")
	chain := []string{"--identity", file("key"), "-", file("inc1"), file("full")}
	if _, _, err := fresh.run(nil, "restore", file("bad")); err == nil {
		t.Error("restored from what is damaged")
	}
	if _, m, err := fresh.run(inc2, append([]string{"restore"}, chain...)...); err != nil {
		t.Fatalf("restore: %v\n%s", err, m)
	}
	storetest.Close(t, fresh.store)
	again := open(t, data, "")
	if n := again.messages("ann@example.org"); n != 8 {
		t.Errorf("ann has %d messages", n)
	}

	// Restoring a part.
	_, m, err := again.run(inc2, append([]string{"restore", "--user", "ann@example.org", "--to", "bob@example.org", "--message-id", "7@example.org"}, chain...)...)
	if err != nil || again.messages("bob@example.org") != 1 {
		t.Errorf("one message: %v\n%s", err, m)
	}
	_, m, err = again.run(inc2, append([]string{"restore", "--user", "ann@example.org", "--to", "bob@example.org"}, chain...)...)
	if err != nil || again.messages("bob@example.org") != 8 || !strings.Contains(m, "7 messages restored, 1 were there already") {
		t.Errorf("one person: %v\n%s", err, m)
	}
	var e *wire.Error
	if _, _, err := again.run(nil, "restore", "--user", "nobody@example.org", "--to", "bob@example.org", file("full")); err == nil {
		t.Error("restored mail of nobody")
	}
	if _, _, err := again.run(nil, "restore", file("full")); !errors.As(err, &e) || e.Code != wire.CodeConflict {
		t.Errorf("restored over mail: %v", err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"nothing"}, {"backup"}, {"backup", "a", "b"}, {"backup", "--increment", "--since", "x", "a"}, {"backup", "--nothing"},
		{"backup", "--as-base", "a"},
		{"restore"}, {"restore", "--mailbox", "x", "a"}, {"restore", "--user", "a", "--replace", "a"}, {"restore", "--user", "a", "--uid", "1", "a"},
		{"restore", "--user", "a", "--mailbox", "b", "--uid", "4294967296", "a"}, {"verify"},
	} {
		if err := Run(t.Context(), Env{Out: io.Discard, Err: io.Discard}, args); !errors.Is(err, ErrUsage) {
			t.Errorf("%v: %v", args, err)
		}
	}
	for _, name := range []string{"backup", "restore", "verify"} {
		var e bytes.Buffer
		if err := Run(t.Context(), Env{Out: io.Discard, Err: &e}, []string{name, "--help"}); err != nil || !strings.Contains(e.String(), "mailctl "+name) {
			t.Errorf("%s --help: %v\n%s", name, err, e.String())
		}
	}
}
