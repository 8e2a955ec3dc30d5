package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pillarbox/appliance/store/search"
)

var _ search.Rows = (*IndexRows)(nil)

func emailsAfter(t *testing.T, s *Store, acct AccountID, after EmailID) (ids []EmailID, upTo EmailID) {
	t.Helper()
	upTo, err := s.EmailsAfter(context.Background(), acct, after, func(e EmailID, _ BlobID) error {
		ids = append(ids, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids, upTo
}

func TestFeedTellsEachEmailOnce(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	acct := newAccount(t, s)
	w := s.Watch(0)
	defer w.Close()
	var box MailboxID
	for i := range 5 {
		box = deliver(t, s, message(i, 300), Placement{Account: acct}).Placed[0].Mailbox
	}
	if e := <-w.C; e.Account != acct || e.Kind != EventNew {
		t.Errorf("event %+v", e)
	}
	ids, upTo := emailsAfter(t, s, acct, 0)
	if len(ids) != 5 || upTo != ids[4] {
		t.Fatalf("%v up to %d", ids, upTo)
	}
	if again, same := emailsAfter(t, s, acct, upTo); len(again) != 0 || same != upTo {
		t.Errorf("told again: %v", again)
	}
	before := time.Now().Add(-time.Minute)
	if _, _, err := s.Expunge(ctx, box, []UID{2, 5}, false); err != nil {
		t.Fatal(err)
	}
	if rest, upTo2 := emailsAfter(t, s, acct, 0); fmt.Sprint(rest) != fmt.Sprint([]EmailID{ids[0], ids[2], ids[3]}) || upTo2 != upTo {
		t.Errorf("%v up to %d", rest, upTo2)
	}
	if there, err := s.EmailsExist(ctx, acct, ids); err != nil || !slices.Equal(there, []bool{true, false, true, true, false}) {
		t.Errorf("%v %v", there, err)
	}
	// What is restored is told again: it may have left the index meanwhile.
	var gone []ExpungedID
	if err := s.Expunged(ctx, acct, before, func(x Expunged) error { gone = append(gone, x.ID); return nil }); err != nil {
		t.Fatal(err)
	}
	back, err := s.Undelete(ctx, acct, gone, "", false)
	if err != nil || len(back) != 2 {
		t.Fatal(back, err)
	}
	if news, _ := emailsAfter(t, s, acct, upTo); fmt.Sprint(news) != fmt.Sprint([]EmailID{back[0].Email, back[1].Email}) {
		t.Errorf("%v, restored %v", news, back)
	}
}

func TestIndexLivesInTheStore(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openDir(t, dir, Options{})
	acct, other := newAccount(t, s), newAccount(t, s)
	for _, a := range []AccountID{acct, other} {
		for i := range 3 {
			deliver(t, s, message(i, 300), Placement{Account: a})
		}
	}
	index := func(a AccountID) *search.Index {
		x, err := search.Open(s.IndexRows(a))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	fill := func(a AccountID) {
		x := index(a)
		mark, err := x.Watermark(ctx)
		if err != nil {
			t.Fatal(err)
		}
		b := search.NewBatch()
		upTo, err := s.EmailsAfter(ctx, a, EmailID(mark), func(e EmailID, _ BlobID) error {
			b.Begin(uint64(e))
			b.Add(search.Subject, fmt.Sprintf("account%d number%d", a, e))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Apply(ctx, b, uint64(upTo)); err != nil {
			t.Fatal(err)
		}
	}
	fill(acct)
	fill(other)
	var keys [][]byte
	for from := []byte(nil); ; from = append(keys[len(keys)-1], 0) {
		k, err := s.IndexRows(acct).Next(ctx, from)
		if err != nil {
			t.Fatal(err)
		}
		if k == nil {
			break
		}
		keys = append(keys, k)
	}
	if len(keys) != 5 || keys[0][3] != 0 || keys[4][0] != 0xff { // a segment and the manifest, nothing of the other's
		t.Errorf("keys of an index: %x", keys)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openDir(t, dir, Options{})
	h, err := index(acct).Search(ctx, search.Fold("number2"), search.Subject)
	if err != nil || !slices.Equal(h.Sure, []uint64{2}) || h.Watermark != 3 {
		t.Fatalf("%+v %v", h, err)
	}
	if h, err := index(acct).Search(ctx, search.Fold(fmt.Sprintf("account%d", other)), search.AllFields); err != nil || len(h.Sure) != 0 {
		t.Errorf("found the other account's mail: %+v %v", h, err)
	}
	if err := s.DeleteAccount(ctx, other, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.IndexRows(other).Put(ctx, []search.Row{{Key: []byte("k"), Value: []byte("v")}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("index of a deleted account: %v", err)
	}
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if rows, err := s.keys([]byte{tableIndex}, 100); err != nil || len(rows) == 0 || slices.ContainsFunc(rows, func(k []byte) bool { return AccountID(id64(k, 0)) != acct }) {
		t.Errorf("rows %x %v", rows, err)
	}
	if err := index(acct).Drop(ctx); err != nil {
		t.Fatal(err)
	}
	if rows, err := s.keys([]byte{tableIndex}, 100); err != nil || len(rows) != 0 {
		t.Errorf("rows %x %v", rows, err)
	}
}
