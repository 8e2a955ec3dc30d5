package queue

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"pillarbox/appliance/mail/route"
	"pillarbox/appliance/mail/smtpclient"
	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
)

// Store is the part of the mail store that the queue needs.
type Store interface {
	QueueDue(ctx context.Context, now time.Time, limit int, fn func(store.QueueEntry) error) (next time.Time, err error)
	QueueList(ctx context.Context, after store.QueueID, fn func(store.QueueEntry) error) error
	QueueGet(ctx context.Context, id store.QueueID) (store.QueueEntry, error)
	OpenBody(ctx context.Context, id store.BlobID) (store.Body, error)
	Deliver(ctx context.Context, d store.Delivery) (store.Receipt, error)
}

// Router knows the way; *route.Router is one.
type Router interface {
	Destination(address string) route.Destination
	Route(ctx context.Context, d route.Destination) (route.Route, error)
	Addresses(ctx context.Context, h route.Host) ([]netip.AddrPort, error)
}

// Bouncer takes bounces back into the house.
type Bouncer interface {
	// Bounce accepts a message with a null sender for one recipient and makes
	// the changes and documents durable in the same commit, or does nothing
	// and answers an error. An error with a method Temporary() bool that says
	// false means that the recipient can never be told; any other means later.
	Bounce(ctx context.Context, to string, message io.Reader, changes []store.QueueChange, docs []store.DocOp) error
}

// Limits bound the work under way.
type Limits struct {
	Total          int // attempts at a time
	PerDestination int // of those, for one destination
	Recipients     int // in one transaction
}

// DefaultLimits suit a small organisation's box: each attempt holds a
// connection and some 100 KiB. Large receivers take offence at more than a few
// connections; 100 recipients is what every server must take (RFC 5321 section 4.5.3.1.8).
var DefaultLimits = Limits{Total: 20, PerDestination: 4, Recipients: 100}

const (
	// defaultGrace is what attempts under way get at shutdown: enough for a
	// server's reply to a body, well within the time a box has to power off.
	defaultGrace = 5 * time.Second
	// attemptLimit ends an attempt that each single deadline of SMTP would
	// let go on for ever.
	attemptLimit = 2 * time.Hour
	// scanShare keeps passes over a long queue at a tenth of the time: a pass
	// that took long is followed by a pause of so many times that.
	scanShare = 9
	// recallEvery is how often the queue looks for what waits too long because the
	// clock was set back.
	recallEvery = time.Hour
	// storeRetry is the wait after the store could not say what is due.
	storeRetry = 10 * time.Second
	// The first and the longest time a destination is left alone after none
	// of its hosts could be spoken to.
	coolFirst, coolMost = time.Minute, 15 * time.Minute
)

// Event tells what happened to an entry, after it is durable.
type Event struct {
	Kind      trace.Kind
	Time      time.Time
	ID        store.QueueID
	Trace     trace.ID
	Sender    string
	Recipient string
	Host      string    // the server talked to, "" where none
	Reply     string    // what it said, or our own words
	Due       time.Time // next attempt, for Deferred
}

// Config is what a Queue works with. Store, Router, Bouncer and Hostname are required.
type Config struct {
	Store    Store
	Router   Router
	Bouncer  Bouncer
	Hostname func() string // our name for EHLO and reports, asked at each use
	// Dial opens connections; a net.Dialer with a timeout where nil.
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Schedule Schedule            // DefaultSchedule where zero
	Limits   Limits              // DefaultLimits for fields that are zero
	Timeouts smtpclient.Timeouts // of conversations
	Grace    time.Duration       // at shutdown; 5 s where 0
	Events   func(Event)         // may be nil; must not block
	Log      *slog.Logger
}

// Queue sends mail. Its methods are safe for concurrent use.
type Queue struct {
	c    Config
	wake chan struct{}
	work sync.WaitGroup

	mu      sync.Mutex
	running int
	busy    map[store.QueueID]*flight
	dests   map[string]*destination
}

// flight is the hold on an entry of whoever works on it.
type flight struct {
	done chan struct{} // closed when the hold ends

	mu       sync.Mutex // held over a wish being made durable
	settling bool       // its end is being committed: too late for wishes
	wish     wish
}

func newFlight() *flight { return &flight{done: make(chan struct{})} }

// settle closes the flight to further wishes and gives the one there is.
func (f *flight) settle() wish {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settling = true
	return f.wish
}

// wish is what an administrator wants of an entry under way.
type wish uint8

const (
	wishNone wish = iota
	wishHold
	wishDelete
)

// destination is what is known of a destination at the moment. Guarded by Queue.mu.
type destination struct {
	active int       // attempts under way
	fails  int       // times in a row that no host could be spoken to
	until  time.Time // left alone until then
}

