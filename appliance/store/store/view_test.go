package store

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"pillarbox/appliance/store/blob"
)

// A value that is moved between the look-up and the reading is read where it is
// then.
func TestValueThatIsMoved(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{UndeleteFor: -1})
	s.keeper.stop() // this test does its work
	acct := newAccount(t, s)
	noise := make([]byte, 200<<10)
	for i := range noise {
		noise[i] = byte(i*i) ^ byte(i>>8)
	}
	var last Receipt
	for n := range 40 {
		last = deliver(t, s, append(message(n, 100), noise...), Placement{Account: acct})
	}
	if _, _, err := s.Expunge(ctx, last.Placed[0].Mailbox, []UID{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.pause(); err != nil { // so that Badger knows of the garbage
		t.Fatal(err)
	}
	// The first body is in a file that is written anew.
	k := keyChunk(last.Blob-39, 1)
	txn := s.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	old, err := txn.Get(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.collect(); err != nil {
		t.Fatal(err)
	}
	empty := false
	if err := itemValue(old, func(val []byte) error { empty = len(val) == 0; return nil }); err != nil || !empty {
		t.Fatalf("the value was not moved: %v", err)
	}
	tries := 0
	got := 0
	err = getValue(func(k []byte) (*badger.Item, error) {
		if tries++; tries == 1 {
			return old, nil
		}
		return txn.Get(k)
	}, k, func(val []byte) error { got = len(val); return nil })
	if err != nil || got == 0 || tries != 2 {
		t.Errorf("%d bytes at try %d, %v", got, tries, err)
	}
}

// A value that cannot be read is left out of a snapshot, and told: a row without
// a value is one that cannot be restored.
func TestSnapshotLeavesOutWhatCannotBeRead(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	pattern := bytes.Repeat([]byte("a pattern to be found "), 500)
	noise := make([]byte, 200<<10)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise) // which does not shrink, so that it is found too
	for n := range 2 {
		s, err := Open(ctx, dir, Options{Small: true})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			deliver(t, s, append(message(1, 100), noise...), Placement{Account: newAccount(t, s)})
		}
		for _, key := range []string{"bad", "good"}[:2-2*n] {
			if err := s.UpdateDocs(ctx, DocOp{Table: TableSetting, Key: key, Value: append([]byte(key), pattern...)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
	if err != nil {
		t.Fatal(err)
	}
	spoilt := 0
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range [][]byte{append([]byte("bad"), pattern...), noise[150<<10:][:100]} {
			if at := bytes.Index(raw, what); at >= 0 {
				raw[at+50] ^= 1
				spoilt++
			}
		}
		if spoilt > 0 {
			if err := os.WriteFile(name, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if spoilt != 2 {
		t.Fatalf("found %d times in %d files", spoilt, len(files))
	}
	s, err := Open(ctx, dir, Options{Small: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := s.Snapshot()
	defer p.Close()
	var docs []string
	if err := p.Head(ctx, 0, func(k, val []byte) error {
		if len(val) == 0 {
			t.Errorf("row %x has no value", k)
		}
		if k[0] == tableDoc {
			docs = append(docs, string(k[2:]))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(docs) != 1 || docs[0] != "good" || len(p.Damage) != 1 {
		t.Errorf("documents %q, damage %+v", docs, p.Damage)
	}
	if err := p.Bodies(ctx, 0, func(k, val []byte) error {
		if len(val) == 0 {
			t.Errorf("row %x has no value", k)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(p.Damage) != 2 {
		t.Errorf("with bodies, damage %+v", p.Damage)
	}
}

// Badger answers an empty value where it cannot read one: nothing takes that for
// a record, and nothing that is kept is empty.
func TestEmptyValueIsNoRecord(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	acct := newAccount(t, s)
	at := deliver(t, s, message(1, 100<<10), Placement{Account: acct, Flags: Flags{Keywords: []string{"work"}}}).Placed[0]
	if _, _, err := s.Expunge(ctx, at.Mailbox, []UID{at.UID}, false); err != nil {
		t.Fatal(err)
	}
	q := Delivery{Body: spooled(t, s, message(2, 3000)), Facts: Facts{Size: 3000}, Placements: []Placement{{Account: acct}},
		Queue: []QueueEntry{{Recipient: "x@example.net", Created: s.now(), Due: s.now()}},
		Docs:  []DocOp{{Table: TableTrace, Key: "k", Value: []byte{}, Expires: s.now().AddDate(1, 0, 0)}}}
	if _, err := s.Deliver(ctx, q); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkBackup(ctx, BackupMark{ID: "one", Version: 1, At: s.now()}); err != nil {
		t.Fatal(err)
	}
	tables := map[byte]bool{}
	v := s.view()
	defer v.close()
	if err := v.scan(scanOptions{}, func(k, val []byte) error {
		tables[k[0]] = true
		if len(val) == 0 {
			t.Errorf("row %x is empty", k)
		}
		return nil
	}); err != nil || len(tables) < 12 {
		t.Errorf("rows of %d tables, %v", len(tables), err)
	}
	var f Facts
	for what, err := range map[string]error{
		"global": second(decodeGlobal(nil)), "account": second(decodeAccount(nil)), "mailbox": second(decodeMailbox(nil)),
		"entry": second(decodeEntry(nil)), "email": second(decodeEmail(nil)), "thread": second(decodeThread(nil)),
		"expunged": second(decodeExpunged(nil)), "deleted mailbox": second(decodeDoomed(nil)), "queue": second(decodeQueue(1, nil)),
		"document": second(decodeDoc(nil)), "log": second(decodeLog(nil)), "backup": second(decodeBackupMark(keyMeta(metaBackup+"one"), nil)),
		"facts": second(decodeFacts(s.codec, nil, WantIndex|WantHeader, &f)), "body": second(blob.ParseMeta(nil)),
		"chunk": second(s.codec.Unpack(nil, nil, 0)), "mailbox name": readRecord(nil).end(),
	} {
		if err == nil {
			t.Errorf("an empty %s is taken for one", what)
		}
	}
}
