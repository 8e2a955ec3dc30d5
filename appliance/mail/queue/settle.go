package queue

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"pillarbox/appliance/mail/dsn"
	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
)

const (
	// bounceRetry is the wait after a bounce could not be accepted.
	bounceRetry = 10 * time.Minute
	// The first and the longest wait after a commit failed.
	commitFirst, commitMost = time.Second, time.Minute
	// maxReturned is the largest message returned whole, and only where the
	// sender asked for that (RFC 3461 section 4.3); maxHeader the most of a
	// header that is returned.
	maxReturned = 1 << 20
	maxHeader   = 64 << 10
)

// heldUntil is when held entries are due: never, and still within what a
// clock of 64 bits of nanoseconds can hold.
var heldUntil = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// ending is what is to become durable at the end of an attempt.
type ending struct {
	changes []store.QueueChange
	events  []Event
}

func (e *ending) remove(c *copyOf, ev Event) {
	e.changes = append(e.changes, store.QueueChange{ID: c.entry.ID})
	e.events = append(e.events, ev)
}

func (e *ending) keep(c *copyOf, ev Event) {
	c.entry.Data = c.rec.Encode()
	e.changes = append(e.changes, store.QueueChange{ID: c.entry.ID, Entry: &c.entry})
	e.events = append(e.events, ev)
}

// settle makes the outcome of an attempt durable.
func (q *Queue) settle(ctx context.Context, copies []*copyOf) {
	now := time.Now()
	var end ending
	var failed []*copyOf
	for _, c := range copies {
		wish := q.flight(c.entry.ID).settle()
		ev := c.event(now)
		f := c.failure
		switch {
		case c.sent:
			ev.Kind, ev.Host, ev.Reply = trace.Sent, c.host, c.reply
			end.remove(c, ev)
			continue
		case wish == wishDelete: // gone already
			continue
		case f == nil: // cut off: due again as it was
			if wish == wishHold {
				c.entry.Attempts--
				end.changes = append(end.changes, hold(c))
			}
			continue
		}
		c.rec.Last = f
		due, again := q.c.Schedule.after(now, c.entry.Created, max(1, c.entry.Attempts))
		switch {
		case f.Permanent || c.rec.Undeliverable || !again:
			failed = append(failed, c)
		default:
			if wish == wishHold {
				c.rec.Held, due = true, heldUntil
			}
			c.entry.Due = due
			ev.Kind, ev.Host, ev.Reply, ev.Due = trace.Deferred, f.Host, f.Reply(), due
			end.keep(c, ev)
		}
	}
	if len(failed) > 0 && q.giveUp(ctx, now, failed, &end) {
		return
	}
	if len(end.changes) > 0 {
		q.commit(ctx, &end)
	}
}

func (c *copyOf) event(now time.Time) Event {
	return Event{Time: now, ID: c.entry.ID, Trace: c.rec.Trace, Sender: c.entry.Sender, Recipient: c.entry.Recipient}
}

// giveUp ends copies that failed for good: with a bounce that is accepted in
// the same commit as everything else in end, and then all is done; or by
// adding to end what is to be committed without one.
func (q *Queue) giveUp(ctx context.Context, now time.Time, failed []*copyOf, end *ending) (done bool) {
	var tell, silent []*copyOf
	for _, c := range failed {
		if c.wantsBounce() {
			tell = append(tell, c)
		} else {
			silent = append(silent, c)
		}
	}
	gone := func(kind trace.Kind, e *ending, copies []*copyOf) {
		for _, c := range copies {
			ev := c.event(now)
			ev.Kind, ev.Host, ev.Reply = kind, c.failure.Host, c.failure.Reply()
			e.remove(c, ev)
		}
	}
	gone(trace.Failed, end, silent)
	if len(tell) == 0 {
		return false
	}
	message, err := q.notification(ctx, now, tell)
	if err == nil {
		with := ending{changes: slices.Clone(end.changes), events: slices.Clone(end.events)}
		gone(trace.Bounced, &with, tell)
		// Once begun it must come to its end: an answer that is not waited for
		// would leave open whether the sender was told.
		err = q.c.Bouncer.Bounce(context.WithoutCancel(ctx), tell[0].entry.Sender, bytes.NewReader(message), with.changes, q.docs(with.events))
		if err == nil {
			q.tell(with.events)
			return true
		}
	}
	var t interface{ Temporary() bool }
	if errors.As(err, &t) && !t.Temporary() { // nobody is there to be told
		q.c.Log.Warn("a bounce was refused, the message is dropped", "sender", tell[0].entry.Sender, "err", err)
		gone(trace.Failed, end, tell)
		return false
	}
	q.c.Log.Error("a bounce could not be accepted, it is tried again", "sender", tell[0].entry.Sender, "err", err)
	for _, c := range tell {
		c.rec.Undeliverable = true
		c.entry.Due = now.Add(bounceRetry)
		ev := c.event(now)
		ev.Kind, ev.Host, ev.Reply, ev.Due = trace.Deferred, c.failure.Host, c.failure.Reply(), c.entry.Due
		end.keep(c, ev)
	}
	return false
}

