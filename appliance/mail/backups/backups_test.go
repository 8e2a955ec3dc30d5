package backups

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pillarbox/appliance/api/backupapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/config"
	"pillarbox/appliance/mail/account"
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

// box is a daemon's store with its backup API on a socket.
type box struct {
	*backupapi.Client
	data      string
	store     *store.Store
	people    *account.Directory
	restarted bool
}

func open(t *testing.T, data, provision string) *box {
	t.Helper()
	if _, err := Finish(data); err != nil {
		t.Fatal(err)
	}
	b := &box{data: data, store: storetest.Open(t, filepath.Join(data, storeName), store.Options{Small: true})}
	var err error
	if b.people, err = account.New(t.Context(), account.Config{Store: b.store}); err != nil {
		t.Fatal(err)
	}
	if provision != "" {
		p, err := config.ParseProvision([]byte(provision))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.people.Provision(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	s := New(Config{Store: b.store, People: b.people, Data: data, Options: store.Options{Small: true}, Program: "test",
		Restart: func() { b.restarted = true }})
	socket := filepath.Join(t.TempDir(), "s")
	l, err := wire.Listen(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = wire.Serve(t.Context(), l, backupapi.Handler(s), slog.New(slog.DiscardHandler)) }()
	b.Client = backupapi.NewClient(socket)
	t.Cleanup(b.Close)
	return b
}

func (b *box) deliver(t *testing.T, to, text string) {
	t.Helper()
	id, err := b.people.Account(to)
	if err != nil {
		t.Fatal(err)
	}
	body, err := b.store.Spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(body, text); err != nil {
		t.Fatal(err)
	}
	_, err = b.store.Deliver(t.Context(), store.Delivery{Body: body, Facts: store.Facts{Size: int64(len(text))},
		Placements: []store.Placement{{Account: id}}})
	if err != nil {
		t.Fatal(err)
	}
}

// count is the number of messages in a person's INBOX.
func (b *box) count(t *testing.T, of string) uint32 {
	t.Helper()
	id, err := b.people.Account(of)
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.store.MailboxByName(t.Context(), id, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return m.Messages
}

// take makes a backup over the socket, and marks it.
func (b *box) take(t *testing.T, base string) (backupapi.Made, []byte) {
	t.Helper()
	var out bytes.Buffer
	if err := b.Backup(t.Context(), backupapi.Request{Base: base}, &out); err != nil {
		t.Fatal(err)
	}
	r, err := backup.NewReader(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := r.Header()
	m := backupapi.Made{ID: h.ID, Version: h.Version, Created: h.Created}
	if err := b.Safe(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return m, out.Bytes()
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func TestBackupAndRestore(t *testing.T) {
	ctx := t.Context()
	b := open(t, t.TempDir(), people)
	b.deliver(t, "ann@example.org", "Subject: 1\r\n\r\n1\r\n")
	full, file := b.take(t, "")
	b.deliver(t, "ann@example.org", "Subject: 2\r\n\r\n2\r\n")
	b.deliver(t, "bob@example.org", "Subject: 3\r\n\r\n3\r\n")
	inc, file1 := b.take(t, full.ID)
	list, err := b.Backups(ctx)
	if err != nil || len(list) != 2 || list[0].ID != inc.ID || list[1].ID != full.ID {
		t.Errorf("backups: %+v, %v", list, err)
	}
	wantCode(t, "unknown base", b.Backup(ctx, backupapi.Request{Base: "x"}, io.Discard), wire.CodeNotFound)
	wantCode(t, "mark without ID", b.Safe(ctx, backupapi.Made{ID: "x"}), wire.CodeInvalid)

	// Whole, into a new box, which then starts anew.
	data := t.TempDir()
	fresh := open(t, data, "")
	both := slices.Concat(file, file1)
	wantCode(t, "cut short", fresh.Restore(ctx, bytes.NewReader(both[:len(both)-10]), false), wire.CodeInvalid)
	wantCode(t, "no backup", fresh.Restore(ctx, bytes.NewReader(make([]byte, 1000)), false), wire.CodeInvalid)
	wantCode(t, "over mail", b.Restore(ctx, bytes.NewReader(both), false), wire.CodeConflict)
	if entries, err := os.ReadDir(data); err != nil || len(entries) != 1 || fresh.restarted {
		t.Errorf("after failures: %v, %v, restarted: %v", entries, err, fresh.restarted)
	}
	if err := fresh.Restore(ctx, bytes.NewReader(both), false); err != nil || !fresh.restarted {
		t.Fatalf("restore: %v, restarted: %v", err, fresh.restarted)
	}
	storetest.Close(t, fresh.store)
	again := open(t, data, "")
	if n := again.count(t, "ann@example.org"); n != 2 {
		t.Errorf("ann has %d messages", n)
	}
	if n := again.count(t, "bob@example.org"); n != 1 {
		t.Errorf("bob has %d messages", n)
	}
	if entries, err := os.ReadDir(data); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}

	// A part, to somebody else.
	readers := make([]*backup.Reader, 2)
	for i, f := range [][]byte{file, file1} {
		if readers[i], err = backup.NewReader(bytes.NewReader(f)); err != nil {
			t.Fatal(err)
		}
		defer readers[i].Close()
	}
	var part bytes.Buffer
	if _, err := backup.Extract(ctx, &part, backup.Selection{Address: "ann@example.org"}, readers...); err != nil {
		t.Fatal(err)
	}
	p := backupapi.Part{Address: "ann@example.org", To: "bob@example.org"}
	report, err := again.RestorePart(ctx, p, bytes.NewReader(part.Bytes()))
	if err != nil || report.Restored != 2 || report.There != 0 || again.count(t, "bob@example.org") != 3 {
		t.Errorf("part: %+v, %v", report, err)
	}
	p.To = ""
	report, err = again.RestorePart(ctx, p, bytes.NewReader(part.Bytes()))
	if err != nil || report.Restored != 0 || report.There != 2 {
		t.Errorf("part that is there: %+v, %v", report, err)
	}
	p.To = "nobody@example.org"
	_, err = again.RestorePart(ctx, p, bytes.NewReader(part.Bytes()))
	wantCode(t, "to nobody", err, wire.CodeNotFound)
	p = backupapi.Part{Address: "bob@example.org"}
	_, err = again.RestorePart(ctx, p, bytes.NewReader(part.Bytes()))
	wantCode(t, "not in the extract", err, wire.CodeNotFound)
	wantCode(t, "whole from an extract", again.Restore(ctx, bytes.NewReader(part.Bytes()), true), wire.CodeInvalid)
}

// TestFinish ends a restore at each of its steps.
func TestFinish(t *testing.T) {
	for _, tt := range []struct {
		there []string // folders, each with a file of its name
		want  string   // whose store is in place
		done  bool
	}{
		{nil, "", false},
		{[]string{storeName}, storeName, false},
		{[]string{storeName, loading}, storeName, false},
		{[]string{storeName, restored}, restored, true},
		{[]string{replaced, restored}, restored, true},
		{[]string{storeName, replaced, restored}, restored, true},
		{[]string{storeName, replaced}, storeName, false},
		{[]string{loading}, "", false},
	} {
		data := t.TempDir()
		for _, name := range tt.there {
			err := errors.Join(os.Mkdir(filepath.Join(data, name), 0o700), os.WriteFile(filepath.Join(data, name, "is"), []byte(name), 0o600))
			if err != nil {
				t.Fatal(err)
			}
		}
		done, err := Finish(data)
		if err != nil || done != tt.done {
			t.Errorf("%v: %v, %v", tt.there, done, err)
		}
		is, err := os.ReadFile(filepath.Join(data, storeName, "is"))
		if string(is) != tt.want || err != nil && tt.want != "" {
			t.Errorf("%v: store is %s, %v", tt.there, is, err)
		}
		entries, err := os.ReadDir(data)
		if err != nil || len(entries) > 1 {
			t.Errorf("%v: left over %v, %v", tt.there, entries, err)
		}
	}
}
