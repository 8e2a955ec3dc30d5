package session

import (
	"context"
	"errors"
	"slices"
	"sort"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// ErrGone means that the selected mailbox was deleted, or is no longer shared.
var ErrGone = errors.New("session: the selected mailbox is gone")

// batch is how many entries are read from the store in one go.
const batch = 512

// maxKeywords bounds the keywords that a client is taken to know of. There are
// never so many in use; those that came and went are forgotten then.
const maxKeywords = 1000

// Selected is the selected mailbox as its client sees it.
type Selected struct {
	ReadOnly bool
	Rights   Rights

	user     *User
	box      store.Mailbox // as of opening; see Mailbox
	uids     UIDs
	uidNext  store.UID                  // messages from here on are new to the view
	modseq   store.ModSeq               // the view stands at this mod-sequence
	gone     []store.UID                // expunged, not told yet: still in uids
	own      map[store.UID]store.ModSeq // the session's flag changes since the last Sync
	others   map[store.UID]bool
	ownNew   map[store.UID]bool // messages the session made since the last Sync
	dirty    bool
	watcher  *store.Watcher
	saved    Spans
	touched  map[store.UID]bool // came or changed since Touched was asked
	keywords map[string]bool    // told to the client
	recent   store.UID          // messages from here on are \Recent in this session; 0: none
	recentTo store.UID          // up to here
}

// Select opens a mailbox. Without readOnly it claims the recent messages.
func (u *User) Select(ctx context.Context, name string, readOnly bool) (*Selected, error) {
	box, rights, err := u.open(ctx, name, RightRead)
	if err != nil {
		return nil, err
	}
	s := &Selected{
		ReadOnly: readOnly || !rights.Any(writingRights),
		Rights:   rights,
		user:     u,
		// Listening starts before reading, so that no change falls between.
		watcher:  u.Store.Watch(box.Account),
		keywords: make(map[string]bool),
	}
	if err := s.load(ctx, box.ID); err != nil {
		s.Close()
		return nil, err
	}
	s.claimRecent()
	return s, nil
}

// load reads the view anew.
func (s *Selected) load(ctx context.Context, id store.MailboxID) error {
	s.uids = UIDs{}
	var recent store.UID
	start := s.user.Recents.start
	box, err := s.user.Entries.All(ctx, id, func(e *store.Entry) error {
		s.uids.Append(e.UID)
		if recent == 0 && !e.SaveDate.Before(start) {
			recent = e.UID
		}
		return nil
	})
	if err != nil {
		return gone(err)
	}
	s.box, s.uidNext, s.modseq = box, box.UIDNext, box.HighestModSeq
	s.recent = recent
	for _, k := range box.Keywords {
		s.keywords[k] = true
	}
	return nil
}

func gone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrGone
	}
	return err
}

// claimRecent takes the messages that no session was told of yet
// (RFC 3501 section 2.3.2). Only what came since the server started counts:
// the flag is gone from IMAP4rev2 and not worth keeping on disk.
func (s *Selected) claimRecent() {
	if s.recent == 0 {
		s.recent = s.uidNext
	}
	s.recent = s.user.Recents.claim(s.box.ID, s.recent, s.uidNext, s.ReadOnly)
	s.recentTo = s.uidNext
}

// Recheck takes rights away that the person has lost since, and reports whether
// there were any: what is given counts from the next SELECT on, what is taken at
// once. A mailbox that may no longer be read is gone.
func (s *Selected) Recheck(ctx context.Context) (lost bool, err error) {
	if s.box.Account == s.user.Account {
		return false, nil
	}
	rights, err := s.user.rights(ctx, s.box)
	if err != nil {
		return false, err
	}
	if !rights.Has(RightRead) {
		return true, ErrGone
	}
	lost = s.Rights&^rights != 0
	s.Rights &= rights
	s.ReadOnly = s.ReadOnly || !s.Rights.Any(writingRights)
	return lost, nil
}

// Close ends listening.
func (s *Selected) Close() {
	if s.watcher != nil {
		s.watcher.Close()
		s.watcher = nil
	}
}

// Events wakes whoever waits for a change; each one received must go to Note.
func (s *Selected) Events() <-chan store.Event { return s.watcher.C }

// Mailbox is the mailbox as it was when it was opened; its counters are of that moment.
func (s *Selected) Mailbox() store.Mailbox { return s.box }

// ModSeq is the mod-sequence the view stands at.
func (s *Selected) ModSeq() store.ModSeq { return s.modseq }

// UIDNext is the UID the next message will have at least.
func (s *Selected) UIDNext() store.UID { return s.uidNext }

// Recent reports whether a message is recent in this session.
func (s *Selected) Recent(uid store.UID) bool { return uid >= s.recent && uid < s.recentTo }

// RecentCount is the number of recent messages in the view.
func (s *Selected) RecentCount() uint32 {
	if s.recentTo == 0 || s.recent >= s.recentTo {
		return 0
	}
	return s.uids.Upto(s.recentTo-1) - s.uids.Upto(s.recent-1)
}

