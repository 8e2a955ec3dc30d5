package indexer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

func deliver(t testing.TB, st *store.Store, id store.AccountID, msg string) store.EmailID {
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
		end := time.Now().Add(2 * time.Minute)
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

// TestDamage: what is damaged decides nothing, and is made anew without any new
// mail.
func TestDamage(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	st := storetest.New(t)
	id, err := st.CreateAccount(ctx, store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	email := deliver(t, st, id, "Subject: one\n\ntext\n")
	x := New(Config{Store: st, Settle: time.Millisecond})
	look := func() search.Hits {
		t.Helper()
		hits, err := x.Search(ctx, id, "text", search.Body)
		if err != nil {
			t.Fatal(err)
		}
		return hits
	}
	found := func() bool {
		hits := look()
		return hits.Watermark == uint64(email) && len(hits.Sure) == 1
	}
	sound := func(deep bool) string {
		t.Helper()
		what, err := x.Check(ctx, id, deep)
		if err != nil {
			t.Fatal(err)
		}
		return what
	}
	if err := x.Update(ctx, id); err != nil || !found() {
		t.Fatalf("%v: %+v", err, look())
	}
	if what := sound(true); what != "" {
		t.Errorf("a sound index %s", what)
	}
	if err := st.IndexRows(id).Delete(ctx, []byte{0}); err != nil { // all but the manifest
		t.Fatal(err)
	}
	for _, deep := range []bool{false, true} {
		if what := sound(deep); !strings.HasPrefix(what, "cannot be read") {
			t.Errorf("a damaged index %q", what)
		}
	}
	for range 2 {
		if hits := look(); hits.Watermark != 0 || len(hits.Sure)+len(hits.Maybe) > 0 {
			t.Errorf("a damaged index gives %+v", hits)
		}
	}
	done := make(chan error)
	go func() { done <- x.Run(ctx) }()
	for end := time.Now().Add(2 * time.Minute); !found(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the index is not made anew: %+v", look())
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestReindex: from the moment it is asked for, searches do without the index,
// and it is made anew although there was nothing wrong with it.
func TestReindex(t *testing.T) {
	ctx := t.Context()
	st := storetest.New(t)
	id, err := st.CreateAccount(ctx, store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	email := deliver(t, st, id, "Subject: one\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: =?utf-8?q?W=C3=BCrst?=\n\n--b\nContent-Type: image/png; name=picture.png\n\n--b--\n")
	x := New(Config{Store: st})
	check := func(watermark store.EmailID, needle string, sure int) {
		t.Helper()
		hits, err := x.Search(ctx, id, search.Fold(needle), search.Body)
		if err != nil {
			t.Fatal(err)
		}
		if hits.Watermark != uint64(watermark) || len(hits.Sure) != sure {
			t.Errorf("%q: %+v, want watermark %d and %d messages", needle, hits, watermark, sure)
		}
	}
	update := func() {
		t.Helper()
		if err := x.Update(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	check(0, "picture", 0)
	update()
	check(email, "picture", 1)
	check(email, "WÜRST", 1)
	check(email, "nothing", 0)
	for range 2 {
		if err := x.Reindex(ctx, id); err != nil {
			t.Fatal(err)
		}
		check(0, "picture", 0)
	}
	update()
	check(email, "picture", 1)

	// Another Indexer goes on where this one was.
	x = New(Config{Store: st})
	check(email, "picture", 1)
	later := deliver(t, st, id, "Subject: two\n\na picture\n")
	check(email, "picture", 1)
	update()
	check(later, "picture", 2)

	if err := st.DeleteAccount(ctx, id, nil); err != nil {
		t.Fatal(err)
	}
	if err := x.Reindex(ctx, id); err != nil {
		t.Fatal(err)
	}
	update()
	if x.isStale(id) {
		t.Error("an account that is gone is still to be indexed")
	}
}

// TestCheckFindsWhatIsMissing: an index that says it has messages it lacks is
// found out, since no search would find them.
func TestCheckFindsWhatIsMissing(t *testing.T) {
	ctx := t.Context()
	st := storetest.New(t)
	id, err := st.CreateAccount(ctx, store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := New(Config{Store: st})
	want := func(want string) {
		t.Helper()
		if what, err := x.Check(ctx, id, true); err != nil || what != want {
			t.Errorf("check: %q, %v, want %q", what, err, want)
		}
	}
	want("")
	first := deliver(t, st, id, "Subject: one\n\ntext\n")
	want("")
	i, err := x.index(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Apply(ctx, search.NewBatch(), uint64(first)); err != nil {
		t.Fatal(err)
	}
	want("lacks 1 messages")
	if err := i.Apply(ctx, search.NewBatch(), uint64(first)+5); err != nil {
		t.Fatal(err)
	}
	want(fmt.Sprintf("is said to reach to message %d, there are %d", first+5, first))
	if err := x.Reindex(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := x.Update(ctx, id); err != nil {
		t.Fatal(err)
	}
	want("")
}
