package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// However many deliver at once, an account never has more than its limit, and
// none is refused that would fit.
func TestQuotaIsExactUnderConcurrency(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{UndeleteFor: -1})
	body := message(1, 1000)
	const fit, sessions, each = 37, 16, 10
	limits := map[string]Quota{
		"bytes":    {LimitBytes: int64(fit*len(body) + len(body)/2)},
		"messages": {LimitMessages: fit},
	}
	for name, q := range limits {
		t.Run(name, func(t *testing.T) {
			acct, err := s.CreateAccount(ctx, q, nil)
			if err != nil {
				t.Fatal(err)
			}
			other := newAccount(t, s)
			boxes, err := s.Mailboxes(ctx, acct)
			if err != nil {
				t.Fatal(err)
			}
			trash := boxes[slices.IndexFunc(boxes, func(m Mailbox) bool { return m.Name == "Trash" })].ID
			var delivered, copied, removed atomic.Int64
			var all sync.WaitGroup
			for range sessions {
				all.Go(func() {
					for range each {
						r, err := tryDeliver(s, body, Placement{Account: acct}, Placement{Account: other})
						if errors.Is(err, ErrOverQuota) {
							var who *AccountError
							if !errors.As(err, &who) || who.Account != acct {
								t.Errorf("refused for %+v", who)
							}
							continue
						}
						if err != nil {
							t.Error(err)
							return
						}
						delivered.Add(1)
						switch p := r.Placed[0]; p.UID % 5 {
						case 0:
							if got, err := s.Copy(ctx, p.Mailbox, []UID{p.UID}, trash, FlagMask{}); err == nil {
								copied.Add(int64(len(got.To)))
							} else if !errors.Is(err, ErrOverQuota) {
								t.Error(err)
							}
						case 1:
							gone, _, err := s.Expunge(ctx, p.Mailbox, []UID{p.UID}, false)
							if err != nil {
								t.Error(err)
							}
							removed.Add(int64(len(gone)))
						}
					}
				})
			}
			all.Wait()
			got, err := s.Quota(ctx, acct)
			if err != nil {
				t.Fatal(err)
			}
			want := delivered.Load() + copied.Load() - removed.Load()
			if got.Messages != want || got.Bytes != want*int64(len(body)) || want != fit {
				t.Errorf("%d delivered, %d copied, %d removed: %+v", delivered.Load(), copied.Load(), removed.Load(), got)
			}
			if err := s.CheckQuota(ctx, acct, int64(len(body))); !errors.Is(err, ErrOverQuota) {
				t.Errorf("check: %v", err)
			}
			// What was refused for one was delivered to nobody.
			if o, err := s.Quota(ctx, other); err != nil || o.Messages != delivered.Load() {
				t.Errorf("%d delivered, the other has %+v (%v)", delivered.Load(), o, err)
			}
			if _, err := tryDeliver(s, body, Placement{Account: acct, IgnoreQuota: true}); err != nil {
				t.Errorf("ignoring the quota: %v", err)
			}
		})
	}
}