// Note takes an event of the store in. It reports whether a Sync may have
// something to tell.
func (s *Selected) Note(e store.Event) bool {
	switch {
	case e.Kind == store.EventResync:
		// Among what was lost may be others' changes of the messages that the
		// session changed too.
		s.dirty, s.own = true, nil
	case e.Mailbox != s.box.ID || e.ModSeq != 0 && e.ModSeq <= s.modseq:
		return false
	case e.Kind == store.EventFlags && e.Source == s.user.actor && !s.dirty:
		// Nobody else changed the mailbox in between: the view already
		// stands at this change.
		s.modseq = e.ModSeq
		return false
	case e.Kind == store.EventFlags && e.Source != s.user.actor:
		for i := range e.Entries {
			if s.others == nil {
				s.others = make(map[store.UID]bool)
			}
			s.others[e.Entries[i].UID] = true
		}
		s.dirty = true
	case e.Kind == store.EventMailbox && e.Source == s.user.actor:
		return false
	case e.Kind == store.EventNew && e.Source == s.user.actor:
		if s.ownNew == nil {
			s.ownNew = make(map[store.UID]bool)
		}
		for i := range e.Entries {
			s.ownNew[e.Entries[i].UID] = true
		}
		s.dirty = true
	default:
		s.dirty = true
	}
	return true
}

// poll takes in the events that wait.
func (s *Selected) poll() {
	for {
		select {
		case e, ok := <-s.watcher.C:
			if !ok {
				s.dirty = true
				return
			}
			s.Note(e)
		default:
			return
		}
	}
}

// Update is what a client must be told to follow the mailbox, in the order of the fields.
type Update struct {
	// Expunged are the messages that went: numbers descending, so that each
	// is right after those before it; and their UIDs, ascending.
	Expunged     []uint32
	ExpungedUIDs []store.UID
	// Exists says that the number of messages grew.
	Exists bool
	// New are the messages that came, but for those the session made itself.
	New []store.Entry
	// Keywords says that new keywords are in use: see Selected.Keywords.
	Keywords bool
	// Flags are messages whose flags changed, with their numbers.
	Flags []Numbered
}

// Numbered is an entry with its place in the view.
type Numbered struct {
	Seq uint32
	store.Entry
}

// Sync brings the view up to the store's state. With expunge false, messages
// that went keep their numbers until a later Sync (RFC 9051 section 7.5.1).
func (s *Selected) Sync(ctx context.Context, expunge bool) (Update, error) {
	var up Update
	s.poll()
	var changed []store.Entry
	if s.dirty {
		var err error
		if up.Keywords, err = s.Recheck(ctx); err != nil {
			return up, err
		}
		ch, err := s.user.Store.ChangesSince(ctx, s.box.ID, s.modseq)
		switch {
		case errors.Is(err, store.ErrCannotCalculateChanges):
			if ch, err = s.compare(ctx); err != nil {
				return up, err
			}
		case err != nil:
			return up, gone(err)
		}
		s.takeVanished(ch.Vanished)
		for _, e := range ch.Changed {
			if e.UID >= s.uidNext {
				s.uids.Append(e.UID)
				s.uidNext = e.UID + 1
				up.Exists = true
				if !s.ownNew[e.UID] {
					up.New = append(up.New, e)
				}
			} else if s.uids.Seq(e.UID) != 0 && !s.isOwn(e) {
				changed = append(changed, e)
			}
			s.touch(e.UID)
			for _, k := range e.Flags.Keywords {
				if !s.keywords[k] {
					s.keywords[k] = true
					up.Keywords = true
				}
			}
		}
		if up.Exists {
			if s.recentTo < s.uidNext {
				from := s.user.Recents.claim(s.box.ID, s.recentTo, s.uidNext, s.ReadOnly)
				if s.recent >= s.recentTo || from > s.recentTo {
					s.recent = from
				}
				s.recentTo = s.uidNext
			}
		}
		s.modseq = ch.HighestModSeq
		s.dirty, s.others = false, nil
	}
	s.own, s.ownNew = nil, nil // the view stands behind all of it
	if len(s.keywords) > maxKeywords {
		box, err := s.user.Store.Mailbox(ctx, s.box.ID)
		if err != nil {
			return up, gone(err)
		}
		s.keywords = make(map[string]bool, len(box.Keywords))
		up.Keywords = s.Learn(box.Keywords) || up.Keywords
	}
	if expunge && len(s.gone) > 0 {
		up.ExpungedUIDs = s.gone
		up.Expunged = make([]uint32, 0, len(s.gone))
		for _, uid := range slices.Backward(s.gone) {
			up.Expunged = append(up.Expunged, s.uids.Seq(uid))
		}
		s.uids.Remove(s.gone)
		s.saved = s.saved.without(s.gone)
		s.gone = nil
	}
	for _, e := range changed {
		if seq := s.uids.Seq(e.UID); seq != 0 {
			up.Flags = append(up.Flags, Numbered{seq, e})
		}
	}
	return up, nil
}

