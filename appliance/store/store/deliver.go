package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// AccountError tells which account an error is about.
type AccountError struct {
	Account AccountID
	Err     error
}

func (e *AccountError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *AccountError) Unwrap() error { return e.Err }

// MaxCopies is how many placements and queue entries a delivery may have
// together: so many fit a transaction whatever the addresses, but in a Small
// store. It is far beyond what one message of a small organisation has.
const MaxCopies = 1000

// Deliver makes a delivery durable: when it returns nil, it survives a power
// cut. Its errors leave nothing behind: ErrOverQuota (names the account by
// *AccountError), ErrNotFound, ErrConflict, ErrNoSpace, ErrReadOnly.
func (s *Store) Deliver(ctx context.Context, d Delivery) (Receipt, error) {
	o, err := s.prepare(&d)
	if err != nil {
		return Receipt{}, err
	}
	r, err := submitFor[Receipt](ctx, s, o)
	if err != nil {
		return Receipt{}, err
	}
	s.delivered(&d)
	return r, nil
}

// DeliverAll makes deliveries durable in order, with as few syncs as their
// size allows (one, where together they fit a transaction). It stops at the
// first that fails and answers the receipts of those before it, which are
// durable, with the error of that one; none after it is delivered.
func (s *Store) DeliverAll(ctx context.Context, ds []Delivery) ([]Receipt, error) {
	var first, last *request
	var failed error
	requests := make([]*request, 0, len(ds))
	for i := range ds {
		o, err := s.prepare(&ds[i])
		if err != nil {
			failed = err
			break
		}
		r := newRequest(ctx, o)
		if first == nil {
			first = r
		} else {
			last.then = r
		}
		last = r
		requests = append(requests, r)
	}
	if first == nil {
		return nil, failed
	}
	if err := s.hand(ctx, first); err != nil {
		return nil, err
	}
	out := make([]Receipt, 0, len(requests))
	for i, r := range requests {
		got := <-r.reply
		if got.err != nil {
			return out, got.err
		}
		out = append(out, got.value.(Receipt))
		s.delivered(&ds[i])
	}
	return out, failed
}

// prepare does what of a delivery can be done in its session: compressing,
// hashing, looking at names.
func (s *Store) prepare(d *Delivery) (deliverOp, error) {
	o := deliverOp{Placements: slices.Clone(d.Placements), Queue: d.Queue, Changes: d.Changes, Docs: d.Docs, At: s.now()}
	for i := range o.Placements {
		p := &o.Placements[i]
		p.Flags.Keywords = cleanKeywords(p.Flags.Keywords)
		if p.Mailbox != 0 {
			continue
		}
		if p.Name == "" {
			p.Name = inbox
		}
		name, err := cleanName(p.Name)
		if err != nil {
			return o, &AccountError{p.Account, err}
		}
		p.Name = name
	}
	b := d.Body
	if b == nil {
		if len(d.Placements) > 0 || len(d.Queue) > 0 {
			return o, errors.New("store: delivery without a body")
		}
		return o, nil
	}
	if b.s != s || b.delivered || b.aborted {
		return o, errors.New("store: body is closed")
	}
	if err := s.Accepting(); err != nil {
		return o, err
	}
	meta, err := b.finish()
	if err != nil {
		return o, err
	}
	o.Blob, o.Meta, o.Size = b.id, meta.Append(nil), meta.Size
	o.Chunks, o.Pending = b.inline, b.pending
	o.Facts = encodeFacts(s.codec, &d.Facts, meta.Size, b.w.Head())
	o.Thread = threadKeysOf(&d.Facts)
	return o, nil
}

// deliveringFor is how long after a delivery more of them are expected.
const deliveringFor = time.Second

// Delivering reports whether mail is coming in: work that can wait leaves the
// processor to it.
func (s *Store) Delivering() bool {
	return s.now().Sub(time.Unix(0, s.lastMail.Load())).Abs() < deliveringFor
}

// delivered ends a delivery that is durable.
func (s *Store) delivered(d *Delivery) {
	s.lastMail.Store(s.now().UnixNano())
	if d.Body != nil && len(d.Placements)+len(d.Queue) > 0 { // else nobody holds it, and Abort drops it
		d.Body.delivered = true
		d.Body.inline = nil
	}
	if len(d.Changes) > 0 {
		s.keeper.kick()
	}
}

// deliverOp is a Delivery as a value: the body is compressed and hashed, only
// the places in mailboxes are to be found.
type deliverOp struct {
	Blob       BlobID
	Meta       []byte
	Size       int64
	Chunks     []chunkRow
	Pending    bool
	Facts      []byte
	Thread     threadKeys
	Placements []Placement
	Queue      []QueueEntry
	Changes    []QueueChange
	Docs       []DocOp
	At         time.Time
}

