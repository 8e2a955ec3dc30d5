package store

import (
	"bytes"
	"context"
	"slices"
	"time"
)

// ChangeFlags applies a flag change to the messages that exist among uids. A
// change of more than opMessages messages is durable part by part.
func (s *Store) ChangeFlags(ctx context.Context, id MailboxID, uids []UID, c FlagChange) (FlagResult, error) {
	c.Flags.Keywords = cleanKeywords(c.Flags.Keywords)
	var out FlagResult
	err := inParts(sortedUIDs(uids), opMessages, func(part []UID) error {
		r, err := submitFor[FlagResult](ctx, s, flagsOp{id, slices.Clone(part), c, s.now()})
		out.Changed = append(out.Changed, r.Changed...)
		out.Modified = append(out.Modified, r.Modified...)
		return err
	})
	return out, err
}

type flagsOp struct {
	Mailbox MailboxID
	UIDs    []UID
	Change  FlagChange
	At      time.Time
}

func (o flagsOp) apply(st *stage) (any, error) {
	m, err := st.mailbox(o.Mailbox)
	if err != nil {
		return nil, err
	}
	a, err := st.account(m.Account)
	if err != nil {
		return nil, err
	}
	_ = a // on the stage for the log
	log := st.beginLog(m.Account, o.At)
	var out FlagResult
	var changed []int
	var kw []byte
	if o.Change.Op == FlagsRemove {
		kw = m.keywordsKnown(o.Change.Flags.Keywords)
	} else if kw, err = m.keywordPlaces(o.Change.Flags.Keywords); err != nil {
		return nil, err
	}
	old, err := st.entriesOf(o.Mailbox, o.UIDs)
	if err != nil {
		return nil, err
	}
	for i, uid := range o.UIDs {
		e := old[i]
		if e == nil {
			continue
		}
		if o.Change.UseUnchangedSince && e.ModSeq > o.Change.UnchangedSince {
			out.Modified = append(out.Modified, uid)
			continue
		}
		sys, words := o.Change.apply(e, kw)
		if sys != e.System || !bytes.Equal(words, e.Keywords) {
			m.countFlags(e.System, e.Keywords, uid, -1)
			e.System, e.Keywords, e.ModSeq = sys, words, log.modseq
			m.countFlags(e.System, e.Keywords, uid, 1)
			st.put(keyEntry(o.Mailbox, uid), e.encode())
			log.add(logUIDs, o.Mailbox, uint64(uid))
			log.add(logEmailUpdated, 0, uint64(e.Email))
			changed = append(changed, len(out.Changed))
		}
		out.Changed = append(out.Changed, e.public(uid, m.Keywords))
	}
	if len(changed) == 0 {
		return out, nil
	}
	m.HighestModSeq = log.modseq
	ev := Event{Kind: EventFlags, Account: m.Account, Mailbox: o.Mailbox, ModSeq: log.modseq}
	for _, i := range changed {
		ev.Entries = append(ev.Entries, out.Changed[i])
	}
	st.event(ev)
	return out, log.end()
}

// apply works out the new flags of an entry; kw are the change's keywords as
// places, ascending.
func (c *FlagChange) apply(e *entryRec, kw []byte) (SystemFlags, []byte) {
	switch c.Op {
	case FlagsAdd:
		words := slices.Concat(e.Keywords, kw)
		slices.Sort(words)
		return e.System | c.Flags.System, slices.Compact(words)
	case FlagsRemove:
		var words []byte
		for _, w := range e.Keywords {
			if !slices.Contains(kw, w) {
				words = append(words, w)
			}
		}
		return e.System &^ c.Flags.System, words
	default:
		if c.Keep.Keywords {
			kw = e.Keywords
		}
		return c.Flags.System | e.System&c.Keep.System, kw
	}
}

// keywordsKnown gives the places of those keywords the mailbox has.
func (m *mailboxRec) keywordsKnown(names []string) []byte {
	var out []byte
	for _, n := range names {
		if i := m.findKeyword(n); i >= 0 {
			out = append(out, byte(i))
		}
	}
	slices.Sort(out)
	return out
}

// entriesOf reads the entries of ascending UIDs, nil for those that are not there.
func (s *stage) entriesOf(id MailboxID, uids []UID) ([]*entryRec, error) {
	ids := make([]uint64, len(uids))
	for i, uid := range uids {
		ids[i] = uint64(uid)
	}
	if err := s.readAhead(key(tableEntry, uint64(id)), ids, func(n uint64) []byte { return keyEntry(id, UID(n)) }); err != nil {
		return nil, err
	}
	out := make([]*entryRec, len(uids))
	for i, uid := range uids {
		e, err := s.entry(id, uid)
		if err != nil {
			return nil, err
		}
		out[i] = e
	}
	return out, nil
}

// emailsAhead reads the emails of entries that are about to be moved or removed.
func (s *stage) emailsAhead(id AccountID, entries []*entryRec) error {
	ids := make([]uint64, 0, len(entries))
	for _, e := range entries {
		if e != nil {
			ids = append(ids, uint64(e.Email))
		}
	}
	slices.Sort(ids)
	return s.readAhead(key(tableEmail, uint64(id)), ids, func(n uint64) []byte { return keyEmail(id, EmailID(n)) })
}
