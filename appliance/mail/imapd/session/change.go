package session

import (
	"context"
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// partSize is how many messages are changed before the client is told of
// them, so that a change of a whole mailbox is not held in memory. A part is
// durable by itself.
const partSize = 1000

// ChangeFlags changes flags of the messages in the set. Part by part it gives
// the new state of the messages that were found and allowed to each, with
// whether keywords came into use that the client does not know; it answers
// which messages UnchangedSince kept. Flags the person has no right to change are left
// alone (RFC 4314 section 4); if none is left, it is an error.
func (s *Selected) ChangeFlags(ctx context.Context, set Spans, c store.FlagChange, each func(changed []Numbered, keywords bool)) (modified []store.UID, err error) {
	if !s.Rights.Any(flagRights) {
		return nil, ErrNoRight
	}
	asked := c.Flags
	c.Flags = s.Rights.permitted(asked)
	if !empty(asked) && empty(c.Flags) {
		return nil, ErrNoRight
	}
	c.Keep = s.Rights.refused()
	for uids := range slices.Chunk(s.uids.within(set), partSize) {
		res, err := s.user.Store.ChangeFlags(ctx, s.box.ID, uids, c)
		if err != nil {
			return modified, gone(err)
		}
		modified = append(modified, res.Modified...)
		changed := make([]Numbered, 0, len(res.Changed))
		keywords := false
		for _, e := range res.Changed {
			changed = append(changed, Numbered{s.uids.Seq(e.UID), e})
			s.changed(&e)
			keywords = s.Learn(e.Flags.Keywords) || keywords
		}
		each(changed, keywords)
	}
	return modified, nil
}

// MarkSeen sets \Seen as fetching a body does (RFC 9051 section 6.4.5), where
// the person may and the disk has room, since mail can be read on a full one,
// and brings the entries up to date. It reports which changed.
func (s *Selected) MarkSeen(ctx context.Context, ms []Numbered) (map[store.UID]bool, error) {
	if s.ReadOnly || !s.Rights.Has(RightSeen) {
		return nil, nil
	}
	var uids []store.UID
	for i := range ms {
		if ms[i].Flags.System&store.Seen == 0 {
			uids = append(uids, ms[i].UID)
		}
	}
	if len(uids) == 0 {
		return nil, nil
	}
	res, err := s.user.Store.ChangeFlags(ctx, s.box.ID, uids, store.FlagChange{Op: store.FlagsAdd, Flags: store.Flags{System: store.Seen}})
	if errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrReadOnly) {
		return nil, nil
	}
	if err != nil {
		return nil, gone(err)
	}
	changed := make(map[store.UID]bool, len(res.Changed))
	i := 0
	for _, e := range res.Changed {
		for i < len(ms) && ms[i].UID < e.UID {
			i++
		}
		if i < len(ms) && ms[i].UID == e.UID {
			ms[i].Entry = e
			changed[e.UID] = true
			s.changed(&e)
		}
	}
	return changed, nil
}

func empty(f store.Flags) bool { return f.System == 0 && len(f.Keywords) == 0 }

// Copy copies or moves the messages of the set, all or none. Moving takes the
// rights of deleting. Flags that the person may not set there do not come along
// (RFC 4314 section 4).
func (s *Selected) Copy(ctx context.Context, set Spans, to Target, move bool) (store.CopyResult, error) {
	uids := s.uids.within(set)
	if move && !s.Rights.Has(RightTrash|RightExpunge) {
		return store.CopyResult{}, ErrNoRight
	}
	if len(uids) == 0 {
		return store.CopyResult{}, nil
	}
	transfer := s.user.Store.Copy
	if move {
		transfer = s.user.Store.Move
	}
	return transfer(ctx, s.box.ID, uids, to.ID, to.rights.refused())
}

// ExpungeDeleted removes the messages with \Deleted: those of the set, or, where
// it is nil, all that the client knows of. It answers the mailbox's new
// mod-sequence, 0 where nothing was removed. Sync tells which went.
func (s *Selected) ExpungeDeleted(ctx context.Context, set Spans) (store.ModSeq, error) {
	if set == nil {
		if s.uids.Len() == 0 {
			return 0, nil
		}
		set = Spans{{Start: imap.UID(s.uids.At(1)), Stop: imap.UID(s.uids.Max())}}
		box, err := s.user.Store.Mailbox(ctx, s.box.ID)
		if err != nil {
			return 0, gone(err)
		}
		if box.DeletedCount == 0 {
			return 0, nil
		}
	}
	var uids []store.UID
	if err := s.Entries(ctx, set, func(ms []Numbered) error {
		for i := range ms {
			if ms[i].Flags.System&store.Deleted != 0 {
				uids = append(uids, ms[i].UID)
			}
		}
		return nil
	}); err != nil {
		return 0, err
	}
	if len(uids) == 0 {
		return 0, nil
	}
	went, modseq, err := s.user.Store.Expunge(ctx, s.box.ID, uids, true)
	if err != nil {
		return 0, gone(err)
	}
	if len(went) == 0 {
		return 0, nil
	}
	return modseq, nil
}

