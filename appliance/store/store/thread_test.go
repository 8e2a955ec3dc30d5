package store

import (
	"context"
	"testing"
	"time"
)

// Messages form a conversation by the ids they have and refer to, as long as
// they keep the subject, in whatever order they come.
func TestConversations(t *testing.T) {
	ctx := context.Background()
	clock := newClock(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	s := open(t, Options{Now: clock.now})
	acct, other := newAccount(t, s), newAccount(t, s)
	var uids []UID
	var box MailboxID
	mail := func(a AccountID, id, subject string, refs ...string) ThreadID {
		t.Helper()
		sp := spooled(t, s, message(1, 300))
		r, err := s.Deliver(ctx, Delivery{Body: sp, Placements: []Placement{{Account: a}},
			Facts: Facts{MessageID: id, References: refs, Subject: subject, Index: []byte("index")}})
		if err != nil {
			t.Fatal(err)
		}
		p := r.Placed[0]
		if a == acct {
			box, uids = p.Mailbox, append(uids, p.UID)
		}
		var thread ThreadID
		if _, err := s.Entries(ctx, p.Mailbox, p.UID, p.UID, func(e Entry) error { thread = e.Thread; return nil }); err != nil {
			t.Fatal(err)
		}
		return thread
	}
	rows := func() int {
		t.Helper()
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		rows, err := s.keys(key(tableThread, uint64(acct)), 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}

	first := mail(acct, "1@x", "lunch")
	if got := mail(acct, "2@x", "Lunch", "1@x"); got != first {
		t.Errorf("a reply is in thread %d, not %d", got, first)
	}
	if got := mail(acct, "4@x", "lunch", "1@x", "3@x"); got != first {
		t.Errorf("a reply to what is not here is in thread %d, not %d", got, first)
	}
	if got := mail(acct, "3@x", "lunch"); got != first {
		t.Errorf("what was replied to before it came is in thread %d, not %d", got, first)
	}
	renamed := mail(acct, "5@x", "dinner", "4@x")
	if renamed == first {
		t.Error("a reply under another subject is in the same thread")
	}
	if mail(acct, "", "lunch") == first {
		t.Error("a message without ids joined by its subject")
	}
	mail(other, "2@x", "lunch", "1@x")

	if n := rows(); n != 5 {
		t.Errorf("%d ids are known, want 5", n)
	}
	if _, _, err := s.Expunge(ctx, box, uids[:4], false); err != nil {
		t.Fatal(err)
	}
	if n := rows(); n != 5 {
		t.Errorf("%d ids are known of what can be restored, want 5", n)
	}
	clock.add(15 * 24 * time.Hour)
	if n := rows(); n != 1 {
		t.Errorf("%d ids are known of what is gone, want that of the last", n)
	}
	if got := mail(acct, "6@x", "dinner", "5@x"); got != renamed {
		t.Errorf("a reply to what is left is in thread %d, not %d", got, renamed)
	}
	if got := mail(acct, "7@x", "lunch", "1@x"); got == first {
		t.Error("a conversation that is gone goes on")
	}
	if rows, err := s.keys(key(tableThread, uint64(other)), 100); err != nil || len(rows) != 2 {
		t.Errorf("%d ids in the other account, want 2 (%v)", len(rows), err)
	}
}
