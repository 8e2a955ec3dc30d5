package store

import (
	"context"
	"testing"
)

// A listener that does not keep up is told once to read all anew, and goes on
// with what comes after it has; whoever keeps up misses nothing.
func TestSlowListenerIsToldToResync(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	acct, other := newAccount(t, s), newAccount(t, s)
	in, err := s.MailboxByName(ctx, acct, inbox)
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, s, message(1, 300), Placement{Account: acct})
	slow, quick, all, others := s.Watch(acct), s.Watch(acct), s.Watch(0), s.Watch(other)
	defer quick.Close()
	defer all.Close()
	defer others.Close()

	const changes = 3 * watchQueue
	var last ModSeq
	for i := range changes {
		op := FlagsAdd
		if i%2 == 1 {
			op = FlagsRemove
		}
		if _, err := s.ChangeFlags(ctx, in.ID, []UID{1}, FlagChange{Op: op, Flags: Flags{System: Seen}}); err != nil {
			t.Fatal(err)
		}
		e := <-quick.C
		if e.Kind != EventFlags || e.ModSeq <= last {
			t.Fatalf("change %d: %+v after mod-sequence %d", i, e, last)
		}
		last = e.ModSeq
		<-all.C
	}
	for i := range watchQueue {
		if e := <-slow.C; e.Kind != EventFlags {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
	if e := <-slow.C; e.Kind != EventResync || e.Account != acct {
		t.Fatalf("instead of what was lost: %+v", e)
	}
	if n := len(slow.C) + len(others.C); n != 0 {
		t.Errorf("%d more events are waiting", n)
	}
	r := deliver(t, s, message(2, 300), Placement{Account: acct})
	if e := <-slow.C; e.Kind != EventNew || e.ModSeq != r.Placed[0].ModSeq {
		t.Errorf("after the resync: %+v", e)
	}
	slow.Close()
	if _, open := <-slow.C; open {
		t.Error("still listening")
	}
	if s.hub.watchers[acct] == nil || len(s.hub.watchers[acct]) != 1 {
		t.Errorf("%d listeners", len(s.hub.watchers[acct]))
	}
}
