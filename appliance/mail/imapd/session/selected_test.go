package session_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// TestChangesAmidManyOthers: a client that changes flags silently is told of
// what others changed of the same messages, however much else happened before
// it asked.
func TestChangesAmidManyOthers(t *testing.T) {
	u, s := setup(t, nil, "Subject: one\n\n", "Subject: two\n\n")
	other := context.Background()
	box := s.Mailbox().ID
	change := func(uid store.UID, op store.FlagOp, f store.SystemFlags) {
		if _, err := u.Store.ChangeFlags(other, box, []store.UID{uid}, store.FlagChange{Op: op, Flags: store.Flags{System: f}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 { // more than a listener may lag behind
		change(2, store.FlagsAdd, store.Seen)
		change(2, store.FlagsRemove, store.Seen)
	}
	change(1, store.FlagsAdd, store.Flagged)
	_, err := s.ChangeFlags(u.Context(other), session.Spans{{Start: 1, Stop: 1}},
		store.FlagChange{Op: store.FlagsAdd, Flags: store.Flags{System: store.Answered}}, func([]session.Numbered, bool) {})
	if err != nil {
		t.Fatal(err)
	}
	up, err := s.Sync(other, true)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(up.Flags, func(m session.Numbered) bool { return m.UID == 1 && m.Flags.System == store.Answered|store.Flagged }) {
		t.Errorf("told of %v", up.Flags)
	}
}

// TestKeywordsThatCameAndWent: a session does not remember them for ever.
func TestKeywordsThatCameAndWent(t *testing.T) {
	u, s := setup(t, nil, "Subject: one\n\n")
	ctx := u.Context(t.Context())
	var last []string
	for n := range 12 {
		last = nil
		for k := range 100 {
			last = append(last, fmt.Sprintf("k%d.%d", n, k))
		}
		_, err := s.ChangeFlags(ctx, session.Spans{{Start: 1, Stop: 1}}, store.FlagChange{Flags: store.Flags{Keywords: last}},
			func([]session.Numbered, bool) {})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Sync(ctx, true); err != nil {
			t.Fatal(err)
		}
	}
	got := s.Keywords()
	if len(got) > 1000 {
		t.Errorf("%d keywords are remembered", len(got))
	}
	for _, k := range last {
		if !slices.Contains(got, k) {
			t.Errorf("%s is in use and forgotten", k)
		}
	}
}

// TestOwnChangesAreForgotten: a session remembers its own changes only until it
// has been told of what else there is.
func TestOwnChangesAreForgotten(t *testing.T) {
	u, s := setup(t, nil, "Subject: one\n\n")
	ctx := u.Context(t.Context())
	for _, op := range []store.FlagOp{store.FlagsAdd, store.FlagsRemove} {
		_, err := s.ChangeFlags(ctx, session.Spans{{Start: 1, Stop: 1}}, store.FlagChange{Op: op, Flags: store.Flags{System: store.Seen}},
			func([]session.Numbered, bool) {})
		if err != nil {
			t.Fatal(err)
		}
		if s.Remembered() == 0 {
			t.Error("nothing is remembered of a change")
		}
		if up, err := s.Sync(ctx, true); err != nil || len(up.Flags) > 0 {
			t.Errorf("told of its own change: %+v, %v", up, err)
		}
		if n := s.Remembered(); n != 0 {
			t.Errorf("%d changes are remembered", n)
		}
	}
}

// TestAppendThatIsCutShort: of several messages all are taken or none, also where
// the session is ended amid them.
func TestAppendThatIsCutShort(t *testing.T) {
	u, s := setup(t, nil)
	s.Close()
	box, err := u.Target(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for range 60 { // a store that has room for a change may take it from who is ended
		a := u.NewAppend(box)
		for _, keyword := range []string{"good", strings.Repeat("x", 1000)} {
			m, err := a.Begin(t.Context(), store.Flags{Keywords: []string{keyword}}, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.End(); err != nil {
				t.Fatal(err)
			}
		}
		if uids, err := a.Commit(ended); err == nil {
			t.Errorf("committed %v", uids)
		}
		a.Abort()
	}
	if box, err = u.Target(t.Context(), "INBOX"); err != nil || box.Messages != 0 {
		t.Errorf("%d messages are there, %v", box.Messages, err)
	}
}

// TestRecentCount: STATUS asks for it again and again, and finds out once which
// messages are older than the server.
func TestRecentCount(t *testing.T) {
	u, s := setup(t, nil)
	s.Close()
	ctx := u.Context(t.Context())
	count := func() uint32 {
		t.Helper()
		box, err := u.Mailbox(ctx, "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		n, err := u.RecentCount(ctx, box)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	put(t, u, "Subject: old\n\n")
	u.Recents = session.NewRecents(time.Now().Add(time.Hour)) // by its clock, all mail is older than the server
	if n := count(); n != 0 {
		t.Errorf("%d are recent of old mail", n)
	}
	put(t, u, "Subject: new\n\n")
	if n := count(); n != 1 {
		t.Errorf("%d are recent after one came", n)
	}
}

// TestReadingOnFullDisk: what cannot be marked as seen can be read.
func TestReadingOnFullDisk(t *testing.T) {
	ctx := context.Background()
	var free atomic.Int64
	free.Store(math.MaxInt64)
	st := storetest.Open(t, t.TempDir(), store.Options{Small: true, MinFree: 1 << 30, Statfs: func() (int64, int64, error) {
		return math.MaxInt64, free.Load(), nil
	}})
	u, s := setupIn(t, st, nil, "Subject: one\n\n")
	free.Store(0)
	read := 0
	err := s.Entries(ctx, session.Spans{{Start: 1, Stop: imap.UID(s.UIDNext())}}, func(ms []session.Numbered) error {
		read += len(ms)
		marked, err := s.MarkSeen(u.Context(ctx), ms)
		if len(marked) > 0 {
			t.Errorf("marked %v", marked)
		}
		return err
	})
	if err != nil || read != 1 {
		t.Error(read, err)
	}
	free.Store(math.MaxInt64)
}
