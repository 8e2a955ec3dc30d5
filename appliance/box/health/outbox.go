package health

import "time"

const (
	// gather is how long changes wait for others, so that a pulled disk is one
	// message and not ten.
	gather = 30 * time.Second

	// floodGap is the least time between two messages about the same thing.
	floodGap = 10 * time.Minute

	// maxWaiting bounds what is kept while a way of telling does not work.
	maxWaiting = 200

	retryEvery = time.Minute
)

// outbox is what is still to be told by one way of telling. Its maps are made
// by Messenger.box.
type outbox struct {
	waiting []Change
	since   time.Time            // of the first in waiting
	told    map[string]time.Time // when each state was last taken to be told
	held    map[string]Change    // within floodGap of the last
	tried   time.Time
}

// tell takes a change on.
func (o *outbox) tell(now time.Time, c Change) {
	id := c.State.ID
	for i, w := range o.waiting {
		if w.State.ID == id { // nobody has heard of it yet: the message tells how it ended up
			o.waiting[i].State = c.State
			o.told[id] = now
			return
		}
	}
	if last, ok := o.told[id]; ok && now.Sub(last) < floodGap {
		// Only how it ends up matters: the first Was, the last State.
		if h, ok := o.held[id]; ok {
			c.Was = h.Was
		}
		o.held[id] = c
		return
	}
	o.take(now, c)
}

func (o *outbox) take(now time.Time, c Change) {
	if len(o.waiting) == 0 {
		o.since = now
	}
	o.told[c.State.ID] = now
	if len(o.waiting) < maxWaiting {
		o.waiting = append(o.waiting, c)
	}
}

// release takes what was held for long enough, and reports whether there was any.
func (o *outbox) release(now time.Time) (any bool) {
	for id, c := range o.held {
		if now.Sub(o.told[id]) < floodGap {
			continue
		}
		delete(o.held, id)
		if c.Was != c.State.Level {
			o.take(now, c)
			any = true
		}
	}
	return any
}

// due reports whether what waits is to be sent now.
func (o *outbox) due(now time.Time) bool {
	return len(o.waiting) > 0 && now.Sub(o.since) >= gather && now.Sub(o.tried) >= retryEvery
}

// sent forgets what was told. What has changed while it was being told is to be
// told as well.
func (o *outbox) sent(told []Change) {
	var left []Change
	for i, w := range o.waiting {
		if i < len(told) {
			if w.State == told[i].State {
				continue
			}
			if w.Was = told[i].State.Level; w.Was == w.State.Level {
				continue
			}
		}
		left = append(left, w)
	}
	o.waiting = left
}
