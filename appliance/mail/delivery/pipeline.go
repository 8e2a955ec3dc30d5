// Package delivery is the way of a message from a server that takes it to its
// durable commit. It alone knows the order of the steps:
//
//	Begin         may this sender send, is there room
//	AddRecipient  who is meant, here or elsewhere; quota
//	Accept        spool the body with its trace fields, index it in the same
//	              pass, run the checks, sort it into mailboxes, commit once
//
// The commit holds the body, every recipient's mailbox entry, the queue's
// entries for recipients elsewhere and the trace record. When Accept returns
// nil all of it survives a power cut, and the server may answer 250; when it
// returns an error nothing is left behind. Errors carry the reply for the
// peer (see Error).
//
// A single copy that its mailbox has no room for is refused. Of several copies
// one reply speaks for all, so that a mailbox that is too full for one is no
// reason to refuse the others: while it is below its quota it takes the message
// beyond it. One that has no room at all gets no copy; the commit has an entry
// in the queue instead, which returns that copy to the sender.
//
// The stored message begins with the fields added here: Return-Path where a
// copy goes to a mailbox on the box (RFC 5321 section 4.4), then Received. A
// Return-Path that the message came with is dropped, so that there is only
// ever the first line; whoever sends the stored message on to another server
// has to leave that line out as package queue does.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/mail/queue"
	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
)

// Store is the part of the mail store that delivery needs.
type Store interface {
	Accepting() error
	Spool(ctx context.Context) (*store.SpooledBody, error)
	Deliver(ctx context.Context, d store.Delivery) (store.Receipt, error)
	CheckQuota(ctx context.Context, id store.AccountID, size int64) error
}

// Directory knows the people and domains of the box.
type Directory interface {
	// Resolve says what an address stands for.
	Resolve(ctx context.Context, addr string) (Resolution, error)
	// SenderAllowed reports whether the person user may send as from.
	SenderAllowed(ctx context.Context, user, from string) (bool, error)
}

// Resolution is what an address stands for.
type Resolution struct {
	Hosted    bool              // its domain is one of ours
	Known     bool              // and the address exists
	Mailboxes []store.AccountID // whose mailboxes it leads to, each once
	Forward   []string          // addresses elsewhere it leads to
	Detail    string            // of a subaddress (RFC 5233)
	TooMuch   bool              // it stands for more than can be told
	// Untraced is set for the box's tests of itself: a message to nobody else
	// leaves no record in the trace.
	Untraced bool
}

// Check looks at a message between spooling and commit: authentication,
// scanning, policy. An *Error refuses the message.
type Check interface {
	Check(ctx context.Context, m *Message) error
}

// Sorter decides where in one recipient's mailboxes a copy goes, by changing
// the placement, which starts out as the inbox.
type Sorter interface {
	Sort(ctx context.Context, m *Message, to address.Address, p *store.Placement) error
}

// Message is a spooled message on its way through the checks.
type Message struct {
	Envelope *Envelope
	Facts    *store.Facts
	Body     *store.SpooledBody
}

// Indexer computes the facts of a message while it is spooled.
type Indexer interface {
	io.Writer
	Facts() (store.Facts, error)
}

// Config is what a Pipeline works with. Store, Directory, NewIndexer and
// Hostname are required.
type Config struct {
	Store     Store
	Directory Directory
	// NewIndexer makes an indexer for one message.
	NewIndexer func() Indexer
	// Kick tells the queue that it has new entries.
	Kick func()
	// Hostname is the box's name at this moment.
	Hostname func() string
	// MaxSize is the largest message in bytes at this moment, 0 for no limit.
	MaxSize func() int64
	Checks  []Check
	Sorter  Sorter
	Now     func() time.Time
	Log     *slog.Logger
}

// Pipeline takes messages. It is safe for concurrent use; an Envelope is not.
type Pipeline struct{ cfg Config }

// New makes a pipeline.
func New(cfg Config) *Pipeline {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Kick == nil {
		cfg.Kick = func() {}
	}
	if cfg.MaxSize == nil {
		cfg.MaxSize = func() int64 { return 0 }
	}
	return &Pipeline{cfg}
}

// MaxSize is the largest message in bytes that is taken now, 0 for no limit.
func (p *Pipeline) MaxSize() int64 { return p.cfg.MaxSize() }

// Begin starts a message: it checks the sender and whether there is room, and
// gives the message its ID.
func (p *Pipeline) Begin(ctx context.Context, e *Envelope) error {
	e.Arrived = p.cfg.Now()
	e.ID = trace.NewID(e.Arrived)
	if err := p.cfg.Store.Accepting(); err != nil {
		return AsError(err)
	}
	if limit := p.cfg.MaxSize(); limit > 0 && e.Size > limit {
		return tooLarge()
	}
	if e.User == "" || e.internal {
		return nil
	}
	ok, err := p.cfg.Directory.SenderAllowed(ctx, e.User, e.Sender.String())
	switch {
	case err != nil:
		return AsError(fmt.Errorf("delivery: sender: %w", err))
	case !ok: // RFC 6409 section 6.1
		return &Error{Code: 553, Enhanced: [3]int{5, 7, 1}, Message: "Sender address is not yours"}
	}
	return nil
}

