package store

import (
	"context"
	"slices"
)

// ChangesSince tells what changed in a mailbox after a mod-sequence;
// ErrCannotCalculateChanges where that is further back than is kept.
func (s *Store) ChangesSince(ctx context.Context, id MailboxID, since ModSeq) (Changes, error) {
	v := s.view()
	defer v.close()
	m, err := v.mailbox(id)
	if err != nil {
		return Changes{}, err
	}
	out := Changes{HighestModSeq: m.HighestModSeq}
	if since >= m.HighestModSeq {
		return out, nil
	}
	a, err := v.account(m.Account)
	if err != nil {
		return Changes{}, err
	}
	// The log is whole for the mailbox where it is whole from its making on.
	if since < a.LogFloor && m.CreatedModSeq <= a.LogFloor {
		return Changes{}, ErrCannotCalculateChanges
	}
	changed, vanished := uidSet{}, uidSet{}
	err = v.logAfter(ctx, m.Account, max(since, m.CreatedModSeq-1), func(_ ModSeq, l *logRec) error {
		for _, it := range l.Items {
			switch {
			case it.Mailbox != id:
			case it.Kind == logUIDs:
				changed.addAll(it.Set, m.UIDNext)
			case it.Kind == logVanished:
				vanished.addAll(it.Set, m.UIDNext)
			}
		}
		return nil
	})
	if err != nil {
		return Changes{}, err
	}
	for u := range vanished {
		delete(changed, u)
	}
	out.Vanished = vanished.sorted()
	out.Changed, err = v.entries(ctx, id, &m, changed.sorted())
	return out, err
}

// logAfter calls fn with the log rows after a mod-sequence, page by page.
func (v *view) logAfter(ctx context.Context, id AccountID, since ModSeq, fn func(ModSeq, *logRec) error) error {
	type row struct {
		seq ModSeq
		rec logRec
	}
	var page []row
	return v.rows(scanOptions{prefix: key(tableLog, uint64(id)), from: keyLog(id, since+1)}, func(k, val []byte) error {
		l, err := decodeLog(val)
		if err != nil {
			return damaged("change log", id64(k, 1), err)
		}
		page = append(page, row{ModSeq(id64(k, 1)), l})
		return nil
	}, func() error {
		for i := range page {
			if err := fn(page[i].seq, &page[i].rec); err != nil {
				return err
			}
		}
		page = page[:0]
		return ctx.Err()
	})
}

// uidSet collects UIDs.
type uidSet map[UID]struct{}

func (s uidSet) addAll(r ranges, next UID) {
	for _, p := range r {
		// A UID the mailbox has not given yet would be a damaged row; it must
		// not make us count to four thousand million.
		for u := p.lo; u <= p.hi && u < uint64(next); u++ {
			s[UID(u)] = struct{}{}
		}
	}
}

func (s uidSet) sorted() []UID {
	out := make([]UID, 0, len(s))
	for u := range s {
		out = append(out, u)
	}
	slices.Sort(out)
	return out
}

// AccountChangesSince tells what changed in an account, at most limit ids
// (0: no limit). ErrCannotCalculateChanges also where one change alone is
// larger than the limit (RFC 8620 section 5.2).
func (s *Store) AccountChangesSince(ctx context.Context, id AccountID, since ModSeq, limit int) (AccountChanges, error) {
	v := s.view()
	defer v.close()
	a, err := v.account(id)
	if err != nil {
		return AccountChanges{}, err
	}
	if since < a.LogFloor || since > a.ModSeq {
		return AccountChanges{}, ErrCannotCalculateChanges
	}
	f := folder{emails: map[EmailID]logKind{}, boxes: map[MailboxID]logKind{}}
	out := AccountChanges{State: since}
	err = v.logAfter(ctx, id, since, func(seq ModSeq, l *logRec) error {
		if limit > 0 && len(f.emails)+len(f.boxes)+f.adds(l, uint64(a.LastEmail)) > limit {
			if out.State == since {
				return ErrCannotCalculateChanges
			}
			out.More = true
			return errStop
		}
		f.fold(l, uint64(a.LastEmail))
		out.State = seq
		return nil
	})
	if err != nil {
		return AccountChanges{}, err
	}
	if !out.More {
		out.State = a.ModSeq
	}
	for e, k := range f.emails {
		switch k {
		case logEmailCreated:
			out.Created = append(out.Created, e)
		case logEmailUpdated:
			out.Updated = append(out.Updated, e)
		case logEmailDestroyed:
			out.Destroyed = append(out.Destroyed, e)
		}
	}
	for b, k := range f.boxes {
		if k == logMailboxGone {
			out.MailboxesDestroyed = append(out.MailboxesDestroyed, b)
		} else {
			out.Mailboxes = append(out.Mailboxes, b)
		}
	}
	slices.Sort(out.Created)
	slices.Sort(out.Updated)
	slices.Sort(out.Destroyed)
	slices.Sort(out.Mailboxes)
	slices.Sort(out.MailboxesDestroyed)
	return out, nil
}

// folder folds log rows into what became of each email and mailbox in the end.
type folder struct {
	emails map[EmailID]logKind
	boxes  map[MailboxID]logKind
}

// adds is how many ids a row brings that were not there before, at most.
func (f *folder) adds(l *logRec, last uint64) int {
	n := 0
	boxes := map[MailboxID]bool{}
	for _, it := range l.Items {
		switch it.Kind {
		case logEmailCreated, logEmailUpdated, logEmailDestroyed:
			for _, p := range it.Set {
				for e := p.lo; e <= p.hi && e <= last; e++ {
					if _, ok := f.emails[EmailID(e)]; !ok {
						n++
					}
				}
			}
		default:
			if _, ok := f.boxes[it.Mailbox]; !ok && !boxes[it.Mailbox] {
				boxes[it.Mailbox] = true
				n++
			}
		}
	}
	return n
}

func (f *folder) fold(l *logRec, last uint64) {
	for _, it := range l.Items {
		switch it.Kind {
		case logEmailCreated, logEmailUpdated, logEmailDestroyed:
			for _, p := range it.Set {
				for e := p.lo; e <= p.hi && e <= last; e++ {
					f.email(EmailID(e), it.Kind)
				}
			}
		case logMailboxGone:
			f.boxes[it.Mailbox] = logMailboxGone
		default: // messages that come, change or go change the mailbox's counts
			if f.boxes[it.Mailbox] != logMailboxGone {
				f.boxes[it.Mailbox] = logMailbox
			}
		}
	}
}

func (f *folder) email(e EmailID, k logKind) {
	old, known := f.emails[e]
	switch {
	case !known:
		f.emails[e] = k
	case k == logEmailDestroyed && old == logEmailCreated:
		delete(f.emails, e) // came and went: nobody needs to know
	case k == logEmailDestroyed:
		f.emails[e] = k
	}
}
