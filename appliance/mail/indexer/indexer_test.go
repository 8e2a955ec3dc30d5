package indexer

import (
	"context"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

func deliver(t *testing.T, st *store.Store, id store.AccountID, msg string) store.EmailID {
	t.Helper()
	ctx := context.Background()
	msg = strings.ReplaceAll(msg, "\n", "\r\n")
	idx, err := mimeindex.Parse(strings.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	facts, err := idx.Facts()
	if err != nil {
		t.Fatal(err)
	}
	body, err := st.Spool(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := body.Write([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	r, err := st.Deliver(ctx, store.Delivery{Body: body, Facts: facts, Placements: []store.Placement{{Account: id, InternalDate: time.Now()}}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Placed[0].Email
}

// TestRun: mail from before and mail that comes are indexed, and an account
// that goes is no trouble.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	st := storetest.New(t)
	var ids []store.AccountID
	for range 2 {
		id, err := st.CreateAccount(ctx, store.Quota{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	x := New(Config{Store: st, Settle: time.Millisecond})
	wait := func(id store.AccountID, email store.EmailID, needle string, in search.Fields) {
		t.Helper()
		end := time.Now().Add(20 * time.Second)
		for {
			hits, err := x.Search(ctx, id, search.Fold(needle), in)
			if err != nil {
				t.Fatal(err)
			}
			if hits.Watermark >= uint64(email) {
				if len(hits.Sure) != 1 || hits.Sure[0] != uint64(email) {
					t.Errorf("%q is in %v and perhaps in %v, want %d", needle, hits.Sure, hits.Maybe, email)
				}
				return
			}
			if time.Now().After(end) {
				t.Fatalf("watermark is %d, want %d", hits.Watermark, email)
			}
			time.Sleep(time.Millisecond)
		}
	}
	before := deliver(t, st, ids[0], "Subject: early\nFrom: someone@example.org\n\nfirst text\n")
	done := make(chan error)
	go func() { done <- x.Run(ctx) }()
	wait(ids[0], before, "early", search.Subject)
	wait(ids[0], before, "someone", search.From)
	wait(ids[0], before, "text", search.Body)
	for i, id := range ids {
		wait(id, deliver(t, st, id, "Subject: later\nX-Mark: odd\n\n<b>\n"), "odd", search.Header)
		if i == 1 {
			if err := st.DeleteAccount(ctx, id, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := x.Update(ctx, ids[1]); err != nil {
		t.Errorf("account that is gone: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