// AddRecipient resolves a recipient and takes it into the envelope. One that is
// there already is not taken again.
func (p *Pipeline) AddRecipient(ctx context.Context, e *Envelope, to address.Address) error {
	if e.has(to) {
		return nil
	}
	found, err := p.cfg.Directory.Resolve(ctx, to.String())
	if err != nil {
		return AsError(fmt.Errorf("delivery: resolve: %w", err))
	}
	r := recipient{addr: to, untraced: found.Untraced}
	switch {
	case found.TooMuch:
		return tooMuch()
	case found.Known:
		r.mailboxes, r.remote = found.Mailboxes, found.Forward
		if len(r.mailboxes)+len(r.remote) == 0 {
			return &Error{Code: 550, Enhanced: [3]int{5, 2, 1}, Message: "Address has nobody behind it"}
		}
	case found.Hosted || to.Domain == "":
		return &Error{Code: 550, Enhanced: [3]int{5, 1, 1}, Message: "No such address here"}
	case e.User == "" && !e.internal:
		return &Error{Code: 550, Enhanced: [3]int{5, 7, 1}, Message: "Relay access denied"}
	case to.IsLiteral():
		return &Error{Code: 550, Enhanced: [3]int{5, 1, 2}, Message: "Mail to IP addresses is not sent"}
	default:
		r.remote = []string{to.String()}
	}
	copies := len(r.mailboxes) + len(r.remote)
	switch {
	case copies > store.MaxCopies:
		return tooMuch()
	case e.copies+copies > store.MaxCopies: // RFC 5321 section 4.5.3.1.10
		return &Error{Code: 452, Enhanced: [3]int{4, 5, 3}, Message: "Too many recipients"}
	}
	if !e.internal {
		if err := p.room(ctx, e, r); err != nil {
			return AsError(fmt.Errorf("delivery: quota of %s: %w", to, err))
		}
	}
	e.recipients = append(e.recipients, r)
	e.copies += copies
	return nil
}

// room reports whether a recipient's mailbox has room for the message. Of
// several one is enough: mail to a group is not withheld from all because
// somebody's mailbox is full.
func (p *Pipeline) room(ctx context.Context, e *Envelope, r recipient) (full error) {
	for _, id := range r.mailboxes {
		err := p.cfg.Store.CheckQuota(ctx, id, e.Size)
		if !errors.Is(err, store.ErrOverQuota) {
			return err
		}
		full = err
	}
	if len(r.remote) > 0 {
		return nil
	}
	return full
}

// Receipt answers an accepted message.
type Receipt struct {
	ID        trace.ID
	Size      int64 // as stored, with the fields added here
	Delivered int   // copies in mailboxes here
	Queued    int   // copies on their way elsewhere, or back to the sender
}

// Accept takes the content of a message from body and commits it. Errors of
// body's that are an *Error are returned as they are.
func (p *Pipeline) Accept(ctx context.Context, e *Envelope, body io.Reader) (Receipt, error) {
	return p.accept(ctx, e, body, nil, nil)
}

// Submission is a message made on the box: a bounce, a notification.
type Submission struct {
	Sender     address.Address // null for bounces
	Recipients []address.Address
	Body       io.Reader
	// Changes of the queue become durable with the message, as when a bounce
	// takes the place of the entry that failed; and so do Docs.
	Changes []store.QueueChange
	Docs    []store.DocOp
}

// Submit takes a message made on the box. It goes in over the recipient's
// quota, since nobody else would hear of it. A recipient that does not exist
// is an error.
func (p *Pipeline) Submit(ctx context.Context, s Submission) (Receipt, error) {
	e := &Envelope{Sender: s.Sender, internal: true}
	for _, to := range s.Recipients {
		e.UTF8 = e.UTF8 || to.NeedsUTF8()
	}
	if err := p.Begin(ctx, e); err != nil {
		return Receipt{}, err
	}
	for _, to := range s.Recipients {
		if err := p.AddRecipient(ctx, e, to); err != nil {
			return Receipt{}, err
		}
	}
	return p.accept(ctx, e, s.Body, s.Changes, s.Docs)
}

// Bounce takes a report of the queue's back to the sender of what failed; it
// makes a Pipeline the queue's Bouncer.
func (p *Pipeline) Bounce(ctx context.Context, to string, message io.Reader, changes []store.QueueChange, docs []store.DocOp) error {
	addr, err := address.Parse(to)
	if err != nil {
		return &Error{Code: 553, Enhanced: [3]int{5, 1, 3}, Message: "Not an address", Cause: err}
	}
	_, err = p.Submit(ctx, Submission{Recipients: []address.Address{addr}, Body: message, Changes: changes, Docs: docs})
	return err
}

var _ queue.Bouncer = (*Pipeline)(nil)