// takeVanished notes messages of the view that are gone from the store.
func (s *Selected) takeVanished(uids []store.UID) {
	n := len(s.gone)
	for _, uid := range uids {
		if s.uids.Seq(uid) != 0 {
			s.gone = append(s.gone, uid)
		}
	}
	if n > 0 && len(s.gone) > n {
		slices.Sort(s.gone)
		s.gone = slices.Compact(s.gone)
	}
}

// isOwn reports whether the client knows of a change because the session made it.
func (s *Selected) isOwn(e store.Entry) bool {
	if s.others[e.UID] {
		return false // somebody else changed it as well: the client may not know what
	}
	return s.own[e.UID] == e.ModSeq // no change has 0
}

// compare finds what changed without the change log, which does not reach back
// far enough: by reading the whole mailbox.
func (s *Selected) compare(ctx context.Context) (store.Changes, error) {
	var ch store.Changes
	next := uint32(1)
	box, err := s.user.Entries.All(ctx, s.box.ID, func(e *store.Entry) error {
		if e.ModSeq > s.modseq {
			ch.Changed = append(ch.Changed, *e)
		}
		for next <= s.uids.Len() && s.uids.At(next) < e.UID {
			ch.Vanished = append(ch.Vanished, s.uids.At(next))
			next++
		}
		if next <= s.uids.Len() && s.uids.At(next) == e.UID {
			next++
		}
		return nil
	})
	for ; next <= s.uids.Len(); next++ {
		ch.Vanished = append(ch.Vanished, s.uids.At(next))
	}
	ch.HighestModSeq = box.HighestModSeq
	return ch, gone(err)
}

// changed notes a flag change of the session's own.
func (s *Selected) changed(e *store.Entry) {
	if s.own == nil {
		s.own = make(map[store.UID]store.ModSeq)
	}
	s.own[e.UID] = e.ModSeq
	s.touch(e.UID)
}

func (s *Selected) touch(uid store.UID) {
	if s.touched == nil {
		s.touched = make(map[store.UID]bool)
	}
	s.touched[uid] = true
}

// Touched lists the messages that came or whose flags changed since it was
// asked last, ascending.
func (s *Selected) Touched() []store.UID {
	if len(s.touched) == 0 {
		return nil
	}
	out := make([]store.UID, 0, len(s.touched))
	for uid := range s.touched {
		out = append(out, uid)
	}
	s.touched = nil
	slices.Sort(out)
	return out
}

// Untouch forgets what Touched would list.
func (s *Selected) Untouch() { s.touched = nil }

// Pending reports whether messages are gone whose numbers the client still
// counts (RFC 5530 EXPUNGEISSUED).
func (s *Selected) Pending() bool { return len(s.gone) > 0 }

// Keywords lists the keywords in use in the mailbox, as far as the client was told.
func (s *Selected) Keywords() []string {
	out := make([]string, 0, len(s.keywords))
	for k := range s.keywords {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// Learn notes keywords the client is about to see, and reports whether one is new to it.
func (s *Selected) Learn(keywords []string) bool {
	fresh := false
	for _, k := range keywords {
		if !s.keywords[k] {
			s.keywords[k] = true
			fresh = true
		}
	}
	return fresh
}

func (s Spans) without(gone []store.UID) Spans {
	if len(s) == 0 {
		return s
	}
	var out Spans
	for _, r := range s {
		lo := r.Start
		for len(gone) > 0 && imap.UID(gone[0]) < lo {
			gone = gone[1:]
		}
		for len(gone) > 0 && imap.UID(gone[0]) <= r.Stop {
			if g := imap.UID(gone[0]); g > lo {
				out = append(out, imap.UIDRange{Start: lo, Stop: g - 1})
			}
			lo = imap.UID(gone[0]) + 1
			gone = gone[1:]
		}
		if lo <= r.Stop {
			out = append(out, imap.UIDRange{Start: lo, Stop: r.Stop})
		}
	}
	return out
}

// errStop ends a reading of the store early.
var errStop = errors.New("session: enough")

// Entries calls fn with the messages of the set that are in the view and still
// exist, ascending, some at a time; the slice is the callee's until it
// returns.
func (s *Selected) Entries(ctx context.Context, set Spans, fn func([]Numbered) error) (err error) {
	view, err := s.user.Entries.View(ctx, s.box.ID)
	if err != nil {
		return gone(err)
	}
	uids := make([]store.UID, 0, batch)
	out := make([]Numbered, 0, batch)
	flush := func() error {
		if len(uids) == 0 {
			return nil
		}
		out = out[:0]
		if err := view.Some(ctx, uids, func(e *store.Entry) error {
			out = append(out, Numbered{s.uids.Seq(e.UID), *e})
			return nil
		}); err != nil {
			return gone(err)
		}
		uids = uids[:0]
		if len(out) == 0 {
			return nil
		}
		return fn(out)
	}
	for _, r := range set {
		lo, hi := s.uids.Upto(store.UID(r.Start)-1)+1, s.uids.Upto(store.UID(r.Stop))
		s.uids.All(lo, hi, func(_ uint32, uid store.UID) bool {
			uids = append(uids, uid)
			if len(uids) == batch {
				err = flush()
			}
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return flush()
}