// New makes a Queue. It does nothing before Run.
func New(c Config) *Queue {
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if len(c.Schedule.Delays) == 0 {
		c.Schedule = DefaultSchedule
	}
	if c.Limits.Total <= 0 {
		c.Limits.Total = DefaultLimits.Total
	}
	if c.Limits.PerDestination <= 0 {
		c.Limits.PerDestination = DefaultLimits.PerDestination
	}
	if c.Limits.Recipients <= 0 {
		c.Limits.Recipients = DefaultLimits.Recipients
	}
	if c.Grace <= 0 {
		c.Grace = defaultGrace
	}
	if c.Events == nil {
		c.Events = func(Event) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Queue{
		c: c, wake: make(chan struct{}, 1),
		busy: make(map[store.QueueID]*flight), dests: make(map[string]*destination),
	}
}

// Kick makes the queue look at once for what is due.
func (q *Queue) Kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// errShutdown is why an attempt ends that did not end by itself in the time of grace.
var errShutdown = errors.New("queue: shutting down")

// Run sends mail until ctx ends. Attempts under way then get the time of
// grace; what has not ended by that is cut off and due again at the next
// start. Run returns when nothing is under way any more; its error is that of
// a store that was closed before.
func (q *Queue) Run(ctx context.Context) error {
	work, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	err := q.schedule(ctx, work)
	idle := make(chan struct{})
	go func() { q.work.Wait(); close(idle) }()
	grace := time.NewTimer(q.c.Grace)
	defer grace.Stop()
	select {
	case <-idle:
	case <-grace.C:
		cut(errShutdown)
		<-idle
	}
	return err
}

// schedule starts attempts, which run in work, until ctx ends.
func (q *Queue) schedule(ctx, work context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var recalled time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
		case <-timer.C:
		}
		start := time.Now()
		if start.Sub(recalled) >= recallEvery {
			q.recall(ctx, start)
			recalled = start
		}
		next, err := q.dispatch(ctx, work)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrClosed):
			return err
		case err != nil:
			q.c.Log.Error("the queue cannot be read", "err", err)
			next = time.Now().Add(storeRetry)
		}
		if pause := scanShare * time.Since(start); pause > 10*time.Millisecond {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
		}
		if next.IsZero() {
			timer.Stop()
			continue
		}
		timer.Reset(min(time.Until(next), recallEvery))
	}
}

// recall makes due what is put off beyond all that the schedule knows: it was
// when the clock was ahead, and would wait for years.
func (q *Queue) recall(ctx context.Context, now time.Time) {
	latest := now.Add(q.c.Schedule.longest())
	var stray []store.QueueID
	err := q.c.Store.QueueList(ctx, 0, func(e store.QueueEntry) error {
		if e.Due.After(latest) {
			if rec, _ := DecodeRecord(e.Data); !rec.Held { // one that cannot be read is worked on as well
				stray = append(stray, e.ID)
			}
		}
		return nil
	})
	for _, id := range stray {
		err = errors.Join(err, q.change(ctx, id, wishNone, func(c *copyOf) store.QueueChange {
			if !c.rec.Held { // since it was looked at
				c.entry.Due = now
			}
			return store.QueueChange{ID: id, Entry: &c.entry}
		}))
	}
	switch {
	case err != nil && ctx.Err() == nil:
		q.c.Log.Error("what the clock put off cannot be recalled", "err", err)
	case len(stray) > 0:
		q.c.Log.Warn("the clock was set back: mail that would wait too long is tried now", "entries", len(stray))
	}
}

// run works on a job and lets go of its entries.
func (q *Queue) run(ctx context.Context, j *job) {
	defer q.Kick()
	defer func() {
		q.letGo(j.ids...)
		q.mu.Lock()
		defer q.mu.Unlock()
		q.running--
		q.dests[j.dest.Key].active--
	}()
	copies, err := q.load(ctx, j)
	if err != nil {
		q.c.Log.Error("queue entries cannot be read", "destination", j.dest, "err", err)
		q.reached(j.dest, false) // as good a reason to leave it alone for a while
	}
	if len(copies) > 0 {
		limited, cancel := context.WithTimeout(ctx, attemptLimit)
		q.attempt(limited, j.dest, copies)
		cancel()
		q.settle(ctx, copies) // whatever time the attempt took, its outcome must be kept
	}
}

// flight gives who works on an entry; nil where nobody does.
func (q *Queue) flight(id store.QueueID) *flight {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.busy[id]
}

// letGo ends the hold on entries.
func (q *Queue) letGo(ids ...store.QueueID) {
	for _, id := range ids {
		f := q.flight(id)
		f.settle()
		q.mu.Lock()
		delete(q.busy, id)
		q.mu.Unlock()
		close(f.done)
	}
}

// load reads the job's entries again, now that nobody else changes them: the
// pass that planned it may have looked at a moment before the end of the last
// attempt, or before an administrator's change.
func (q *Queue) load(ctx context.Context, j *job) (copies []*copyOf, err error) {
	for _, id := range j.ids {
		e, getErr := q.c.Store.QueueGet(ctx, id)
		switch {
		case errors.Is(getErr, store.ErrNotFound):
			continue
		case getErr != nil:
			err = getErr
			continue
		case e.Due.After(time.Now()):
			continue
		}
		rec, recErr := DecodeRecord(e.Data)
		if recErr != nil {
			q.c.Log.Warn("a queue entry's record cannot be read", "entry", id, "err", recErr)
		}
		copies = append(copies, &copyOf{entry: e, rec: rec})
	}
	return copies, err
}

// reached notes whether any host of a destination could be spoken to.
func (q *Queue) reached(d route.Destination, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	st := q.dests[d.Key]
	now := time.Now()
	switch {
	case ok:
		st.fails, st.until = 0, time.Time{}
	case !now.Before(st.until): // attempts that fail side by side count once
		st.until = now.Add(min(coolFirst<<min(st.fails, 10), coolMost))
		st.fails++
	}
}
