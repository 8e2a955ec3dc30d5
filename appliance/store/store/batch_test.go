package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"testing"
)

func spooled(t testing.TB, s *Store, body []byte) *SpooledBody {
	t.Helper()
	b, err := s.Spool(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(body); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDeliverAllShareOneCommit(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	acct := newAccount(t, s)
	var ds []Delivery
	var sums [][32]byte
	for i := range 50 {
		body := message(i, 2000)
		sp := spooled(t, s, body)
		if sp.Sum() != sha256.Sum256(body) {
			t.Fatal("sum of a body being written")
		}
		sums = append(sums, sp.Sum())
		ds = append(ds, Delivery{Body: sp, Placements: []Placement{{Account: acct}}})
	}
	commits := 0
	s.stepHook = func(name string) {
		if name == "commit" {
			commits++
		}
	}
	done, err := s.DeliverAll(ctx, ds)
	if err != nil || len(done) != len(ds) {
		t.Fatalf("%d delivered: %v", len(done), err)
	}
	if commits != 1 {
		t.Errorf("%d commits", commits)
	}
	at := 0
	err = s.Sums(ctx, done[0].Placed[0].Mailbox, func(sum [32]byte) error {
		if sum != sums[at] {
			t.Errorf("sum of message %d differs", at)
		}
		at++
		return nil
	})
	if err != nil || at != len(sums) {
		t.Errorf("%d sums: %v", at, err)
	}
}

func TestDeliverAllStopsAtTheFirstRefused(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	full, err := s.CreateAccount(ctx, Quota{LimitMessages: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	acct := newAccount(t, s)
	var ds []Delivery
	for i, a := range []AccountID{acct, full, acct, full, acct} {
		ds = append(ds, Delivery{Body: spooled(t, s, message(i, 700)), Placements: []Placement{{Account: a}}})
	}
	done, err := s.DeliverAll(ctx, ds)
	if !errors.Is(err, ErrOverQuota) || len(done) != 3 {
		t.Fatalf("%d delivered: %v", len(done), err)
	}
	for _, d := range ds {
		d.Body.Abort()
	}
	if q, err := s.Quota(ctx, acct); err != nil || q.Messages != 2 {
		t.Errorf("%+v %v", q, err)
	}
	// A delivery that cannot even be prepared stops it as well.
	ds = []Delivery{{Body: spooled(t, s, message(9, 700)), Placements: []Placement{{Account: acct}}}, ds[0]}
	if done, err = s.DeliverAll(ctx, ds); err == nil || len(done) != 1 {
		t.Errorf("%d delivered: %v", len(done), err)
	}
	if done, err := s.DeliverAll(ctx, nil); err != nil || len(done) != 0 {
		t.Errorf("nothing: %v %v", done, err)
	}
}

// TestManyAtOnce: rows of many messages are read in parts, those of a message
// that is in the mailbox twice among them, and UIDs that are not there.
func TestManyAtOnce(t *testing.T) {
	const messages = 3*aheadShare + 7
	ctx := context.Background()
	s := open(t, Options{})
	acct := newAccount(t, s)
	ds := make([]Delivery, messages)
	for i := range ds {
		ds[i] = Delivery{Body: spooled(t, s, message(i, 300)), Placements: []Placement{{Account: acct}}}
	}
	done, err := s.DeliverAll(ctx, ds)
	if err != nil {
		t.Fatal(err)
	}
	box := done[0].Placed[0].Mailbox
	uids := make([]UID, 2*messages+20)
	for i := range uids {
		uids[i] = UID(i + 1)
	}
	copied, err := s.Copy(ctx, box, uids[:messages], box, FlagMask{})
	if err != nil || len(copied.To) != messages {
		t.Fatalf("%d copied: %v", len(copied.To), err)
	}
	gaps := []UID{3, messages - 1, messages + 5}
	if gone, _, err := s.Expunge(ctx, box, gaps, false); err != nil || len(gone) != len(gaps) {
		t.Fatalf("%d expunged: %v", len(gone), err)
	}
	if r, err := s.ChangeFlags(ctx, box, uids, FlagChange{Op: FlagsAdd, Flags: Flags{System: Deleted}}); err != nil || len(r.Changed) != 2*messages-len(gaps) {
		t.Fatalf("%d changed: %v", len(r.Changed), err)
	}
	gone, _, err := s.Expunge(ctx, box, uids, true)
	if err != nil || len(gone) != 2*messages-len(gaps) {
		t.Fatalf("%d expunged: %v", len(gone), err)
	}
	if q, err := s.Quota(ctx, acct); err != nil || q.Messages != 0 || q.Bytes != 0 {
		t.Errorf("%+v %v", q, err)
	}
}
