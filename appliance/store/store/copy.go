package store

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Copy copies messages to another mailbox (of any account), all or none, but
// for flags that are not to come along; those that do not exist are passed over. More than opMessages are copied
// part by part: where a later part is refused, the parts before are taken
// back, but a power cut amid them leaves those. ErrOverQuota, ErrNotFound.
func (s *Store) Copy(ctx context.Context, from MailboxID, uids []UID, to MailboxID, without FlagMask) (CopyResult, error) {
	out, err := s.transfer(ctx, copyOp{From: from, To: to, Without: without}, uids)
	if err != nil && len(out.To) > 0 {
		if _, _, undo := s.remove(context.WithoutCancel(ctx), to, out.To, false, false); undo != nil {
			err = errors.Join(err, undo)
		}
		out = CopyResult{}
	}
	return out, err
}

// Move moves messages, but for flags that are not to come along. Each is in exactly one of the mailboxes at any time;
// more than opMessages are moved part by part, and where a later part is
// refused the answer tells with the error which went (RFC 6851 section 3.3).
func (s *Store) Move(ctx context.Context, from MailboxID, uids []UID, to MailboxID, without FlagMask) (CopyResult, error) {
	return s.transfer(ctx, copyOp{From: from, To: to, Without: without, Move: true}, uids)
}

func (s *Store) transfer(ctx context.Context, o copyOp, uids []UID) (CopyResult, error) {
	var out CopyResult
	err := inParts(sortedUIDs(uids), opMessages, func(part []UID) error {
		o.UIDs, o.At = slices.Clone(part), s.now()
		r, err := submitFor[CopyResult](ctx, s, o)
		if err != nil {
			return err
		}
		out.UIDValidity = r.UIDValidity
		out.From = append(out.From, r.From...)
		out.To = append(out.To, r.To...)
		out.Expunged = max(out.Expunged, r.Expunged)
		return nil
	})
	return out, err
}

type copyOp struct {
	From    MailboxID
	UIDs    []UID
	To      MailboxID
	Without FlagMask
	Move    bool
	At      time.Time
}

func (o copyOp) apply(st *stage) (any, error) {
	src, err := st.mailbox(o.From)
	if err != nil {
		return nil, err
	}
	dst, err := st.mailbox(o.To)
	if err != nil {
		return nil, err
	}
	a, err := st.account(dst.Account)
	if err != nil {
		return nil, err
	}
	entries, err := st.entriesOf(o.From, o.UIDs)
	if err != nil {
		return nil, err
	}
	if err := st.emailsAhead(src.Account, entries); err != nil {
		return nil, err
	}
	within := src.Account == dst.Account
	if !o.Move || !within {
		var bytes, n int64
		for _, e := range entries {
			if e != nil {
				bytes, n = bytes+e.Size, n+1
			}
		}
		if n > 0 && !a.Quota.fits(bytes, n) {
			return nil, &AccountError{dst.Account, ErrOverQuota}
		}
	}
	out := CopyResult{UIDValidity: dst.UIDValidity}
	log := st.beginLog(dst.Account, o.At)
	added := Event{Kind: EventNew, Account: dst.Account, Mailbox: o.To, ModSeq: log.modseq}
	for i, e := range entries {
		if e == nil {
			continue
		}
		uid, entry, err := o.one(st, o.UIDs[i], e, src, dst, a, log)
		if err != nil {
			return nil, err
		}
		out.From = append(out.From, o.UIDs[i])
		out.To = append(out.To, uid)
		added.Entries = append(added.Entries, entry)
	}
	if len(out.To) == 0 {
		return out, nil
	}
	if !o.Move {
		st.event(added)
		return out, log.end()
	}
	srcLog := log
	if !within {
		if err := log.end(); err != nil {
			return nil, err
		}
		if _, err := st.account(src.Account); err != nil {
			return nil, err
		}
		srcLog = st.beginLog(src.Account, o.At)
	}
	for _, i := range indexOf(o.UIDs, out.From) {
		if err := st.removeEntry(o.From, src, o.UIDs[i], entries[i], srcLog, removal{}); err != nil {
			return nil, err
		}
	}
	src.HighestModSeq = srcLog.modseq
	out.Expunged = srcLog.modseq
	st.event(added)
	st.event(Event{Kind: EventExpunged, Account: src.Account, Mailbox: o.From, ModSeq: srcLog.modseq, UIDs: out.From})
	return out, srcLog.end()
}

// indexOf gives the places of the members of a sorted part in the sorted whole.
func indexOf(all, part []UID) []int {
	out := make([]int, 0, len(part))
	at := 0
	for i, u := range all {
		if at < len(part) && part[at] == u {
			out = append(out, i)
			at++
		}
	}
	return out
}

// one copies one message.
func (o *copyOp) one(st *stage, uid UID, e *entryRec, src, dst *mailbox, a *account, log *changeLog) (UID, Entry, error) {
	n := *e
	n.SaveDate = o.At
	n.System &^= o.Without.System
	n.Keywords = nil
	if !o.Without.Keywords {
		var err error
		if n.Keywords, err = dst.keywordPlaces(keywordNames(e.Keywords, src.Keywords)); err != nil {
			return 0, Entry{}, err
		}
	}
	var rec emailRec
	var err error
	if src.Account == dst.Account {
		// The copy is the same email in one more place (RFC 8474 section 5.1).
		if rec, err = st.email(dst.Account, e.Email); err != nil {
			return 0, Entry{}, damaged("email", e.Email, err)
		}
		log.add(logEmailUpdated, 0, uint64(e.Email))
	} else {
		a.LastEmail++
		n.Email = a.LastEmail
		keys, err := st.threadKeys(e.Blob)
		if err != nil {
			return 0, Entry{}, err
		}
		if n.Thread, err = st.thread(dst.Account, a, keys); err != nil {
			return 0, Entry{}, err
		}
		rec = emailRec{Blob: e.Blob, Thread: n.Thread}
		st.put(keyRefEmail(e.Blob, dst.Account, n.Email), []byte{recordVersion})
		log.add(logEmailCreated, 0, uint64(n.Email))
	}
	to, err := st.addEntry(o.To, dst, a, &n, log)
	if err != nil {
		return 0, Entry{}, err
	}
	rec.Places = append(rec.Places, place{o.To, to})
	st.put(keyEmail(dst.Account, n.Email), rec.encode())
	return to, n.public(to, dst.Keywords), nil
}

// threadKeys reads what threading needs from a body's facts; without facts, nothing.
func (s *stage) threadKeys(id BlobID) (threadKeys, error) {
	val, err := s.get(keyFacts(id))
	if err != nil || val == nil {
		return threadKeys{}, err
	}
	var f Facts
	if _, err := decodeFacts(s.c.s.codec, val, 0, &f); err != nil {
		if errors.Is(err, ErrNewerStore) {
			return threadKeys{}, err
		}
		return threadKeys{}, nil // damaged facts cost the conversation, not the message
	}
	return threadKeysOf(&f), nil
}
