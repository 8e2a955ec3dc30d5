// Package trace keeps what happened to each message, so that "what happened
// to that mail?" has one answer: for the web, the console and mailctl alike.
//
// A message gets an ID when a server begins to take it; the peer sees it in
// the reply to DATA and in the Received field. Every step after that is an
// Event. The first one is written in the commit that accepts the message, the
// queue adds one for each attempt.
//
// On disk an event is a document in store.TableTrace under the key
// "<message ID>/<event ID>", with the value: version byte 1, then the Event as
// JSON. Both IDs begin with their time, so that keys are in the order of
// arrival and a search by time reads only its range. Documents expire after
// Retention.
package trace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"pillarbox/appliance/store/store"
)

// Retention is how long events are kept: people ask about mail for some
// weeks, and what is kept longer is a record of who writes to whom.
const Retention = 30 * 24 * time.Hour

// version is the first byte of a value.
const version = 1

// ID names a message on its way. It is idLen characters of digits and
// lower-case letters, ordered by time.
type ID string

// alphabet has 32 characters in ASCII order, none that reads like another.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

const (
	idLen   = 16
	timeLen = 10 // 50 bits of milliseconds
)

// NewID makes an ID for a message that comes in at time t: milliseconds, then
// 30 random bits, which keep apart the IDs of one millisecond.
func NewID(t time.Time) ID {
	var b [idLen]byte
	copy(b[:], timePrefix(t))
	r := rand.Uint32()
	for i := timeLen; i < idLen; i++ {
		b[i] = alphabet[r&31]
		r >>= 5
	}
	return ID(b[:])
}

// timePrefix is what all IDs of a millisecond begin with.
func timePrefix(t time.Time) string {
	var b [timeLen]byte
	ms := uint64(max(0, t.UnixMilli()))
	for i := timeLen - 1; i >= 0; i-- {
		b[i] = alphabet[ms&31]
		ms >>= 5
	}
	return string(b[:])
}

// Valid reports whether s has the form of an ID.
func Valid(s string) bool {
	if len(s) != idLen {
		return false
	}
	for i := range len(s) {
		if strings.IndexByte(alphabet, s[i]) < 0 {
			return false
		}
	}
	return true
}

// Kind says what an event is.
type Kind string

// The kinds of events.
const (
	Accepted Kind = "accepted" // committed: in mailboxes, in the queue or both
	Sent     Kind = "sent"     // another server took it over
	Deferred Kind = "deferred" // an attempt failed, another will follow
	Failed   Kind = "failed"   // given up
	Bounced  Kind = "bounced"  // the sender was told
	Removed  Kind = "removed"  // taken out of the queue by an administrator
)

// Event is one step of a message. Fields that do not apply are empty.
type Event struct {
	Kind Kind      `json:"kind"`
	Time time.Time `json:"time"`

	// Of Accepted: how the message came in.
	MessageID string     `json:"message_id,omitempty"` // without angle brackets
	Sender    string     `json:"sender,omitempty"`     // "" is the null sender
	User      string     `json:"user,omitempty"`       // who was logged in
	Remote    netip.Addr `json:"remote,omitzero"`
	Helo      string     `json:"helo,omitempty"`
	Protocol  string     `json:"protocol,omitempty"` // as in Received: ESMTP, ESMTPSA
	TLS       string     `json:"tls,omitempty"`      // version and cipher suite
	Size      int64      `json:"size,omitempty"`     // bytes

	// Targets say where each recipient's copy went, or for the queue's events
	// which recipients they are about.
	Targets []Target `json:"targets,omitempty"`

	// Of the queue's events: the server talked to and what it said.
	Host  string `json:"host,omitempty"`
	Reply string `json:"reply,omitempty"`
}

// Target is one copy of a message.
type Target struct {
	// Recipient is the address the sender gave.
	Recipient string `json:"recipient"`
	// Mailboxes are the accounts whose mailboxes the copies went to.
	Mailboxes []store.AccountID `json:"mailboxes,omitempty"`
	// Queued are the addresses elsewhere that copies are on their way to.
	Queued []string `json:"queued,omitempty"`
}

// Message is a message with its events in order of time.
type Message struct {
	ID     ID
	Events []Event
}

// Op is the write that records an event. It belongs into the commit that the
// event is about.
func Op(id ID, e Event) (store.DocOp, error) {
	value, err := json.Marshal(e)
	if err != nil {
		return store.DocOp{}, fmt.Errorf("trace: %w", err)
	}
	return store.DocOp{
		Table:   store.TableTrace,
		Key:     string(id) + "/" + string(NewID(e.Time)),
		Value:   append([]byte{version}, value...),
		Expires: e.Time.Add(Retention),
	}, nil
}

