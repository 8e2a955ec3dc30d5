package store

import (
	"context"
	"fmt"
)

const (
	// batchOps is how many ops share a transaction at most: enough for every
	// session of a busy box, few enough that none waits long.
	batchOps = 256
	// batchBulk bounds the bytes a batch holds in memory, bodies included.
	batchBulk = 8 << 20
	// batchMargin is left of a transaction's rows and bytes for the store's own.
	batchMargin = 1 << 10
	// queuedOps is how many ops may wait to be taken; more wait in their callers.
	queuedOps = 512
	// cachedRecords is how many accounts and mailboxes the committer keeps
	// decoded; beyond that it forgets and reads again.
	cachedRecords = 20000
)

// request is an op on its way to the committer.
type request struct {
	op     op
	source uint64
	reply  chan outcome
	// then is taken right after this one, into the same transaction where it
	// fits, unless this one was refused: then it is dropped without an answer.
	then *request
}

// outcome is what became of an op.
type outcome struct {
	value any
	err   error
}

// committer owns every change of the store. It is one goroutine: it applies
// ops in the order they come, packs them into transactions, and answers each
// when its transaction is durable. While one transaction is being synced the
// next is being filled, so that n sessions committing at once share a sync
// and a lone one waits for nothing but its own.
type committer struct {
	s       *Store
	in      chan *request
	control chan func(error) // run with nothing open and nothing being synced
	stop    chan struct{}
	stopped chan struct{}

	open      *batch
	inflight  *batch
	global    globalRec
	accounts  map[AccountID]*account
	mailboxes map[MailboxID]*mailbox
	lastTs    uint64
	maxRows   int64
	maxSize   int64
}

func newCommitter(s *Store) *committer {
	return &committer{
		s: s, in: make(chan *request, queuedOps), control: make(chan func(error)),
		stop: make(chan struct{}), stopped: make(chan struct{}),
		open: newBatch(), accounts: map[AccountID]*account{}, mailboxes: map[MailboxID]*mailbox{},
	}
}

// submit hands an op to the committer and waits until it is durable or
// refused. The context ends the waiting for a place only: an op that was
// taken is waited for, since its outcome must be known.
func (s *Store) submit(ctx context.Context, o op) (any, error) {
	reply, err := s.submitAsync(ctx, o)
	if err != nil {
		return nil, err
	}
	out := <-reply
	return out.value, out.err
}

// submitAsync hands an op over and answers where its outcome will come.
func (s *Store) submitAsync(ctx context.Context, o op) (<-chan outcome, error) {
	r := newRequest(ctx, o)
	return r.reply, s.hand(ctx, r)
}

func newRequest(ctx context.Context, o op) *request {
	return &request{op: o, source: actorOf(ctx), reply: make(chan outcome, 1)}
}