func (p *Pipeline) accept(ctx context.Context, e *Envelope, body io.Reader, changes []store.QueueChange, docs []store.DocOp) (Receipt, error) {
	if len(e.recipients) == 0 {
		return Receipt{}, errors.New("delivery: message without recipients")
	}
	spool, err := p.cfg.Store.Spool(ctx)
	if err != nil {
		return Receipt{}, AsError(fmt.Errorf("delivery: spool: %w", err))
	}
	defer spool.Abort()
	facts, err := p.spool(e, spool, body)
	if err != nil {
		return Receipt{}, AsError(err)
	}
	m := &Message{Envelope: e, Facts: &facts, Body: spool}
	for _, c := range p.cfg.Checks {
		if err := c.Check(ctx, m); err != nil {
			return Receipt{}, AsError(err)
		}
	}
	d, err := p.delivery(ctx, m)
	if err != nil {
		return Receipt{}, AsError(err)
	}
	d.Changes = changes
	d.Docs = append(d.Docs, docs...)
	if _, err := p.cfg.Store.Deliver(ctx, d); err != nil {
		return Receipt{}, AsError(fmt.Errorf("delivery: commit: %w", err))
	}
	if len(d.Queue) > 0 {
		p.cfg.Kick()
	}
	return Receipt{ID: e.ID, Size: facts.Size, Delivered: len(d.Placements), Queued: len(d.Queue)}, nil
}

// delivery puts together what one commit makes durable: a copy for each
// mailbox and each address elsewhere, once even where several recipients lead
// to it. Where there is room for none it is store.ErrOverQuota.
func (p *Pipeline) delivery(ctx context.Context, m *Message) (store.Delivery, error) {
	e := m.Envelope
	d := store.Delivery{Body: m.Body, Facts: *m.Facts}
	placed := make(map[store.AccountID]bool, len(e.recipients))
	queued := make(map[string]bool)
	var returned []store.QueueEntry
	event := trace.Event{
		Kind: trace.Accepted, Time: e.Arrived, MessageID: m.Facts.MessageID, Sender: e.Sender.String(), User: e.User,
		Remote: e.Client.Addr, Helo: e.Client.Hello, Protocol: e.protocol(), TLS: tlsName(e.Client.TLS), Size: m.Facts.Size,
		Targets: make([]trace.Target, len(e.recipients)),
	}
	for i, r := range e.recipients {
		mailboxes, err := p.notFull(ctx, e, r.mailboxes)
		if err != nil {
			return store.Delivery{}, err
		}
		event.Targets[i] = trace.Target{Recipient: r.addr.String(), Mailboxes: mailboxes, Queued: r.remote}
		for _, account := range mailboxes {
			if placed[account] {
				continue
			}
			placed[account] = true
			placement := store.Placement{Account: account, InternalDate: e.Arrived, IgnoreQuota: e.internal || e.copies > 1}
			if p.cfg.Sorter != nil {
				if err := p.cfg.Sorter.Sort(ctx, m, r.addr, &placement); err != nil {
					return store.Delivery{}, fmt.Errorf("delivery: sort: %w", err)
				}
			}
			d.Placements = append(d.Placements, placement)
		}
		for _, to := range r.remote {
			if queued[to] {
				continue
			}
			queued[to] = true
			d.Queue = append(d.Queue, store.QueueEntry{
				Size: m.Facts.Size, Sender: e.Sender.String(), Recipient: to, Created: e.Arrived, Due: e.Arrived,
				Data: queue.Record{Trace: e.ID, UTF8: e.UTF8}.Encode(),
			})
		}
		if full := len(r.mailboxes) - len(mailboxes); full > 0 {
			returned = append(returned, e.returned(r, full, m.Facts.Size))
		}
	}
	if len(d.Placements)+len(d.Queue) == 0 {
		return store.Delivery{}, fmt.Errorf("delivery: all mailboxes: %w", store.ErrOverQuota)
	}
	d.Queue = append(d.Queue, returned...)
	if !slices.ContainsFunc(e.recipients, func(r recipient) bool { return !r.untraced }) {
		return d, nil
	}
	var err error
	d.Docs, err = trace.Ops(e.ID, event)
	return d, err
}

// notFull gives those of a recipient's mailboxes that get a copy: where there
// are several copies, those that are below their quota. That of a single one is
// looked at in the commit.
func (p *Pipeline) notFull(ctx context.Context, e *Envelope, mailboxes []store.AccountID) ([]store.AccountID, error) {
	if e.internal || e.copies == 1 {
		return mailboxes, nil
	}
	var out []store.AccountID
	for _, id := range mailboxes {
		switch err := p.cfg.Store.CheckQuota(ctx, id, 1); {
		case err == nil:
			out = append(out, id)
		case !errors.Is(err, store.ErrOverQuota):
			return nil, fmt.Errorf("delivery: quota: %w", err)
		}
	}
	return out, nil
}

// tooMuch refuses an address of which not all that it stands for can be served
// (RFC 3463 section 3.3): the sender hears of it, rather than some get nothing.
func tooMuch() *Error {
	return &Error{Code: 550, Enhanced: [3]int{5, 2, 4}, Message: "Address stands for too many people"}
}

func tooLarge() *Error {
	return &Error{Code: 552, Enhanced: [3]int{5, 3, 4}, Message: "Message is larger than the limit"}
}