// wantsBounce tells whether the sender is to hear of the copy's failure: not
// of a bounce's (RFC 5321 section 4.5.5), and not against the wish of NOTIFY
// (RFC 3461 section 4.1).
func (c *copyOf) wantsBounce() bool {
	if c.entry.Sender == "" {
		return false
	}
	notify := strings.ToUpper(c.rec.Notify)
	return notify == "" || strings.Contains(notify, "FAILURE")
}

// notification writes the report about copies of one message.
func (q *Queue) notification(ctx context.Context, now time.Time, copies []*copyOf) ([]byte, error) {
	first := copies[0]
	n := dsn.Notification{
		Hostname: q.c.Hostname(), To: first.entry.Sender, EnvelopeID: first.rec.EnvelopeID,
		Arrived: first.entry.Created, Now: now,
	}
	for _, c := range copies {
		f := c.failure
		r := dsn.Recipient{
			Address: c.entry.Recipient, Original: c.rec.Original, Action: dsn.Failed,
			Status: f.status(), Remote: f.Host, LastAttempt: f.Time,
		}
		if f.Code != 0 {
			r.Reply = f.Reply()
		} else {
			r.Explanation = f.Text
		}
		n.Recipients = append(n.Recipients, r)
	}
	whole := strings.EqualFold(first.rec.Return, "FULL") && first.entry.Size <= maxReturned
	var err error
	if n.Returned, err = q.returned(ctx, first, whole); err != nil {
		q.c.Log.Error("a message that failed cannot be read, it is reported without", "entry", first.entry.ID, "err", err)
	}
	n.HeaderOnly = !whole
	return n.Compose()
}

// returned reads the message, or its header.
func (q *Queue) returned(ctx context.Context, c *copyOf, whole bool) ([]byte, error) {
	m, err := q.open(context.WithoutCancel(ctx), c)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if whole {
		return io.ReadAll(m)
	}
	var b bytes.Buffer
	br := bufio.NewReader(m)
	for {
		line, err := br.ReadSlice('\n')
		if b.Len()+len(line) > maxHeader {
			return b.Bytes(), nil
		}
		b.Write(line)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF), err == nil && len(bytes.TrimRight(line, "\r\n")) == 0:
			return b.Bytes(), nil
		case err != nil:
			return nil, err
		}
	}
}

// commit makes an ending durable. While the store cannot, it keeps trying and
// with that keeps its slot; only shutdown ends it, and then the copies are due again.
func (q *Queue) commit(ctx context.Context, end *ending) {
	d := store.Delivery{Changes: end.changes, Docs: q.docs(end.events)}
	for wait := commitFirst; ; wait = min(2*wait, commitMost) {
		_, err := q.c.Store.Deliver(context.WithoutCancel(ctx), d)
		if err == nil {
			q.tell(end.events)
			return
		}
		q.c.Log.Error("the outcome of an attempt cannot be stored", "entries", len(end.changes), "err", err)
		if errors.Is(err, store.ErrClosed) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// docs writes the trace of events: one record for those that are the same but
// for the recipient.
func (q *Queue) docs(events []Event) []store.DocOp {
	type key struct {
		id          trace.ID
		kind        trace.Kind
		host, reply string
	}
	index := make(map[key]int)
	var keys []key
	var records []trace.Event
	for _, e := range events {
		if e.Trace == "" {
			continue
		}
		k := key{e.Trace, e.Kind, e.Host, e.Reply}
		i, ok := index[k]
		if !ok {
			i = len(records)
			index[k] = i
			keys = append(keys, k)
			records = append(records, trace.Event{Kind: e.Kind, Time: e.Time, Host: e.Host, Reply: e.Reply})
		}
		records[i].Targets = append(records[i].Targets, trace.Target{Recipient: e.Recipient})
	}
	var ops []store.DocOp
	for i, r := range records {
		op, err := trace.Op(keys[i].id, r)
		if err != nil {
			q.c.Log.Error("a trace record cannot be written", "err", err)
			continue
		}
		ops = append(ops, op)
	}
	return ops
}

// tell reports events that are durable.
func (q *Queue) tell(events []Event) {
	for _, e := range events {
		q.c.Log.Info("queue", "event", e.Kind, "entry", e.ID, "id", e.Trace, "from", e.Sender, "to", e.Recipient, "host", e.Host, "reply", e.Reply)
		q.c.Events(e)
	}
}
