package session

import (
	"context"
	"io"
	"time"

	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/store"
)

// Append puts messages into a mailbox: all of them or none (RFC 3502).
type Append struct {
	user  *User
	box   Target
	items []*Message
	spare int64 // bytes that a message to be replaced frees
}

// Message is one message on its way into a mailbox.
type Message struct {
	body   *store.SpooledBody
	parser *mimeindex.Parser
	facts  store.Facts
	flags  store.Flags
	date   time.Time
}

// NewAppend begins to put messages into a mailbox that Target found.
func (u *User) NewAppend(box Target) *Append { return &Append{user: u, box: box} }

// Fits checks that size bytes more fit beside what was added already.
func (a *Append) Fits(ctx context.Context, size int64) error {
	for _, m := range a.items {
		size += m.body.Size()
	}
	return a.user.Store.CheckQuota(ctx, a.box.Account, max(0, size-a.spare))
}

// Begin begins a message. A zero date means now. Flags that the person may not
// set there are left out (RFC 4314 section 4).
func (a *Append) Begin(ctx context.Context, flags store.Flags, date time.Time) (*Message, error) {
	body, err := a.user.Store.Spool(ctx)
	if err != nil {
		return nil, err
	}
	if date.IsZero() {
		date = time.Now()
	}
	m := &Message{body: body, parser: mimeindex.NewParser(), flags: a.box.rights.permitted(flags), date: date}
	a.items = append(a.items, m)
	return m, nil
}

// ReadFrom adds all of r to the message.
func (m *Message) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(io.MultiWriter(m.body, m.parser), r)
}

// Size is how many bytes were added.
func (m *Message) Size() int64 { return m.body.Size() }

// End ends the message: now its structure is known.
func (m *Message) End() error {
	idx, err := m.parser.Finish()
	if err != nil {
		return err
	}
	m.parser = nil
	m.facts, err = idx.Facts()
	return err
}

// Commit puts the messages into the mailbox and answers their UIDs. If one
// cannot be kept, those before it are taken away again.
func (a *Append) Commit(ctx context.Context) ([]store.UID, error) {
	uids := make([]store.UID, 0, len(a.items))
	for _, m := range a.items {
		r, err := a.user.Store.Deliver(ctx, store.Delivery{
			Body: m.body, Facts: m.facts,
			Placements: []store.Placement{{
				Account: a.box.Account, Mailbox: a.box.ID, Flags: m.flags, InternalDate: m.date,
				IgnoreQuota: a.spare > 0, // Fits counted what is freed right after
			}},
		})
		if err != nil {
			if len(uids) > 0 {
				if _, _, undo := a.user.Store.Expunge(context.WithoutCancel(ctx), a.box.ID, uids, false); undo != nil {
					return nil, undo
				}
			}
			return nil, err
		}
		uids = append(uids, r.Placed[0].UID)
	}
	return uids, nil
}

// Abort drops what was not committed.
func (a *Append) Abort() {
	for _, m := range a.items {
		m.body.Abort()
	}
}

// Replace says that the message with this UID goes when the append is done
// (RFC 8508): its size does not count. It reports whether the message exists.
func (s *Selected) Replace(ctx context.Context, a *Append, uid store.UID) (bool, error) {
	if !s.Rights.Has(RightTrash | RightExpunge) {
		return false, ErrNoRight
	}
	es, err := s.user.Store.EntriesOf(ctx, s.box.ID, []store.UID{uid})
	if err != nil || len(es) == 0 {
		return false, gone(err)
	}
	if s.box.Account == a.box.Account {
		a.spare = es[0].Size
	}
	return true, nil
}

// Expunge removes a message, whatever its flags.
func (s *Selected) Expunge(ctx context.Context, uid store.UID) (store.ModSeq, error) {
	_, modseq, err := s.user.Store.Expunge(ctx, s.box.ID, []store.UID{uid}, false)
	return modseq, gone(err)
}