// Since is what happened to the mailbox after a mod-sequence.
type Since struct {
	Vanished Spans
	Changed  []Numbered
}

// Since tells what vanished and what changed after a mod-sequence, as far as
// the client knows of it: among known, or, with all, among any UID up to the view's last
// (RFC 7162 section 3.2.5.2). A message that still has its number in the view
// has not vanished for the client: the next Sync tells of it.
func (s *Selected) Since(ctx context.Context, since store.ModSeq, known Spans, all bool) (Since, error) {
	var out Since
	known = normal(known)
	wanted := func(uid store.UID) bool { return uid < s.uidNext && (all || known.Contains(uid)) }
	ch, err := s.user.Store.ChangesSince(ctx, s.box.ID, since)
	if errors.Is(err, store.ErrCannotCalculateChanges) {
		return s.sinceUnknown(ctx, since, known, all)
	}
	if err != nil {
		return out, gone(err)
	}
	for _, uid := range ch.Vanished {
		if wanted(uid) && s.uids.Seq(uid) == 0 {
			out.Vanished = out.Vanished.add(uid)
		}
	}
	for _, e := range ch.Changed {
		if seq := s.uids.Seq(e.UID); seq != 0 && wanted(e.UID) {
			out.Changed = append(out.Changed, Numbered{seq, e})
		}
	}
	return out, nil
}

// sinceUnknown answers Since where the change log does not reach back: all
// UIDs that are not there count as vanished (RFC 7162 section 3.2.5.1).
func (s *Selected) sinceUnknown(ctx context.Context, since store.ModSeq, known Spans, all bool) (Since, error) {
	var out Since
	if all {
		known = Spans{{Start: 1, Stop: imap.UID(s.uidNext) - 1}}
	}
	out.Vanished = s.missing(known)
	err := s.Entries(ctx, clip(known, s.uids.Max()), func(ms []Numbered) error {
		for _, m := range ms {
			if m.ModSeq > since {
				out.Changed = append(out.Changed, m)
			}
		}
		return nil
	})
	return out, err
}

// missing lists the UIDs given out so far that are in a set and not in the view.
func (s *Selected) missing(set Spans) Spans {
	var out Spans
	for _, r := range set {
		next := max(store.UID(r.Start), 1) // 0 is "*" of an empty mailbox
		stop := min(store.UID(r.Stop), s.uidNext-1)
		if next > stop {
			continue
		}
		lo, hi := s.uids.Upto(next-1)+1, s.uids.Upto(stop)
		s.uids.All(lo, hi, func(_ uint32, uid store.UID) bool {
			if uid > next {
				out = append(out, imap.UIDRange{Start: imap.UID(next), Stop: imap.UID(uid) - 1})
			}
			next = uid + 1
			return true
		})
		if next <= stop {
			out = append(out, imap.UIDRange{Start: imap.UID(next), Stop: imap.UID(stop)})
		}
	}
	return out
}

// clip takes away what is above top.
func clip(s Spans, top store.UID) Spans {
	var out Spans
	for _, r := range s {
		if store.UID(r.Start) <= top {
			out = append(out, imap.UIDRange{Start: r.Start, Stop: min(r.Stop, imap.UID(top))})
		}
	}
	return out
}

// VanishedSince lists which UIDs of a set, as the client wrote it, vanished
// after a mod-sequence (RFC 7162 section 3.2.6).
func (s *Selected) VanishedSince(ctx context.Context, since store.ModSeq, set imap.UIDSet) (Spans, error) {
	known := make(Spans, 0, len(set))
	if imap.IsSearchRes(set) {
		known = append(known, s.saved...)
	}
	last := imap.UID(s.uidNext) - 1
	for _, r := range set {
		if r.Stop == 0 {
			r.Stop = last
		}
		if r.Start == 0 {
			r.Start = last
		}
		known = append(known, imap.UIDRange{Start: min(r.Start, r.Stop), Stop: max(r.Start, r.Stop)})
	}
	out, err := s.Since(ctx, since, known, false)
	return out.Vanished, err
}
