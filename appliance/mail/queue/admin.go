package queue

import (
	"context"
	"time"

	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
)

// Item is an entry as an administrator sees it.
type Item struct {
	ID        store.QueueID
	Trace     trace.ID
	Sender    string // "" for bounces
	Recipient string
	Size      int64 // bytes
	Created   time.Time
	Due       time.Time // next attempt; zero where held
	Attempts  int
	Last      *Failure // of the last attempt, nil where there was none or it was cut off
	Held      bool
	Active    bool // an attempt is under way
}

// List calls fn with the entries after an id, by id; fn's error ends it.
func (q *Queue) List(ctx context.Context, after store.QueueID, fn func(Item) error) error {
	return q.c.Store.QueueList(ctx, after, func(e store.QueueEntry) error { return fn(q.item(e)) })
}

// Get gives one entry; store.ErrNotFound.
func (q *Queue) Get(ctx context.Context, id store.QueueID) (Item, error) {
	e, err := q.c.Store.QueueGet(ctx, id)
	if err != nil {
		return Item{}, err
	}
	return q.item(e), nil
}

func (q *Queue) item(e store.QueueEntry) Item {
	rec, _ := DecodeRecord(e.Data) // the worker complains; here it shows as an entry without history
	it := Item{
		ID: e.ID, Trace: rec.Trace, Sender: e.Sender, Recipient: e.Recipient, Size: e.Size, Created: e.Created,
		Due: e.Due, Attempts: e.Attempts, Last: rec.Last, Held: rec.Held, Active: q.flight(e.ID) != nil,
	}
	if it.Held {
		it.Due = time.Time{}
	}
	return it
}

// Retry makes an entry due now, held or not, and its destination worth a try.
// An entry under way stays as it is. store.ErrNotFound.
func (q *Queue) Retry(ctx context.Context, id store.QueueID) error {
	return q.change(ctx, id, wishNone, func(c *copyOf) store.QueueChange {
		c.rec.Held = false
		c.entry.Due = time.Now()
		q.mu.Lock()
		if d := q.dests[q.c.Router.Destination(c.entry.Recipient).Key]; d != nil {
			d.until = time.Time{}
		}
		q.mu.Unlock()
		c.entry.Data = c.rec.Encode()
		return store.QueueChange{ID: id, Entry: &c.entry}
	})
}

// Hold keeps an entry from being tried until Retry. An attempt under way
// comes to its end first. store.ErrNotFound.
func (q *Queue) Hold(ctx context.Context, id store.QueueID) error {
	return q.change(ctx, id, wishHold, hold)
}

func hold(c *copyOf) store.QueueChange {
	c.rec.Held = true
	c.entry.Due = heldUntil
	c.entry.Data = c.rec.Encode()
	return store.QueueChange{ID: c.entry.ID, Entry: &c.entry}
}

// Delete removes an entry without telling its sender. Where an attempt is
// under way, it may still succeed, but will not be repeated. store.ErrNotFound.
func (q *Queue) Delete(ctx context.Context, id store.QueueID) error {
	return q.change(ctx, id, wishDelete, func(c *copyOf) store.QueueChange {
		return store.QueueChange{ID: id}
	})
}

// change applies an administrator's change to an entry. While an attempt is
// under way it becomes a wish, which the attempt's end follows; a deletion is
// made durable at once in any case. It waits for an attempt that is just being
// settled.
func (q *Queue) change(ctx context.Context, id store.QueueID, w wish, edit func(*copyOf) store.QueueChange) error {
	for {
		f, mine := q.hold(id)
		if mine {
			defer q.Kick()
			defer q.letGo(id)
			return q.apply(ctx, id, w, edit)
		}
		open, err := q.leaveWish(ctx, id, f, w, edit)
		if open {
			return err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hold takes hold of an idle entry, or tells who has it.
func (q *Queue) hold(id store.QueueID) (f *flight, mine bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if f := q.busy[id]; f != nil {
		return f, false
	}
	f = newFlight()
	f.settling = true // others wait
	q.busy[id] = f
	return f, true
}

// leaveWish leaves a wish with an attempt under way, where that is still open to it.
func (q *Queue) leaveWish(ctx context.Context, id store.QueueID, f *flight, w wish, edit func(*copyOf) store.QueueChange) (open bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.settling:
		return false, nil
	case f.wish == wishDelete:
		return true, store.ErrNotFound
	case w == wishDelete:
		if err := q.apply(ctx, id, w, edit); err != nil {
			return true, err
		}
	}
	f.wish = max(f.wish, w)
	return true, nil
}

// apply makes a change durable.
func (q *Queue) apply(ctx context.Context, id store.QueueID, w wish, edit func(*copyOf) store.QueueChange) error {
	e, err := q.c.Store.QueueGet(ctx, id)
	if err != nil {
		return err
	}
	rec, err := DecodeRecord(e.Data)
	if err != nil {
		q.c.Log.Warn("a queue entry's record cannot be read", "entry", id, "err", err)
	}
	c := &copyOf{entry: e, rec: rec}
	var events []Event
	if w == wishDelete {
		ev := c.event(time.Now())
		ev.Kind = trace.Removed
		events = []Event{ev}
	}
	_, err = q.c.Store.Deliver(ctx, store.Delivery{Changes: []store.QueueChange{edit(c)}, Docs: q.docs(events)})
	if err == nil {
		q.tell(events)
	}
	return err
}
