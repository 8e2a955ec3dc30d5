package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// rawOp changes rows behind the store's back, as damage would.
type rawOp func(*stage)

func (o rawOp) apply(st *stage) (any, error) { o(st); return nil, nil }

// space lets damage happen on a full disk too.
func (rawOp) space() spaceUse { return spaceShrinks }

func damage(t testing.TB, s *Store, o rawOp) {
	t.Helper()
	if _, err := s.submit(context.Background(), o); err != nil {
		t.Fatal(err)
	}
}

func spoil(st *stage, k []byte) {
	val, err := st.get(k)
	if err != nil || val == nil {
		panic("nothing to spoil")
	}
	val = bytes.Clone(val)
	for i := range val[1:] {
		val[1+i] ^= 0x5a
	}
	st.put(k, val)
}

func TestRepair(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		name   string
		damage func(st *stage, r Receipt, a AccountID)
		lost   bool // it cannot be mended, only told
	}{
		{"email row gone", func(st *stage, r Receipt, a AccountID) { st.del(keyEmail(a, r.Placed[0].Email)) }, false},
		{"reference gone", func(st *stage, r Receipt, a AccountID) { st.del(keyRefEmail(r.Blob, a, r.Placed[0].Email)) }, false},
		{"reference of nobody", func(st *stage, r Receipt, a AccountID) {
			st.put(keyRefEmail(r.Blob, a, 77), []byte{recordVersion})
		}, false},
		{"queue reference of nobody", func(st *stage, r Receipt, _ AccountID) { st.put(keyRefQueue(r.Blob, 77), []byte{recordVersion}) }, false},
		{"body of nobody", func(st *stage, r Receipt, _ AccountID) {
			m, err := st.get(keyBlob(r.Blob))
			if err != nil {
				panic(err)
			}
			st.put(keyBlob(500), m)
			st.global.LastBlob = 600
			for n := range 2 {
				row, err := st.get(keyChunk(r.Blob, n))
				if err != nil {
					panic(err)
				}
				st.put(keyChunk(500, n), row)
			}
			f, err := st.get(keyFacts(r.Blob))
			if err != nil {
				panic(err)
			}
			st.put(keyFacts(500), f)
		}, false},
		{"chunk of no body", func(st *stage, _ Receipt, _ AccountID) { st.put(keyChunk(400, 1), []byte{1, 0}) }, false},
		{"counters of the store", func(st *stage, _ Receipt, _ AccountID) { st.global.Messages, st.global.Bytes = 99, -5 }, false},
		{"quota", func(st *stage, _ Receipt, a AccountID) {
			acct, err := st.account(a)
			if err != nil {
				panic(err)
			}
			acct.Quota.Bytes += 1000
		}, false},
		{"counters of a mailbox", func(st *stage, r Receipt, _ AccountID) {
			m, err := st.mailbox(r.Placed[0].Mailbox)
			if err != nil {
				panic(err)
			}
			m.Unseen, m.Size = 7, 1
		}, false},
		{"name gone", func(st *stage, _ Receipt, a AccountID) { st.del(keyName(a, "Trash")) }, false},
		{"queue time gone", func(st *stage, _ Receipt, _ AccountID) { st.del(keyDue(time.Unix(1000, 0), 1)) }, false},
		{"change gone", func(st *stage, _ Receipt, a AccountID) { st.del(keyLog(a, 2)) }, false},
		{"last change gone", func(st *stage, r Receipt, a AccountID) { st.del(keyLog(a, r.Placed[0].ModSeq)) }, false},
		{"change spoilt", func(st *stage, _ Receipt, a AccountID) { st.put(keyLog(a, 2), []byte{recordVersion, 0xff}) }, false},
		{"mod-sequence of a mailbox", func(st *stage, r Receipt, _ AccountID) {
			m, err := st.mailbox(r.Placed[0].Mailbox)
			if err != nil {
				panic(err)
			}
			m.HighestModSeq += 10
		}, false},
		{"index of nobody", func(st *stage, _ Receipt, _ AccountID) { st.put(key(tableIndex, 99, 1), []byte("row")) }, false},
		{"chunk spoilt", func(st *stage, r Receipt, _ AccountID) { spoil(st, keyChunk(r.Blob, 1)) }, true},
		{"chunk gone", func(st *stage, r Receipt, _ AccountID) { st.del(keyChunk(r.Blob, 1)) }, true},
		{"facts gone", func(st *stage, r Receipt, _ AccountID) { st.del(keyFacts(r.Blob)) }, true},
		{"facts spoilt", func(st *stage, r Receipt, _ AccountID) { spoil(st, keyFacts(r.Blob)) }, true},
		{"entry spoilt", func(st *stage, r Receipt, _ AccountID) {
			st.put(keyEntry(r.Placed[0].Mailbox, r.Placed[0].UID), []byte{recordVersion, 0xff})
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := Open(ctx, t.TempDir(), Options{Small: true})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			acct := newAccount(t, s)
			deliver(t, s, message(1, 3000), Placement{Account: acct})
			sp := spooled(t, s, message(2, 9000))
			r, err := s.Deliver(ctx, Delivery{Body: sp, Facts: Facts{Index: []byte("index"), Preview: "hello"},
				Placements: []Placement{{Account: acct}}, Queue: []QueueEntry{{Recipient: "a@example.org", Due: time.Unix(1000, 0)}}})
			if err != nil {
				t.Fatal(err)
			}
			damage(t, s, func(st *stage) { tc.damage(st, r, acct) })
			found, err := s.Check(ctx, CheckOptions{Bodies: true, Repair: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(found.Problems) == 0 {
				t.Fatal("nothing was found")
			}
			if err := s.Sweep(ctx); err != nil {
				t.Fatal(err)
			}
			after, err := s.Check(ctx, CheckOptions{Bodies: true})
			if err != nil {
				t.Fatal(err)
			}
			if (len(after.Problems) > 0) != tc.lost {
				t.Errorf("found %+v, after repair %+v", found.Problems, after.Problems)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A report lists so many problems, and counts the others; what cannot be mended
// leaves room for what can.
func TestMoreProblemsThanAReportLists(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, t.TempDir(), Options{Small: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	newAccount(t, s)
	const bad, stray = maxProblems + 50, 20
	for n := range bad / sweepPart {
		damage(t, s, func(st *stage) {
			for i := range sweepPart {
				st.put(keyThread(1, uint64(1+n*sweepPart+i)), []byte{recordVersion})
			}
		})
	}
	damage(t, s, func(st *stage) {
		for i := range bad % sweepPart {
			st.put(keyThread(1, uint64(1<<32+i)), []byte{recordVersion})
		}
		for i := range stray { // found after the others
			st.put(keyRefQueue(7, QueueID(1000+i)), []byte{recordVersion})
		}
	})
	for _, left := range []int64{stray, 0} {
		r, err := s.Check(ctx, CheckOptions{Repair: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Problems) != maxProblems || r.Unlisted != bad+left-maxProblems {
			t.Errorf("%d problems and %d more, want %d in all", len(r.Problems), r.Unlisted, bad+left)
		}
	}
}

// One bad body is the matter of those who read its bad part, of nobody else.
// What cannot be cleared away, being damaged, does not keep the rest on the disk.
func TestDamageDoesNotStopTheKeeper(t *testing.T) {
	ctx := context.Background()
	clock := newClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	s, err := Open(ctx, t.TempDir(), Options{Small: true, Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.keeper.stop() // this test does its work
	for range 2 {
		acct := newAccount(t, s)
		var box MailboxID
		for i := range 2 {
			box = deliver(t, s, message(i, 3000), Placement{Account: acct}).Placed[0].Mailbox
		}
		if _, _, err := s.Expunge(ctx, box, []UID{1, 2}, false); err != nil {
			t.Fatal(err)
		}
	}
	var old MailboxID
	for i, name := range []string{"Older", "Old"} { // removed with a message in it
		old = deliver(t, s, message(5+i, 3000), Placement{Account: 1, Name: name}).Placed[0].Mailbox
		if err := s.DeleteMailbox(ctx, 1, name); err != nil {
			t.Fatal(err)
		}
	}
	expunged, err := s.keys([]byte{tableExpunged}, 10)
	if err != nil || len(expunged) != 4 {
		t.Fatalf("%d expunged, %v", len(expunged), err)
	}
	damage(t, s, func(st *stage) {
		spoilt := []byte{recordVersion, 0xff}
		st.put(expunged[0], spoilt)
		st.put(keyLog(1, 1), spoilt)
		st.put(keyDoomedMailbox(old-1), spoilt)
	})
	clock.add(100 * 24 * time.Hour)
	if err := s.Sweep(ctx); err == nil {
		t.Error("the damage was not told")
	}
	for table, want := range map[byte]int{tableExpunged: 1, tableDoomedMailbox: 1, tableBlob: 3} {
		if rows, err := s.keys([]byte{table}, 100); err != nil || len(rows) != want {
			t.Errorf("table %x has %d rows, want %d (%v)", table, len(rows), want, err)
		}
	}
	if rows, err := s.keys(key(tableLog, 2), 100); err != nil || len(rows) != 0 {
		t.Errorf("the other account's log has %d rows (%v)", len(rows), err)
	}
	if _, err := s.Check(ctx, CheckOptions{Repair: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(ctx); err == nil {
		t.Error("the damage was not told")
	}
	if rows, err := s.keys([]byte{tableBlob}, 100); err != nil || len(rows) != 2 {
		t.Errorf("%d bodies after the repair, want 2 (%v)", len(rows), err)
	}
}

func TestDamageIsContained(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, t.TempDir(), Options{Small: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	acct := newAccount(t, s)
	var receipts []Receipt
	var blobs []BlobID
	for i := range 3 {
		r := deliver(t, s, message(i, 700<<10), Placement{Account: acct})
		receipts, blobs = append(receipts, r), append(blobs, r.Blob)
	}
	box, bad := receipts[0].Placed[0].Mailbox, receipts[1]
	damage(t, s, func(st *stage) { spoil(st, keyChunk(bad.Blob, 2)); spoil(st, keyFacts(bad.Blob)) })

	read := func(id BlobID) error {
		b, err := s.OpenBody(ctx, id)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, b)
		return err
	}
	for i, r := range receipts {
		if err := read(r.Blob); errors.Is(err, ErrDamaged) != (i == 1) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	b, err := s.OpenBody(ctx, bad.Blob)
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 100)
	if _, err := b.ReadAt(part, 1000); err != nil || !bytes.Equal(part, message(1, 700<<10)[1000:1100]) {
		t.Errorf("good part of a bad body: %v", err)
	}
	if _, err := b.ReadAt(part, 300<<10); !errors.Is(err, ErrDamaged) {
		t.Errorf("bad part: %v", err)
	}
	seen := 0
	if err := s.Facts(ctx, blobs, WantHeader|WantIndex, func(i int, f *Facts) error {
		seen++
		if f.Size != int64(len(message(i, 700<<10))) || (len(f.Index) == 0) != (i == 1) {
			t.Errorf("facts of %d: %+v", i, f)
		}
		return nil
	}); err != nil || seen != 3 {
		t.Errorf("facts of %d: %v", seen, err)
	}
	trash, err := s.MailboxByName(ctx, acct, "Trash")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Copy(ctx, box, []UID{1, 2, 3}, trash.ID, FlagMask{}); err != nil || len(got.To) != 3 {
		t.Errorf("copy: %+v %v", got, err)
	}
	if gone, _, err := s.Expunge(ctx, box, []UID{2}, false); err != nil || !slices.Equal(gone, []UID{2}) {
		t.Errorf("expunge: %v %v", gone, err)
	}
	r, err := s.Check(ctx, CheckOptions{Bodies: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		if p.Where != "body 2" {
			t.Errorf("%s: %s", p.Where, p.What)
		}
	}
}

// A queue entry that is lost or cannot be read holds up no other.
func TestDamagedQueueEntryIsPassedOver(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, t.TempDir(), Options{Small: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sp := spooled(t, s, message(1, 3000))
	d := Delivery{Body: sp, Facts: Facts{Size: 3000}}
	for range 4 {
		d.Queue = append(d.Queue, QueueEntry{Recipient: "x@example.net", Created: s.now(), Due: s.now()})
	}
	r, err := s.Deliver(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, s, func(st *stage) {
		st.del(keyQueue(r.Queued[0]))
		st.put(keyQueue(r.Queued[1]), []byte{recordVersion, 0xff})
	})
	var due, list []QueueID
	take := func(to *[]QueueID) func(QueueEntry) error {
		return func(q QueueEntry) error {
			*to = append(*to, q.ID)
			return nil
		}
	}
	if _, err := s.QueueDue(ctx, s.now().Add(time.Second), 2, take(&due)); err != nil || !slices.Equal(due, r.Queued[2:]) {
		t.Errorf("due: %v, %v", due, err)
	}
	if err := s.QueueList(ctx, 0, take(&list)); err != nil || !slices.Equal(list, r.Queued[2:]) {
		t.Errorf("list: %v, %v", list, err)
	}
	if st, err := s.Stats(ctx); err != nil || st.OldestQueued.IsZero() {
		t.Errorf("stats: %+v, %v", st, err)
	}
}

// Badger reads a damaged table as if the rows in it had never been.
func TestDamagedTableIsFound(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openDir(t, dir, Options{})
	acct := newAccount(t, s)
	for i := range 20 {
		deliver(t, s, message(i, 3000), Placement{Account: acct})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	for _, where := range []float64{0.2, 0.4} {
		for _, name := range tables {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			at := int(float64(len(b)) * where)
			for i := range b[at : at+16] {
				b[at+i] ^= 0x5a
			}
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if s, err = Open(ctx, dir, Options{Small: true}); err != nil {
			t.Fatal(err)
		}
		r := &checker{s: s, v: s.view(), ctx: ctx}
		if err := r.tables(); err != nil {
			t.Fatal(err)
		}
		r.v.close()
		if len(r.out.Problems) != 1 {
			t.Errorf("damage at %.1f: %+v", where, r.out.Problems)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewerStoreIsRefused(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openDir(t, dir, Options{})
	acct := newAccount(t, s)
	r := deliver(t, s, message(1, 3000), Placement{Account: acct})
	// A record of a newer program in an older layout is refused alone.
	damage(t, s, func(st *stage) {
		val, err := st.get(keyMailbox(r.Placed[0].Mailbox + 1))
		if err != nil {
			panic(err)
		}
		st.put(keyMailbox(r.Placed[0].Mailbox+1), append([]byte{recordVersion + 1}, val[1:]...))
	})
	if _, err := s.Mailbox(ctx, r.Placed[0].Mailbox+1); !errors.Is(err, ErrNewerStore) {
		t.Errorf("newer record: %v", err)
	}
	damage(t, s, func(st *stage) { st.put(keyMeta(metaFormat), []byte{recordVersion, formatVersion + 1}) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, dir, Options{Small: true}); !errors.Is(err, ErrNewerStore) || !strings.Contains(err.Error(), "knows 1") {
		t.Fatalf("open: %v", err)
	}
}

func TestEncryptedStore(t *testing.T) {
	ctx := context.Background()
	dir := memoryDir(t)
	key := bytes.Repeat([]byte{7}, 32)
	s := openDir(t, dir, Options{EncryptionKey: key})
	acct := newAccount(t, s)
	secret := append(message(1, 100), "A most secret sentence that stands nowhere else.\r\n"...)
	long := append(message(2, 20<<10), "Another secret sentence, in the value log.\r\n"...)
	r := deliver(t, s, secret, Placement{Account: acct, Name: "Hidden mailbox name"})
	deliver(t, s, long, Placement{Account: acct})
	if err := s.Reclaim(ctx); err != nil { // so that there are tables too
		t.Fatal(err)
	}
	b, err := s.OpenBody(ctx, r.Blob)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("not read back: %v", err)
	}
	closeChecked(t, s)
	files, err := readFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		for _, plain := range []string{"secret sentence", "Hidden mailbox name", "a@example.org"} {
			if bytes.Contains(data, []byte(plain)) {
				t.Errorf("%q stands in %s", plain, name)
			}
		}
	}
	for _, wrong := range [][]byte{nil, bytes.Repeat([]byte{8}, 32)} {
		if s, err := Open(ctx, dir, Options{Small: true, EncryptionKey: wrong}); err == nil {
			s.Close()
			t.Errorf("opened with key %x", wrong)
		} else if !errors.Is(err, ErrBadKey) {
			t.Errorf("key %x: %v", wrong, err)
		}
	}
	s = openDir(t, dir, Options{EncryptionKey: key})
	if _, err := s.OpenBody(ctx, r.Blob); err != nil {
		t.Fatal(err)
	}
	plain := t.TempDir()
	openDir(t, plain, Options{}).Close()
	if s, err := Open(ctx, plain, Options{Small: true, EncryptionKey: key}); err == nil {
		s.Close()
		t.Error("a plain store opened with a key")
	} else if !errors.Is(err, ErrBadKey) {
		t.Errorf("plain store: %v", err)
	}
	if _, err := Open(ctx, t.TempDir(), Options{Small: true, EncryptionKey: []byte("short")}); err == nil {
		t.Error("a key of 5 bytes was taken")
	}
}
