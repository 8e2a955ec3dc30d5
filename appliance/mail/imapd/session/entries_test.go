package session_test

import (
	"context"
	"math/rand"
	"reflect"
	"testing"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// TestEntriesCache changes a mailbox at random: what the cache answers must be
// what the store has, and what it answered before must stay as it was.
func TestEntriesCache(t *testing.T) {
	ctx := context.Background()
	u, s := setup(t, nil)
	id := s.Mailbox().ID
	rnd := rand.New(rand.NewSource(1))
	read := func(all func(fn func(store.Entry) error) error) (out []store.Entry) {
		if err := all(func(e store.Entry) error { out = append(out, e); return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, limit := range []int{0, 40 << 10, 1 << 20} { // bytes; the middle one is outgrown
		c := session.NewEntriesCache(u.Store, limit)
		for step := range 40 {
			have := read(func(fn func(store.Entry) error) error {
				_, err := u.Store.Entries(ctx, id, 0, 0, fn)
				return err
			})
			got := read(func(fn func(store.Entry) error) error {
				box, err := c.All(ctx, id, func(e *store.Entry) error { return fn(*e) })
				if err == nil && int(box.Messages) != len(have) {
					t.Errorf("step %d: a mailbox of %d messages beside %d entries", step, box.Messages, len(have))
				}
				return err
			})
			if !reflect.DeepEqual(got, have) {
				t.Fatalf("limit %d, step %d: %d entries %v\nwant %d %v", limit, step, len(got), got, len(have), have)
			}
			var uids []store.UID
			var want []store.Entry
			for _, e := range have {
				if rnd.Intn(3) == 0 {
					uids, want = append(uids, e.UID), append(want, e)
				}
			}
			some := read(func(fn func(store.Entry) error) error {
				v, err := c.View(ctx, id)
				if err != nil {
					return err
				}
				return v.Some(ctx, append(uids, ^store.UID(0)), func(e *store.Entry) error { return fn(*e) })
			})
			if !reflect.DeepEqual(some, want) {
				t.Fatalf("limit %d, step %d: of %v: %v\nwant %v", limit, step, uids, some, want)
			}
			var err error
			switch op := rnd.Intn(4); {
			case op < 2 || len(uids) == 0:
				msgs := make([]string, 1+rnd.Intn(30))
				for i := range msgs {
					msgs[i] = "Subject: s\n\n"
				}
				put(t, u, msgs...)
			case op == 2:
				_, err = u.Store.ChangeFlags(ctx, id, uids, store.FlagChange{Op: store.FlagsAdd, Flags: store.Flags{System: store.Flagged, Keywords: []string{"k"}}})
			default:
				_, _, err = u.Store.Expunge(ctx, id, uids, false)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, have) {
				t.Fatalf("limit %d, step %d: entries given out have changed", limit, step)
			}
		}
	}
}
