package queue

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/mail/smtpclient"
	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
)

func TestHoldRetryDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		h := newHouse()
		k := h.w.sink("a.example", 10, &sink{rcpt: func(int, string) string { return "450 4.7.1 later" }})
		id := h.s.put(hello, ann, Record{}, "x@a.example")[0]
		stop := h.start(t)
		defer stop()
		time.Sleep(time.Second)
		synctest.Wait()
		it, err := h.Get(ctx, id)
		if err != nil || it.Attempts != 1 || it.Last == nil || it.Last.Reply() != "450 4.7.1 later" || it.Held || it.Active || it.Size != int64(len(hello)) {
			t.Fatalf("%+v %v", it, err)
		}
		if err := h.Hold(ctx, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * 24 * time.Hour)
		synctest.Wait()
		it, err = h.Get(ctx, id)
		if err != nil || !it.Held || !it.Due.IsZero() || len(k.dials) != 1 {
			t.Fatalf("%+v %v, %d connections", it, err, len(k.dials))
		}
		if err := h.Retry(ctx, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if it, err = h.Get(ctx, id); err != nil || it.Held || it.Attempts != 2 || len(k.dials) != 2 { // old, yet not tried enough
			t.Fatalf("%+v %v", it, err)
		}
		var listed []store.QueueID
		if err := h.List(ctx, 0, func(it Item) error { listed = append(listed, it.ID); return nil }); err != nil || len(listed) != 1 || listed[0] != id {
			t.Fatal(listed, err)
		}
		if err := h.Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
		for _, f := range []func(context.Context, store.QueueID) error{h.Hold, h.Retry, h.Delete} {
			if err := f(ctx, id); !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
		}
		if _, err := h.Get(ctx, id); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
		if h.kinds() != "deferred x@a.example, deferred x@a.example, removed x@a.example" || len(h.b.bounces) != 0 {
			t.Error(h.kinds(), len(h.b.bounces))
		}
	})
}

// TestWishesDuringAnAttempt has an administrator act while the other server
// thinks about it.
func TestWishesDuringAnAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		act    func(*Queue, context.Context, store.QueueID) error
		reply  string
		events string
		held   bool
	}{
		"delete, refused":  {(*Queue).Delete, "550 no", "removed x@a.example", false},
		"delete, deferred": {(*Queue).Delete, "450 later", "removed x@a.example", false},
		"delete, taken":    {(*Queue).Delete, "250 ok", "removed x@a.example, sent x@a.example", false},
		"hold, deferred":   {(*Queue).Hold, "450 later", "deferred x@a.example", true},
		"hold, taken":      {(*Queue).Hold, "250 ok", "sent x@a.example", false},
		"retry, taken":     {(*Queue).Retry, "250 ok", "sent x@a.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse()
				h.w.sink("a.example", 10, &sink{end: func(taken) string { time.Sleep(10 * time.Second); return c.reply }})
				id := h.s.put(hello, ann, Record{}, "x@a.example")[0]
				stop := h.start(t)
				time.Sleep(time.Second)
				if it, err := h.Get(context.Background(), id); err != nil || !it.Active {
					t.Errorf("%+v %v", it, err)
				}
				if err := c.act(h.Queue, context.Background(), id); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				it, err := h.Get(context.Background(), id)
				if h.kinds() != c.events || it.Held != c.held || c.held != (err == nil) || len(h.b.bounces) != 0 {
					t.Errorf("%s, %+v, %v", h.kinds(), it, err)
				}
				stop()
			})
		})
	}
}

// listed is a store that something happens to after its queue was listed.
type listed struct {
	*memStore
	then func()
}

func (l *listed) QueueList(ctx context.Context, after store.QueueID, fn func(store.QueueEntry) error) error {
	defer l.then()
	return l.memStore.QueueList(ctx, after, fn)
}

// TestHoldWhileRecalled holds an entry that the queue has just found to wait too
// long because the clock was ahead.
func TestHoldWhileRecalled(t *testing.T) {
	h := newHouse()
	id := h.s.put(hello, ann, Record{}, "x@a.example")[0]
	e := h.s.entries[id]
	e.Due = e.Due.AddDate(10, 0, 0)
	h.s.entries[id] = e
	h.c.Store = &listed{h.s, func() {
		if err := h.Hold(t.Context(), id); err != nil {
			t.Error(err)
		}
	}}
	h.Queue = New(h.c)
	h.recall(t.Context(), time.Now())
	if e := h.s.entries[id]; !e.Due.Equal(heldUntil) {
		t.Errorf("held, and due %v", e.Due)
	}
}

// TestHoldOutlivesAShutdown holds an entry whose attempt is then cut off.
func TestHoldOutlivesAShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.w.sink("a.example", 10, &sink{greeting: "hang"})
		id := h.s.put(hello, ann, Record{}, "x@a.example")[0]
		stop := h.start(t)
		synctest.Wait()
		if err := h.Hold(context.Background(), id); err != nil {
			t.Error(err)
		}
		stop()
		if it, err := h.Get(context.Background(), id); err != nil || !it.Held || it.Attempts != 0 {
			t.Errorf("%+v, %v", it, err)
		}
	})
}

// TestDeleteWaitsForTheEnd deletes while the bounce is being accepted: that
// comes first, and then there is nothing to delete.
func TestDeleteWaitsForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.s.fail = func(int) error { time.Sleep(10 * time.Second); return nil }
		h.w.sink("a.example", 10, &sink{rcpt: func(int, string) string { return "550 no" }})
		id := h.s.put(hello, ann, Record{}, "x@a.example")[0]
		stop := h.start(t)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if err := h.Delete(ctx, id); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
		if err := h.Delete(context.Background(), id); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
		if len(h.b.bounces) != 1 {
			t.Error(h.kinds())
		}
		stop()
	})
}

func TestRecord(t *testing.T) {
	r := Record{Trace: trace.NewID(time.Now()), UTF8: true, EnvelopeID: "e", Return: "FULL", Notify: "NEVER", Original: "rfc822;x",
		Last: &Failure{Time: time.Unix(1, 0).UTC(), Host: "mx", Phase: "rcpt", Code: 450, Status: smtpclient.Status{4, 2, 0}, Text: "later"}, Held: true, Undeliverable: true}
	got, err := DecodeRecord(r.Encode())
	if err != nil || *got.Last != *r.Last {
		t.Fatal(got, err)
	}
	got.Last = r.Last
	if got != r {
		t.Errorf("%+v, want %+v", got, r)
	}
	if got, err := DecodeRecord(nil); err != nil || got != (Record{}) {
		t.Error(got, err)
	}
	for _, bad := range []string{"\x02{}", "\x01", "\x01[", "\x00"} {
		if got, err := DecodeRecord([]byte(bad)); err == nil || got != (Record{}) {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(Record{Held: true}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			return
		}
		if _, err := DecodeRecord(r.Encode()); err != nil {
			t.Error(err)
		}
	})
}