// hand gives a request to the committer.
func (s *Store) hand(ctx context.Context, r *request) error {
	if err := s.failure(); err != nil {
		return err
	}
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return ErrClosed
	}
	select {
	case s.committer.in <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// submitFor is submit with the type of the op's answer.
func submitFor[T any](ctx context.Context, s *Store, o op) (T, error) {
	v, err := s.submit(ctx, o)
	if err != nil {
		var zero T
		return zero, err
	}
	return v.(T), nil
}

// exclusive runs fn in the committer's goroutine while nothing is open and
// nothing is being synced.
func (s *Store) exclusive(fn func() error) error {
	done := make(chan error, 1)
	select {
	case s.committer.control <- func(err error) {
		if err == nil {
			err = fn()
		}
		done <- err
	}:
		return <-done
	case <-s.committer.stopped:
		return ErrClosed
	}
}

func (c *committer) run() {
	defer close(c.stopped)
	for {
		if c.inflight == nil && len(c.open.waiting) > 0 {
			c.fill()
			c.send()
			continue
		}
		in := c.in
		if c.full() {
			in = nil
		}
		var synced <-chan error
		if c.inflight != nil {
			synced = c.inflight.done
		}
		select {
		case r := <-in:
			c.take(r)
		case err := <-synced:
			c.finish(err)
		case fn := <-c.control:
			fn(c.flush())
		case <-c.stop:
			c.drain()
			return
		}
	}
}

// drain does what was handed over before the store closed.
func (c *committer) drain() {
	for {
		select {
		case r := <-c.in:
			c.take(r)
			continue
		default:
		}
		c.flush()
		return
	}
}

// fill takes what is waiting, as long as the batch has room.
func (c *committer) fill() {
	for !c.full() {
		select {
		case r := <-c.in:
			c.take(r)
		default:
			return
		}
	}
}

func (c *committer) full() bool {
	return len(c.open.waiting) >= batchOps || c.open.bulk >= batchBulk || c.open.size >= c.maxSize*3/4 || c.open.rows() >= c.maxRows*3/4
}

// take applies a request's ops to the open batch, up to the first that is refused.
func (c *committer) take(r *request) {
	for ; r != nil; r = r.then {
		if err := c.takeOne(r); err != nil {
			r.reply <- outcome{err: err}
			return
		}
	}
}

func (c *committer) takeOne(r *request) error {
	if err := c.s.failure(); err != nil { // since it was handed over
		return err
	}
	if err := c.s.roomFor(r.op); err != nil {
		return err
	}
	st := c.newStage()
	v, err := r.op.apply(st)
	if err != nil {
		return err
	}
	rows, size := st.rows(), st.bytes()
	if rows >= c.maxRows-c.open.rows()-batchMargin || size >= c.maxSize-c.open.size-batchMargin {
		if rows >= c.maxRows-batchMargin || size >= c.maxSize-batchMargin {
			return fmt.Errorf("%w: %w (%d rows of %d bytes)", ErrTooMany, errOpTooBig, rows, size)
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	for i := range st.events {
		st.events[i].Source = r.source
	}
	c.merge(st)
	c.open.waiting = append(c.open.waiting, waiting{r.reply, v, st.events})
	return nil
}

// send begins to make the open batch durable.
func (c *committer) send() {
	b := c.open
	c.lastTs++
	b.ts = c.lastTs
	c.inflight, c.open = b, newBatch()
	c.s.step("commit")
	c.commit(b)
}

// flush makes all that was taken durable and waits for it.
func (c *committer) flush() error {
	var err error
	if c.inflight != nil {
		err = c.finish(<-c.inflight.done)
	}
	if err == nil && len(c.open.waiting) > 0 {
		c.send()
		err = c.finish(<-c.inflight.done)
	}
	return err
}

// finish answers the ops of the batch that was being synced.
func (c *committer) finish(err error) error {
	b := c.inflight
	c.inflight = nil
	if err == nil {
		err = c.s.failure() // a sync that Badger only logged
	}
	if err != nil {
		c.fail(b, err)
		return err
	}
	c.s.step("committed")
	c.s.advise()
	c.s.db.SetDiscardTs(c.s.snaps.advance(b.ts))
	// Listeners are told first: who has an answer finds its events waiting.
	for _, w := range b.waiting {
		c.s.hub.publish(w.events)
	}
	for _, w := range b.waiting {
		w.reply <- outcome{value: w.value}
	}
	if len(c.accounts)+len(c.mailboxes) > cachedRecords {
		c.forget()
	}
	return nil
}

// fail answers every op of a batch that did not become durable, and of the
// batch that was built upon it, and goes back to what Badger has.
func (c *committer) fail(b *batch, err error) {
	c.s.fail(err)
	err = fmt.Errorf("%w: %w", ErrReadOnly, err)
	for _, b := range []*batch{b, c.open} {
		for _, w := range b.waiting {
			w.reply <- outcome{err: err}
		}
	}
	c.open = newBatch()
	clear(c.accounts)
	clear(c.mailboxes)
	if g, err := c.s.readGlobal(); err == nil {
		c.global = g
	} else {
		c.s.fail(err)
	}
}

// forget drops the records that the open batch has not changed.
func (c *committer) forget() {
	for id := range c.accounts {
		if !c.open.accounts[id] {
			delete(c.accounts, id)
		}
	}
	for id := range c.mailboxes {
		if !c.open.mailboxes[id] {
			delete(c.mailboxes, id)
		}
	}
}
