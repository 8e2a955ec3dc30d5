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
	q.mu.Lock()
	active := q.busy[e.ID] != nil
	q.mu.Unlock()
	it := Item{
		ID: e.ID, Trace: rec.Trace, Sender: e.Sender, Recipient: e.Recipient, Size: e.Size, Created: e.Created,
		Due: e.Due, Attempts: e.Attempts, Last: rec.Last, Held: rec.Held, Active: active,
	}
	if it.Held {
		it.Due = time.Time{}
	}
	return it
}

// Retry makes an entry due now, held or not, and its destination worth a try.
// An entry under way stays as it is. store.ErrNotFound.
func (q *Queue) Retry(ctx context.Context, id store.QueueID) error {
	return q.change(ctx, id, wishNone, func(c *copyOf) *store.QueueChange {
		c.rec.Held = false
		c.entry.Due = time.Now()
		q.mu.Lock()
		if d := q.dests[q.c.Router.Destination(c.entry.Recipient).Key]; d != nil {
			d.until = time.Time{}
		}
		q.mu.Unlock()
		c.entry.Data = c.rec.Encode()
		return &store.QueueChange{ID: id, Entry: &c.entry}
	})
}

// Hold keeps an entry from being tried until Retry. An attempt under way
// comes to its end first. store.ErrNotFound.
func (q *Queue) Hold(ctx context.Context, id store.QueueID) error {
	return q.change(ctx, id, wishHold, func(c *copyOf) *store.QueueChange {
		c.rec.Held = true
		c.entry.Due = heldUntil
		c.entry.Data = c.rec.Encode()
		return &store.QueueChange{ID: id, Entry: &c.entry}
	})
}

// Delete removes an entry without telling its sender. Where an attempt is
// under way, it may still succeed, but will not be repeated. store.ErrNotFound.
func (q *Queue) Delete(ctx context.Context, id store.QueueID) error {
	return q.change(ctx, id, wishDelete, func(c *copyOf) *store.QueueChange {
		return &store.QueueChange{ID: id}
	})
}

// change applies an administrator's change to an entry. While an attempt is
// under way it becomes a wish, which the attempt's end follows; a deletion is
// made durable at once in any case.
func (q *Queue) change(ctx context.Context, id store.QueueID, w wish, edit func(*copyOf) *store.QueueChange) error {
	held, err := q.hold(ctx, id, w)
	if err != nil {
		return err
	}
	if held {
		defer q.Kick()
		defer func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.letGo(id)
		}()
	}
	e, err := q.c.Store.QueueGet(ctx, id)
	if err != nil {
		return err
	}
	if !held && w != wishDelete {
		return nil
	}
	rec, err := DecodeRecord(e.Data)
	if err != nil {
		q.c.Log.Warn("a queue entry's record cannot be read", "entry", id, "err", err)
	}
	c := &copyOf{entry: e, rec: rec}
	d := store.Delivery{Changes: []store.QueueChange{*edit(c)}}
	var events []Event
	if w == wishDelete {
		ev := c.event(time.Now())
		ev.Kind = trace.Removed
		events = []Event{ev}
	}
	d.Docs = q.docs(events)
	if _, err := q.c.Store.Deliver(ctx, d); err != nil {
		return err
	}
	q.tell(events)
	return nil
}

// hold takes hold of an idle entry, or leaves a wish with who has it. It
// waits for an attempt that is just being settled.
func (q *Queue) hold(ctx context.Context, id store.QueueID, w wish) (held bool, err error) {
	for {
		q.mu.Lock()
		f := q.busy[id]
		switch {
		case f == nil:
			q.busy[id] = &flight{settling: true, done: make(chan struct{})} // others wait
			q.mu.Unlock()
			return true, nil
		case !f.settling:
			f.wish = max(f.wish, w)
			q.mu.Unlock()
			return false, nil
		}
		q.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}