// maxRecord is about how large a record may be: well within what a document may.
const maxRecord = 128 << 10

// Ops is Op for an event with any number of targets, which may take several
// records.
func Ops(id ID, e Event) ([]store.DocOp, error) {
	op, err := Op(id, e)
	if err != nil || len(op.Value) <= maxRecord {
		return []store.DocOp{op}, err
	}
	first, second := e, e
	switch n := len(e.Targets); {
	case n > 1:
		first.Targets, second.Targets = e.Targets[:n/2], e.Targets[n/2:]
	case n == 1 && len(e.Targets[0].Queued) > 1:
		a, b := e.Targets[0], e.Targets[0]
		a.Queued, b.Queued, b.Mailboxes = a.Queued[:len(a.Queued)/2], a.Queued[len(a.Queued)/2:], nil
		first.Targets, second.Targets = []Target{a}, []Target{b}
	default:
		return []store.DocOp{op}, nil
	}
	ops, err := Ops(id, first)
	if err != nil {
		return nil, err
	}
	more, err := Ops(id, second)
	return append(ops, more...), err
}

// Documents is the part of the store that lookups read.
type Documents interface {
	Docs(ctx context.Context, t store.Table, prefix, after string, fn func(store.Doc) error) error
}

// Lookup reads what is known of one message; store.ErrNotFound.
func Lookup(ctx context.Context, docs Documents, id ID) (Message, error) {
	m := Message{ID: id}
	err := docs.Docs(ctx, store.TableTrace, string(id)+"/", "", func(d store.Doc) error {
		e, err := decode(d)
		if err == nil {
			m.Events = append(m.Events, e)
		}
		return err
	})
	if err == nil && m.Events == nil {
		err = store.ErrNotFound
	}
	return m, err
}

// Query selects messages. Empty fields select all.
type Query struct {
	Since, Until time.Time // by arrival
	MessageID    string    // whole, with or without angle brackets
	Address      string    // of the sender, the user or a recipient; a part is enough
	Limit        int       // the newest so many; 100 where 0
}

const defaultLimit = 100

// Find reads the messages that a query selects, newest first. It reads
// through the records of the query's time; an administrator's question may
// take a moment on a busy box, so that accepting mail does not.
func Find(ctx context.Context, docs Documents, q Query) ([]Message, error) {
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	q.MessageID = strings.Trim(q.MessageID, "<>")
	q.Address = strings.ToLower(q.Address)
	after := ""
	if !q.Since.IsZero() {
		after = timePrefix(q.Since)
	}
	var found []Message
	var current Message
	take := func() {
		if current.ID != "" && q.selects(current) {
			if len(found) == 2*q.Limit { // keep the newest, in amortised time
				found = append(found[:0], found[q.Limit:]...)
			}
			found = append(found, current)
		}
	}
	err := docs.Docs(ctx, store.TableTrace, "", after, func(d store.Doc) error {
		id, _, _ := strings.Cut(d.Key, "/")
		if ID(id) != current.ID {
			take()
			current = Message{ID: ID(id)}
			if !q.Until.IsZero() && id >= timePrefix(q.Until.Add(time.Millisecond)) {
				current.ID = ""
				return errEnd
			}
		}
		e, err := decode(d)
		if err == nil {
			current.Events = append(current.Events, e)
		}
		return err
	})
	if err != nil && !errors.Is(err, errEnd) {
		return nil, err
	}
	take()
	found = found[max(0, len(found)-q.Limit):]
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	return found, nil
}

var errEnd = errors.New("trace: end of the time asked for")

func (q Query) selects(m Message) bool {
	byID, byAddress := q.MessageID == "", q.Address == ""
	for _, e := range m.Events {
		byID = byID || e.MessageID == q.MessageID
		byAddress = byAddress || e.names(q.Address)
	}
	return byID && byAddress
}

// names reports whether an address, or a part of one in lower case, appears in e.
func (e *Event) names(address string) bool {
	if strings.Contains(strings.ToLower(e.Sender), address) || strings.Contains(strings.ToLower(e.User), address) {
		return true
	}
	for _, t := range e.Targets {
		if strings.Contains(strings.ToLower(t.Recipient), address) {
			return true
		}
		for _, a := range t.Queued {
			if strings.Contains(strings.ToLower(a), address) {
				return true
			}
		}
	}
	return false
}

func decode(d store.Doc) (Event, error) {
	var e Event
	if len(d.Value) == 0 || d.Value[0] != version {
		return e, fmt.Errorf("trace: record %s: unknown version", d.Key)
	}
	if err := json.Unmarshal(d.Value[1:], &e); err != nil {
		return e, fmt.Errorf("trace: record %s: %w", d.Key, err)
	}
	return e, nil
}
