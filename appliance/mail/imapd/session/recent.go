package session

import (
	"sync"
	"time"

	"pillarbox/appliance/store/store"
)

// Recents remembers, for the life of a server, which messages some session was
// already told of as \Recent (RFC 3501 section 2.3.2). One serves all
// connections of a server.
type Recents struct {
	start time.Time

	mu   sync.Mutex
	next map[store.MailboxID]store.UID
}

// NewRecents begins at a time: messages stored before it are not recent.
func NewRecents(start time.Time) *Recents {
	return &Recents{start: start.Truncate(time.Second), next: make(map[store.MailboxID]store.UID)}
}

// claim takes the UIDs from..to-1 as recent for one session, unless only
// looking (peek), and answers from where on they are.
func (r *Recents) claim(id store.MailboxID, from, to store.UID, peek bool) store.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.next[id]; n > from {
		from = min(n, to)
	}
	if !peek && to > r.next[id] {
		r.next[id] = to
	}
	return from
}

// first is the first UID not taken yet; 0 where the mailbox was not looked at.
func (r *Recents) first(id store.MailboxID) store.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next[id]
}

// begin notes the first UID not taken, where nobody did: whoever asks for it
// again need not look for it.
func (r *Recents) begin(id store.MailboxID, first store.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next[id] == 0 {
		r.next[id] = first
	}
}
