package session_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/mail/indexer"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// setup makes a person with a mailbox of messages.
func setup(t *testing.T, index func(*store.Store) session.Index, msgs ...string) (*session.User, *session.Selected) {
	t.Helper()
	return setupIn(t, storetest.New(t), index, msgs...)
}

// setupIn does so in a store of the caller's.
func setupIn(t *testing.T, st *store.Store, index func(*store.Store) session.Index, msgs ...string) (*session.User, *session.Selected) {
	t.Helper()
	ctx := context.Background()
	id, err := st.CreateAccount(ctx, store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	base := &session.Base{Store: st, Facts: session.NewFactsCache(st, 1<<20), Entries: session.NewEntriesCache(st, 8<<20), Recents: session.NewRecents(time.Now())}
	if index != nil {
		base.Index = index(st)
	}
	u := session.NewUser(base, id, "ann@example.org")
	put(t, u, msgs...)
	s, err := u.Select(ctx, "INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return u, s
}

func put(t *testing.T, u *session.User, msgs ...string) {
	t.Helper()
	ctx := context.Background()
	box, err := u.Target(ctx, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	a := u.NewAppend(box)
	defer a.Abort()
	for _, msg := range msgs {
		m, err := a.Begin(ctx, store.Flags{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.ReadFrom(strings.NewReader(strings.ReplaceAll(msg, "\n", "\r\n"))); err != nil {
			t.Fatal(err)
		}
		if err := m.End(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Commit(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestIndexedSearch: with the index up to date, behind, or not there, a search
// finds the same.
func TestIndexedSearch(t *testing.T) {
	ctx := context.Background()
	var msgs []string
	for i := range 40 {
		msgs = append(msgs, fmt.Sprintf("From: p%d@example.org\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= number %d\nX-Odd: a%db\n\nBody of the %dth, straße.\n", i, i, i, i))
	}
	msgs = append(msgs, "Subject: html\nContent-Type: text/html\n\n<p>num<b>ber</b> 7</p>\n",
		"Subject: coded\nContent-Transfer-Encoding: base64\n\nYm9keSBvZiB0aGUgN3RoCg==\n", "no header at all, number 7\n")
	keys := []session.Criteria{
		{Key: session.Body, Text: "body of the 7th"},
		{Key: session.Body, Text: "STRASSE"},
		{Key: session.Body, Text: "7th"},
		{Key: session.Text, Text: "number 7"},
		{Key: session.Text, Text: "subject: gr"},
		{Key: session.Text, Text: "umber"},
		{Key: session.Header, Name: "Subject", Text: "grüsse number 1"},
		{Key: session.Header, Name: "subject", Text: "subject"},
		{Key: session.Header, Name: "From", Text: "p3"},
		{Key: session.Header, Name: "X-Odd", Text: "a12b"},
		{Key: session.Header, Name: "X-Odd", Text: "odd"},
		{Key: session.Not, Sub: []*session.Criteria{{Key: session.Body, Text: "th"}}},
		{Key: session.Or, Sub: []*session.Criteria{{Key: session.Body, Text: "39th"}, {Key: session.Header, Name: "From", Text: "p38@"}}},
		{Key: session.Text, Text: ", "},
	}
	find := func(s *session.Selected, k session.Criteria) []store.UID {
		t.Helper()
		for i, sub := range k.Sub {
			c := *sub
			k.Sub = slices.Clone(k.Sub)
			k.Sub[i] = &c
		}
		found, err := s.Search(ctx, &k, nil)
		if err != nil {
			t.Fatal(err)
		}
		return found.UIDs
	}
	_, plain := setup(t, nil, msgs...)
	var want [][]store.UID
	for _, k := range keys {
		want = append(want, find(plain, k))
	}
	var x *indexer.Indexer
	u, s := setup(t, func(st *store.Store) session.Index {
		x = indexer.New(indexer.Config{Store: st})
		return x
	}, msgs[:30]...)
	check := func(when string) {
		t.Helper()
		for i, k := range keys {
			if got := find(s, k); !slices.Equal(got, want[i]) {
				t.Errorf("%s: key %d %q finds %v, want %v", when, i, k.Text, got, want[i])
			}
		}
	}
	if err := x.Update(ctx, u.Account); err != nil {
		t.Fatal(err)
	}
	put(t, u, msgs[30:]...)
	if _, err := s.Sync(ctx, true); err != nil {
		t.Fatal(err)
	}
	check("index behind")
	if err := x.Update(ctx, u.Account); err != nil {
		t.Fatal(err)
	}
	check("index up to date")
	if len(want[0]) != 2 || len(want[1]) != 40 || len(want[11]) == 0 {
		t.Errorf("the test's own searches find %v", want)
	}
}
