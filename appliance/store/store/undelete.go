package store

import (
	"context"
	"errors"
	"slices"
	"time"
)

// KeepDeleted changes for how long expunged messages stay restorable, in place
// of Options.UndeleteFor: those from now on, and those there are; none where it
// is not above 0. What is too old then goes within an hour.
func (s *Store) KeepDeleted(d time.Duration) { s.undelete.Store(int64(max(0, d))) }

// ExpungedID names an expunged message of an account.
type ExpungedID struct {
	At      time.Time // when it was expunged, to the second
	Mailbox MailboxID
	UID     UID
}

// Expunged is an expunged message that can be restored.
type Expunged struct {
	ID           ExpungedID
	Name         string // its mailbox's name when it was expunged
	Flags        Flags  // without Deleted
	InternalDate time.Time
	Size         int64
	Blob         BlobID
}

// Expunged calls fn with an account's expunged messages from a time on, oldest first.
func (s *Store) Expunged(ctx context.Context, id AccountID, since time.Time, fn func(Expunged) error) error {
	v := s.view()
	defer v.close()
	var page []Expunged
	o := scanOptions{prefix: key(tableExpunged, uint64(id)), from: key(tableExpunged, uint64(id), uint64(max(0, since.Unix())))}
	return v.rows(o, func(k, val []byte) error {
		x, err := decodeExpunged(val)
		if err != nil {
			return damaged("expunged message", id, err)
		}
		page = append(page, Expunged{
			ID:   ExpungedID{time.Unix(int64(id64(k, 1)), 0).UTC(), MailboxID(id64(k, 2)), UID(tail32(k))},
			Name: x.Name, Flags: x.Flags, InternalDate: x.InternalDate, Size: x.Size, Blob: x.Blob,
		})
		return nil
	}, func() error {
		for _, x := range page {
			if err := fn(x); err != nil {
				return err
			}
		}
		page = page[:0]
		return ctx.Err()
	})
}

// Undelete puts expunged messages back into the mailboxes they were in (by
// id, so also under a new name; else by name, made again where it is gone), or
// all into the one named to. They get new UIDs and keep flags, dates and
// thread; one that is in no mailbox any more comes back as a new email, since
// ids are never used twice. Those that are no longer restorable are passed over. The answer
// tells where each of the others went. Where a mailbox has as many keywords as it
// can have, they keep only those it has. ErrOverQuota, unless ignoreQuota.
func (s *Store) Undelete(ctx context.Context, id AccountID, ids []ExpungedID, to string, ignoreQuota bool) ([]Placed, error) {
	if to != "" {
		name, err := cleanName(to)
		if err != nil {
			return nil, err
		}
		to = name
	}
	var out []Placed
	err := inParts(ids, opMessages/2, func(part []ExpungedID) error {
		p, err := submitFor[[]Placed](ctx, s, undeleteOp{id, slices.Clone(part), to, ignoreQuota, s.now()})
		out = append(out, p...)
		return err
	})
	return out, err
}

type undeleteOp struct {
	Account     AccountID
	IDs         []ExpungedID
	To          string
	IgnoreQuota bool
	At          time.Time
}

func (o undeleteOp) apply(st *stage) (any, error) {
	a, err := st.directory(o.Account)
	if err != nil {
		return nil, &AccountError{o.Account, err}
	}
	out := []Placed{}
	log := st.beginLog(o.Account, o.At)
	events := map[MailboxID]int{}
	emails := map[EmailID]EmailID{} // of those made anew
	var news []Event
	for _, id := range o.IDs {
		k := keyExpunged(o.Account, id.At.Unix(), id.Mailbox, id.UID)
		val, err := st.get(k)
		if err != nil {
			return nil, err
		}
		if val == nil {
			continue
		}
		x, err := decodeExpunged(val)
		if err != nil {
			return nil, damaged("expunged message", id.UID, err)
		}
		if !o.IgnoreQuota && !a.Quota.fits(x.Size, 1) {
			return nil, &AccountError{o.Account, ErrOverQuota}
		}
		p, e, err := o.one(st, a, id.Mailbox, &x, emails, log)
		if err != nil {
			return nil, err
		}
		st.del(k)
		st.unref(x.Blob, keyRefExpunged(x.Blob, k))
		out = append(out, p)
		i, ok := events[p.Mailbox]
		if !ok {
			i = len(news)
			events[p.Mailbox] = i
			news = append(news, Event{Kind: EventNew, Account: o.Account, Mailbox: p.Mailbox, ModSeq: log.modseq})
		}
		news[i].Entries = append(news[i].Entries, e)
	}
	for _, e := range news {
		st.event(e)
	}
	return out, log.end()
}

// one puts one message back.
func (o *undeleteOp) one(st *stage, a *account, was MailboxID, x *expungedRec, emails map[EmailID]EmailID, log *changeLog) (Placed, Entry, error) {
	box := was
	m, err := st.mailbox(was)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Placed{}, Entry{}, err
	}
	if o.To != "" || err != nil {
		name := o.To
		if name == "" {
			name = x.Name
		}
		if box = a.names[name]; box == 0 {
			if box, err = st.newMailbox(o.Account, name, "", log); err != nil {
				return Placed{}, Entry{}, err
			}
			st.put(keySubscription(o.Account, name), []byte{recordVersion})
		}
		if m, err = st.mailbox(box); err != nil {
			return Placed{}, Entry{}, err
		}
	}
	kw, err := m.keywordPlaces(x.Flags.Keywords)
	if errors.Is(err, ErrTooMany) { // the message is worth more than its keywords
		kw, err = m.keywordsKnown(x.Flags.Keywords), nil
	}
	if err != nil {
		return Placed{}, Entry{}, err
	}
	email := x.Email
	if again, ok := emails[email]; ok {
		email = again
	}
	rec, err := st.email(o.Account, email)
	switch {
	case errors.Is(err, ErrNotFound):
		a.LastEmail++
		email = a.LastEmail
		emails[x.Email] = email
		rec = emailRec{Blob: x.Blob, Thread: x.Thread}
		st.put(keyRefEmail(x.Blob, o.Account, email), []byte{recordVersion})
		log.add(logEmailCreated, 0, uint64(email))
	case err != nil:
		return Placed{}, Entry{}, err
	default:
		log.add(logEmailUpdated, 0, uint64(email))
	}
	e := entryRec{
		Email: email, Thread: x.Thread, Blob: x.Blob, System: x.Flags.System, Keywords: kw,
		InternalDate: x.InternalDate, SaveDate: o.At, Size: x.Size,
	}
	uid, err := st.addEntry(box, m, a, &e, log)
	if err != nil {
		return Placed{}, Entry{}, err
	}
	rec.Places = append(rec.Places, place{box, uid})
	st.put(keyEmail(o.Account, email), rec.encode())
	return Placed{Account: o.Account, Mailbox: box, UIDValidity: m.UIDValidity, UID: uid, ModSeq: log.modseq, Email: email},
		e.public(uid, m.Keywords), nil
}