// A body goes with its last reference, whatever that was.
func TestBodiesGoWithTheirLastReference(t *testing.T) {
	ctx := context.Background()
	clock := newClock(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	s := open(t, Options{Now: clock.now})
	a, b := newAccount(t, s), newAccount(t, s)
	sp := spooled(t, s, message(1, 5000))
	r, err := s.Deliver(ctx, Delivery{Body: sp, Placements: []Placement{{Account: a}, {Account: b}, {Account: a, Name: "Archive"}},
		Queue: []QueueEntry{{Recipient: "c@example.net"}}})
	if err != nil {
		t.Fatal(err)
	}
	there := func() bool {
		t.Helper()
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		_, err := s.OpenBody(ctx, r.Blob)
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	expunge := func(p Placed) func() error {
		return func() error { _, _, err := s.Expunge(ctx, p.Mailbox, []UID{p.UID}, false); return err }
	}
	for i, step := range []struct {
		do    func() error
		there bool
	}{
		{expunge(r.Placed[0]), true},
		{func() error { return s.QueueUpdate(ctx, QueueChange{ID: r.Queued[0]}) }, true},
		{func() error { return s.DeleteAccount(ctx, b, nil) }, true},
		{expunge(r.Placed[2]), true}, // restorable
		{func() error { clock.add(13 * 24 * time.Hour); return nil }, true},
		{func() error { clock.add(2 * 24 * time.Hour); return nil }, false},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if there() != step.there {
			t.Fatalf("after step %d the body is there: %v", i, !step.there)
		}
	}
	for _, table := range []byte{tableBlob, tableFacts, tableChunk, tableRef, tableLoose, tablePending, tableExpunged} {
		if rows, err := s.keys([]byte{table}, 10); err != nil || len(rows) != 0 {
			t.Errorf("table %x has %x (%v)", table, rows, err)
		}
	}
}

// A pause after which the store cannot be opened again costs what was handed over
// meanwhile, and no more.
func TestPauseThatFails(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "store")
	var disk fakeDisk
	disk.free.Store(50 << 30)
	s, err := Open(ctx, dir, Options{Small: true, Statfs: disk.statfs})
	if err != nil {
		t.Fatal(err)
	}
	s.keeper.stop()
	acct := newAccount(t, s)
	deliver(t, s, message(1, 300), Placement{Account: acct})
	var waiting <-chan outcome
	s.stepHook = func(name string) {
		if name != "paused" {
			return
		}
		if waiting, err = s.submitAsync(ctx, subscribeOp{acct, "x", true, s.now()}); err == nil {
			err = os.Rename(dir, dir+".elsewhere")
		}
	}
	if pause := s.pause(); pause == nil || err != nil {
		t.Fatalf("the pause: %v (%v)", pause, err)
	}
	if out := <-waiting; !errors.Is(out.err, ErrReadOnly) {
		t.Errorf("what waited: %v", out.err)
	}
	for what, err := range map[string]error{"write": s.Subscribe(ctx, acct, "y", true), "read": second(s.Mailboxes(ctx, acct))} {
		if !errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Close(); !errors.Is(err, ErrReadOnly) {
		t.Errorf("close: %v", err)
	}
}

// A body that was spooled and not delivered is gone after Abort, and after
// the next start where the program ended before.
func TestSpooledBodiesAreNotLeftBehind(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openDir(t, dir, Options{})
	large := message(1, 4<<20)
	chunks := func() int {
		t.Helper()
		rows, err := s.keys([]byte{tableChunk}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	sp := spooled(t, s, large)
	if err := sp.wait(); err != nil || chunks() == 0 {
		t.Fatalf("%d chunks: %v", chunks(), err)
	}
	sp.Abort()
	sp.Abort()
	if chunks() != 0 {
		t.Errorf("%d chunks after Abort", chunks())
	}
	sp = spooled(t, s, large) // everybody threw it away
	if _, err := s.Deliver(ctx, Delivery{Body: sp, Docs: []DocOp{{Table: TableTrace, Key: "k", Value: []byte("v")}}}); err != nil {
		t.Fatal(err)
	}
	sp.Abort()
	if chunks() != 0 {
		t.Errorf("%d chunks of a body that nobody was given", chunks())
	}
	if sp = spooled(t, s, large); sp.wait() != nil || chunks() == 0 {
		t.Fatal("nothing spooled")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openDir(t, dir, Options{})
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if chunks() != 0 {
		t.Errorf("%d chunks after the next start", chunks())
	}
}

// For how long expunged mail is kept can be changed while the store is open.
func TestDeletedMailIsKeptForItsTime(t *testing.T) {
	ctx := context.Background()
	clock := newClock(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	s := open(t, Options{Now: clock.now})
	acct := newAccount(t, s)
	expunge := func() {
		t.Helper()
		p := deliver(t, s, message(1, 3000), Placement{Account: acct}).Placed[0]
		if _, _, err := s.Expunge(ctx, p.Mailbox, []UID{p.UID}, false); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() (n int) {
		t.Helper()
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Expunged(ctx, acct, time.Time{}, func(Expunged) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const day = 24 * time.Hour
	expunge()
	clock.add(10 * day)
	expunge()
	if n := kept(); n != 2 {
		t.Errorf("%d kept after 10 days", n)
	}
	s.KeepDeleted(20 * day)
	if clock.add(5 * day); kept() != 2 {
		t.Errorf("%d kept after 15 of 20 days", kept())
	}
	s.KeepDeleted(7 * day)
	if n := kept(); n != 1 {
		t.Errorf("%d kept with 7 days", n)
	}
	s.KeepDeleted(0)
	expunge()
	if clock.add(time.Second); kept() != 0 {
		t.Errorf("%d kept with none", kept())
	}
}

// Changes can be asked for as far back as Options.ChangesFor, and beyond it
// are refused rather than told in part.
func TestChangesAreKeptForTheirTime(t *testing.T) {
	ctx := context.Background()
	clock := newClock(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	s := open(t, Options{Now: clock.now, ChangesFor: 10 * 24 * time.Hour})
	acct := newAccount(t, s)
	var box MailboxID
	var states []ModSeq // at the end of each day
	for day := range 20 {
		r := deliver(t, s, message(day, 400), Placement{Account: acct})
		box = r.Placed[0].Mailbox
		states = append(states, r.Placed[0].ModSeq)
		if day >= 5 {
			_, seq, err := s.Expunge(ctx, box, []UID{r.Placed[0].UID - 5}, false)
			if err != nil {
				t.Fatal(err)
			}
			states[day] = seq
		}
		clock.add(24 * time.Hour)
	}
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	for day, since := range states {
		c, err := s.ChangesSince(ctx, box, since)
		_, accountErr := s.AccountChangesSince(ctx, acct, since, 0)
		if day < 9 {
			if !errors.Is(err, ErrCannotCalculateChanges) || !errors.Is(accountErr, ErrCannotCalculateChanges) {
				t.Errorf("day %d: %v, %v", day, err, accountErr)
			}
			continue
		}
		if err != nil || accountErr != nil {
			t.Errorf("day %d: %v, %v", day, err, accountErr)
			continue
		}
		var want []UID
		for u := day + 2 - 5; u <= 20-5; u++ {
			want = append(want, UID(u))
		}
		if !slices.Equal(c.Vanished, want) {
			t.Errorf("day %d: vanished %v, want %v", day, c.Vanished, want)
		}
	}
}

// Listing flags, envelopes and structures reads no body: it goes on when all
// bodies are gone.
func TestListsOpenNoBody(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, t.TempDir(), Options{Small: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	acct := newAccount(t, s)
	const n = 10000
	var box MailboxID
	var ds []Delivery
	for i := range n {
		body := message(i, 200)
		ds = append(ds, Delivery{Body: spooled(t, s, body), Placements: []Placement{{Account: acct}},
			Facts: Facts{Header: body[:bytes.Index(body, []byte("\r\n\r\n"))+4], Index: fmt.Append(nil, "index ", i), Preview: "line"}})
		if len(ds) == 500 {
			rs, err := s.DeliverAll(ctx, ds)
			if err != nil {
				t.Fatal(err)
			}
			box, ds = rs[0].Placed[0].Mailbox, ds[:0]
		}
	}
	for { // all but the header blocks
		rows, err := s.keys([]byte{tableChunk}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		rows = slices.DeleteFunc(rows, func(k []byte) bool { return tail32(k) == 0 })
		if len(rows) == 0 {
			break
		}
		damage(t, s, func(st *stage) {
			for _, k := range rows[:min(2000, len(rows))] {
				st.del(k)
			}
		})
	}
	var blobs []BlobID
	if _, err := s.Entries(ctx, box, 1, 0, func(e Entry) error { blobs = append(blobs, e.Blob); return nil }); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = s.Facts(ctx, blobs, WantIndex|WantHeader, func(i int, f *Facts) error {
		seen++
		if string(f.Index) != fmt.Sprint("index ", i) || !bytes.Contains(f.Header, fmt.Appendf(nil, "number %d\r\n", i)) {
			return fmt.Errorf("facts %d: %+v", i, f)
		}
		return nil
	})
	if err != nil || seen != n {
		t.Fatalf("%d seen: %v", seen, err)
	}
}
