package store

import (
	"context"
	"slices"
	"time"
)

// Expunge removes the messages that exist among uids, and answers those it
// removed, with the mailbox's new mod-sequence. With onlyDeleted it removes
// just those that have the Deleted flag at that moment (UID EXPUNGE, RFC
// 4315). What it removes stays restorable for
// Options.UndeleteFor, or what KeepDeleted says.
func (s *Store) Expunge(ctx context.Context, id MailboxID, uids []UID, onlyDeleted bool) ([]UID, ModSeq, error) {
	return s.remove(ctx, id, uids, onlyDeleted, s.undelete.Load() > 0)
}

func (s *Store) remove(ctx context.Context, id MailboxID, uids []UID, onlyDeleted, keep bool) ([]UID, ModSeq, error) {
	var gone []UID
	var seq ModSeq
	err := inParts(sortedUIDs(uids), opMessages, func(part []UID) error {
		r, err := submitFor[expungeResult](ctx, s, expungeOp{id, slices.Clone(part), onlyDeleted, keep, s.now()})
		if err != nil {
			return err
		}
		gone = append(gone, r.uids...)
		seq = r.modseq
		return nil
	})
	if len(gone) > 0 && !keep {
		s.keeper.kick()
	}
	return gone, seq, err
}

type expungeOp struct {
	Mailbox     MailboxID
	UIDs        []UID
	OnlyDeleted bool
	Keep        bool // restorable
	At          time.Time
}

type expungeResult struct {
	uids   []UID
	modseq ModSeq
}

func (o expungeOp) apply(st *stage) (any, error) {
	m, err := st.mailbox(o.Mailbox)
	if err != nil {
		return nil, err
	}
	if _, err := st.account(m.Account); err != nil {
		return nil, err
	}
	entries, err := st.entriesOf(o.Mailbox, o.UIDs)
	if err != nil {
		return nil, err
	}
	if err := st.emailsAhead(m.Account, entries); err != nil {
		return nil, err
	}
	log := st.beginLog(m.Account, o.At)
	var out expungeResult
	for i, uid := range o.UIDs {
		e := entries[i]
		if e == nil || o.OnlyDeleted && e.System&Deleted == 0 {
			continue
		}
		if err := st.removeEntry(o.Mailbox, m, uid, e, log, removal{keep: o.Keep, at: o.At}); err != nil {
			return nil, err
		}
		out.uids = append(out.uids, uid)
	}
	if len(out.uids) > 0 {
		m.HighestModSeq = log.modseq
		st.event(Event{Kind: EventExpunged, Account: m.Account, Mailbox: o.Mailbox, ModSeq: log.modseq, UIDs: out.uids})
	}
	out.modseq = m.HighestModSeq
	return out, log.end()
}

// removal says what becomes of a message that leaves a mailbox.
type removal struct {
	keep bool // it can be restored
	at   time.Time
}

// removeEntry takes a message out of a mailbox and counts it out.
func (s *stage) removeEntry(id MailboxID, m *mailbox, uid UID, e *entryRec, log *changeLog, r removal) error {
	a, err := s.account(m.Account)
	if err != nil {
		return err
	}
	m.count(e, uid, -1)
	a.Quota.Bytes -= e.Size
	a.Quota.Messages--
	s.global.Messages--
	s.global.Bytes -= e.Size
	log.add(logVanished, id, uint64(uid))
	return s.dropEntry(m.Account, id, m.Name, m.Keywords, uid, e, log, r)
}

// dropEntry removes an entry's rows: from its email, and the email with its
// last place.
func (s *stage) dropEntry(acct AccountID, id MailboxID, name string, kw []keyword, uid UID, e *entryRec, log *changeLog, r removal) error {
	s.del(keyEntry(id, uid))
	if r.keep {
		x := expungedRec{Name: name, Email: e.Email, Thread: e.Thread, Blob: e.Blob, Size: e.Size,
			Flags:        Flags{System: e.System &^ Deleted, Keywords: keywordNames(e.Keywords, kw)},
			InternalDate: e.InternalDate, SaveDate: e.SaveDate}
		k := keyExpunged(acct, r.at.Unix(), id, uid)
		s.put(k, x.encode())
		s.put(keyRefExpunged(e.Blob, k), []byte{recordVersion})
	}
	rec, err := s.email(acct, e.Email)
	if err == ErrNotFound {
		return nil // a damaged store; check mends it
	}
	if err != nil {
		return err
	}
	rec.remove(place{id, uid})
	if len(rec.Places) > 0 {
		s.put(keyEmail(acct, e.Email), rec.encode())
		if log != nil {
			log.add(logEmailUpdated, 0, uint64(e.Email))
		}
		return nil
	}
	s.del(keyEmail(acct, e.Email))
	s.unref(e.Blob, keyRefEmail(e.Blob, acct, e.Email))
	if log != nil {
		log.add(logEmailDestroyed, 0, uint64(e.Email))
	}
	return nil
}

// unref removes a reference to a body and notes that it may have been the last.
func (s *stage) unref(id BlobID, ref []byte) {
	s.del(ref)
	s.put(keyLoose(id), []byte{recordVersion})
}
