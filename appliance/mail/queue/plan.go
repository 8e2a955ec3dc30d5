package queue

import (
	"context"
	"errors"
	"time"

	"pillarbox/appliance/mail/route"
	"pillarbox/appliance/store/store"
)

// scanLimit is how many due entries are looked at first; past them only where
// those leave slots free.
const scanLimit = 20000

// dispatch starts attempts for what is due and tells when to look again at
// the latest; zero where only a Kick or the end of an attempt can change anything.
func (q *Queue) dispatch(ctx, work context.Context) (next time.Time, err error) {
	p := q.plan(time.Now())
	n := 0
	next, err = q.c.Store.QueueDue(ctx, p.now, scanLimit, func(e store.QueueEntry) error {
		n++
		p.take(e)
		return nil
	})
	if err == nil && n == scanLimit && !q.full() {
		err = p.lookFurther(ctx)
	}
	if ctx.Err() != nil { // nothing new is begun: jobs let go of what they have
		work = ctx
	}
	for _, j := range p.jobs {
		q.work.Go(func() { q.run(work, j) })
	}
	if err != nil {
		return time.Time{}, err
	}
	if !next.IsZero() && !next.After(p.now) { // more is due than the first look takes in
		next = p.now.Add(time.Second)
	}
	if next.IsZero() || !p.cooled.IsZero() && p.cooled.Before(next) {
		next = p.cooled
	}
	return next, nil
}

// full reports whether no further attempt may be made now.
func (q *Queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running >= q.c.Limits.Total
}

// job is the copies of one message for one destination.
type job struct {
	dest route.Destination
	ids  []store.QueueID
}

// plan makes jobs of due entries as far as the limits allow, and takes hold
// of their entries.
type plan struct {
	q      *Queue
	now    time.Time
	open   map[jobKey]*job // that take further copies
	jobs   []*job
	cooled time.Time // when the first destination passed over may be tried
}

// jobKey is what the copies of a job have in common.
type jobKey struct {
	dest   string
	blob   store.BlobID
	sender string
}

func (q *Queue) plan(now time.Time) *plan {
	q.mu.Lock()
	defer q.mu.Unlock()
	for name, d := range q.dests { // forget destinations nobody asked for since they cooled
		if d.active == 0 && now.After(d.until.Add(coolMost)) {
			delete(q.dests, name)
		}
	}
	return &plan{q: q, now: now, open: make(map[jobKey]*job)}
}

// lookFurther looks past the entries that are due first, all of which have to
// wait for their destinations: mail for others does not wait with them.
func (p *plan) lookFurther(ctx context.Context) error {
	err := p.q.c.Store.QueueList(ctx, 0, func(e store.QueueEntry) error {
		switch {
		case p.q.full():
			return errFull
		case !e.Due.After(p.now):
			p.take(e)
		}
		return nil
	})
	if errors.Is(err, errFull) {
		return nil
	}
	return err
}

// errFull ends a look at the queue.
var errFull = errors.New("queue: all slots are taken")

// take adds an entry to a job where the limits allow.
func (p *plan) take(e store.QueueEntry) {
	q := p.q
	dest := q.c.Router.Destination(e.Recipient)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy[e.ID] != nil {
		return
	}
	k := jobKey{dest.Key, e.Blob, e.Sender}
	j := p.open[k]
	if j == nil || len(j.ids) == q.c.Limits.Recipients {
		d := q.dests[dest.Key]
		if d == nil {
			d = &destination{}
			q.dests[dest.Key] = d
		}
		switch {
		case p.now.Before(d.until):
			if p.cooled.IsZero() || d.until.Before(p.cooled) {
				p.cooled = d.until
			}
			return
		case q.running >= q.c.Limits.Total || d.active >= q.c.Limits.PerDestination:
			return
		}
		j = &job{dest: dest}
		p.open[k] = j
		p.jobs = append(p.jobs, j)
		q.running++
		d.active++
	}
	j.ids = append(j.ids, e.ID)
	q.busy[e.ID] = newFlight()
}
