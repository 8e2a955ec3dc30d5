package store

import (
	"context"
	"sync"
)

// watchQueue is how many events a listener may lag behind before it is told to
// read the state anew.
const watchQueue = 64

// hub passes events on to listeners, in commit order.
type hub struct {
	mu       sync.Mutex
	watchers map[AccountID]map[*Watcher]struct{}
	closed   bool
}

// Watcher is a listener's end. Events come one at a time from C.
type Watcher struct {
	C <-chan Event

	ch      chan Event // one place more than watchQueue: the last is for EventResync
	hub     *hub
	account AccountID
	lost    bool // EventResync is the last thing in ch, or was
	closed  bool
}

// Watch tells of all that happens in an account (0: in all accounts), in
// commit order, until Close; a change's events are there before its caller has
// its answer. The queue is bounded: a listener that does not keep up gets one
// EventResync in place of what was dropped. C is closed by Close, and when
// the store closes.
func (s *Store) Watch(id AccountID) *Watcher {
	ch := make(chan Event, watchQueue+1)
	w := &Watcher{C: ch, ch: ch, hub: &s.hub, account: id}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.closed {
		w.closed = true
		close(ch)
		return w
	}
	if s.hub.watchers == nil {
		s.hub.watchers = map[AccountID]map[*Watcher]struct{}{}
	}
	if s.hub.watchers[id] == nil {
		s.hub.watchers[id] = map[*Watcher]struct{}{}
	}
	s.hub.watchers[id][w] = struct{}{}
	return w
}

// Close ends the listening; C is closed.
func (w *Watcher) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.close()
}

func (w *Watcher) close() {
	if w.closed {
		return
	}
	w.closed = true
	close(w.ch)
	delete(w.hub.watchers[w.account], w)
	if len(w.hub.watchers[w.account]) == 0 {
		delete(w.hub.watchers, w.account)
	}
}

func (h *hub) publish(events []Event) {
	if len(events) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		for w := range h.watchers[e.Account] {
			w.send(e)
		}
		for w := range h.watchers[0] {
			w.send(e)
		}
	}
}

// send queues an event or notes that it was dropped. The hub's lock is held,
// so it is the only sender.
func (w *Watcher) send(e Event) {
	if w.lost {
		// EventResync stands last in the queue. As long as the listener has
		// not taken it, it will read a state that has this event in it; once
		// the queue is empty it has, and events go on.
		if len(w.ch) > 0 {
			return
		}
		w.lost = false
	}
	if len(w.ch) < watchQueue {
		w.ch <- e
		return
	}
	w.lost = true
	w.ch <- Event{Kind: EventResync, Account: w.account}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, ws := range h.watchers {
		for w := range ws {
			w.close()
		}
	}
}

// actorKey is the context key of WithActor.
type actorKey struct{}

// WithActor marks changes made with ctx as caused by a session, so that the
// session can tell its own events from others'. Actors come from NewActor.
func WithActor(ctx context.Context, actor uint64) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) uint64 {
	a, _ := ctx.Value(actorKey{}).(uint64)
	return a
}

// NewActor allots an actor number for WithActor.
func (s *Store) NewActor() uint64 { return s.actors.Add(1) }