func (o deliverOp) apply(st *stage) (any, error) {
	out := Receipt{Blob: o.Blob}
	if err := st.applyDocs(o.Docs, o.At); err != nil {
		return nil, err
	}
	if err := st.changeQueue(o.Changes); err != nil {
		return nil, err
	}
	if o.Blob == 0 {
		return out, nil
	}
	if len(o.Placements)+len(o.Queue) > 0 {
		st.global.LastBlob = max(st.global.LastBlob, o.Blob)
		st.global.Blobs++
		st.put(keyBlob(o.Blob), o.Meta)
		st.put(keyFacts(o.Blob), o.Facts)
		for _, c := range o.Chunks {
			st.put(keyChunk(o.Blob, c.N), c.Row)
		}
		if o.Pending {
			st.del(keyPending(o.Blob))
		}
	}
	emails := map[AccountID]EmailID{}
	for i := range o.Placements {
		p, err := o.place(st, o.Placements[i], emails)
		if err != nil {
			return nil, &AccountError{o.Placements[i].Account, err}
		}
		out.Placed = append(out.Placed, p)
	}
	for _, q := range o.Queue {
		q.Blob, q.Size = o.Blob, o.Size
		out.Queued = append(out.Queued, st.enqueue(q))
	}
	return out, nil
}

// place puts the message into one mailbox.
func (o *deliverOp) place(st *stage, p Placement, emails map[AccountID]EmailID) (Placed, error) {
	if p.Mailbox != 0 {
		m, err := st.peekMailbox(p.Mailbox)
		if err != nil {
			return Placed{}, err
		}
		if p.Account == 0 {
			p.Account = m.Account
		}
		if p.Account != m.Account {
			return Placed{}, fmt.Errorf("%w: the mailbox is another account's", ErrNotFound)
		}
	}
	a, err := st.directory(p.Account)
	if err != nil {
		return Placed{}, err
	}
	if !p.IgnoreQuota && !a.Quota.fits(o.Size, 1) {
		return Placed{}, ErrOverQuota
	}
	log := st.beginLog(p.Account, o.At)
	box := p.Mailbox
	if box == 0 && p.SpecialUse != "" {
		box = a.uses[p.SpecialUse]
	}
	if box == 0 {
		box = a.names[p.Name]
	}
	if box == 0 {
		if box, err = st.newMailbox(p.Account, p.Name, "", log); err != nil {
			return Placed{}, err
		}
		st.put(keySubscription(p.Account, p.Name), []byte{recordVersion})
	}
	email, known := emails[p.Account]
	rec := emailRec{Blob: o.Blob}
	if known {
		if rec, err = st.email(p.Account, email); err != nil {
			return Placed{}, err
		}
		log.add(logEmailUpdated, 0, uint64(email))
	} else {
		a.LastEmail++
		email = a.LastEmail
		emails[p.Account] = email
		if rec.Thread, err = st.thread(p.Account, a, o.Thread); err != nil {
			return Placed{}, err
		}
		st.put(keyRefEmail(o.Blob, p.Account, email), []byte{recordVersion})
		log.add(logEmailCreated, 0, uint64(email))
	}
	m, err := st.mailbox(box)
	if err != nil {
		return Placed{}, err
	}
	kw, err := m.keywordPlaces(p.Flags.Keywords)
	if err != nil {
		return Placed{}, err
	}
	e := entryRec{
		Email: email, Thread: rec.Thread, Blob: o.Blob, System: p.Flags.System, Keywords: kw,
		InternalDate: p.InternalDate, SaveDate: o.At, Size: o.Size,
	}
	if e.InternalDate.IsZero() {
		e.InternalDate = o.At
	}
	uid, err := st.addEntry(box, m, a, &e, log)
	if err != nil {
		return Placed{}, err
	}
	rec.Places = append(rec.Places, place{box, uid})
	st.put(keyEmail(p.Account, email), rec.encode())
	st.event(Event{Kind: EventNew, Account: p.Account, Mailbox: box, ModSeq: log.modseq, Entries: []Entry{e.public(uid, m.Keywords)}})
	return Placed{
		Account: p.Account, Mailbox: box, UIDValidity: m.UIDValidity, UID: uid, ModSeq: log.modseq, Email: email,
	}, log.end()
}

// maxUID is the last UID a mailbox gives: IMAP's own bound.
const maxUID = 1<<32 - 2

// addEntry gives an entry the next UID of its mailbox and counts it in.
func (s *stage) addEntry(id MailboxID, m *mailbox, a *account, e *entryRec, log *changeLog) (UID, error) {
	if m.UIDNext > maxUID {
		return 0, fmt.Errorf("%w: the mailbox has no UIDs left", ErrTooMany)
	}
	uid := m.UIDNext
	m.UIDNext++
	e.ModSeq = log.modseq
	m.HighestModSeq = log.modseq
	m.count(e, uid, 1)
	a.Quota.Bytes += e.Size
	a.Quota.Messages++
	s.global.Messages++
	s.global.Bytes += e.Size
	s.put(keyEntry(id, uid), e.encode())
	log.add(logUIDs, id, uint64(uid))
	return uid, nil
}

// email reads an email's record; ErrNotFound.
func (s *stage) email(a AccountID, id EmailID) (emailRec, error) {
	val, err := s.get(keyEmail(a, id))
	if err != nil {
		return emailRec{}, err
	}
	if val == nil {
		return emailRec{}, ErrNotFound
	}
	rec, err := decodeEmail(val)
	return rec, damaged("email", id, err)
}

// entry reads an entry; nil where there is none.
func (s *stage) entry(m MailboxID, u UID) (*entryRec, error) {
	val, err := s.get(keyEntry(m, u))
	if err != nil || val == nil {
		return nil, err
	}
	e, err := decodeEntry(val)
	if err != nil {
		return nil, damaged("entry", u, err)
	}
	return &e, nil
}
