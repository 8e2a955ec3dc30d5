package session

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"sort"
	"sync"

	"pillarbox/appliance/store/store"
)

const (
	// entryCost is what a kept entry takes in memory, with a keyword or two.
	entryCost = 160
	// entryPage is how many entries are copied where one of them changes.
	entryPage = 256
	// freshTries is how often a mailbox that changes all the time is caught up
	// with before its rows are read instead.
	freshTries = 4
)

// EntriesCache keeps the entries of mailboxes that were read lately, for all
// sessions: clients go through all of a mailbox again and again, to list it, to
// search it by flags, to sort it. What is kept is brought up to date by the
// mailbox's changes before each use, so that it never answers anything but
// the store's own state.
type EntriesCache struct {
	store *store.Store
	limit int

	mu   sync.Mutex
	size int
	used *list.List // of *cachedEntries, the latest first
	byID map[store.MailboxID]*list.Element
}

type cachedEntries struct {
	id store.MailboxID
	snapshot
}

// snapshot is the entries of a mailbox at a mod-sequence, ascending, in pages
// of which none is empty. It is not changed once it is made: a later one
// shares the pages that stayed the same.
type snapshot struct {
	modseq store.ModSeq
	pages  [][]store.Entry
	n      int  // entries in all
	open   bool // the last page is the snapshot's own and may grow
}

func (s *snapshot) cost() int { return s.n * entryCost }

// NewEntriesCache makes a cache of about limit bytes; 0 keeps nothing.
func NewEntriesCache(st *store.Store, limit int) *EntriesCache {
	return &EntriesCache{store: st, limit: limit, used: list.New(), byID: make(map[store.MailboxID]*list.Element)}
}

// All calls fn with every entry of a mailbox, ascending, and answers the
// mailbox as of the same moment, as store.Entries does.
func (c *EntriesCache) All(ctx context.Context, id store.MailboxID, fn func(*store.Entry) error) (store.Mailbox, error) {
	if snap, box, ok, err := c.fresh(ctx, id); err != nil {
		return box, err
	} else if ok {
		return box, snap.from(0, fn)
	}
	var snap snapshot
	box, err := c.store.Entries(ctx, id, 0, 0, func(e store.Entry) error {
		snap.append(e)
		return fn(&e)
	})
	if err == nil {
		snap.modseq = box.HighestModSeq
		c.keep(id, snap)
	}
	return box, err
}

// View is a mailbox's entries for one command.
type View struct {
	cache *EntriesCache
	id    store.MailboxID
	snap  snapshot
	kept  bool // snap is the mailbox
}

// View is the mailbox as of now, where it is kept; else it is read as of each
// reading.
func (c *EntriesCache) View(ctx context.Context, id store.MailboxID) (View, error) {
	snap, _, ok, err := c.fresh(ctx, id)
	return View{c, id, snap, ok}, err
}

// Some calls fn with those entries of ascending UIDs that exist.
func (v *View) Some(ctx context.Context, uids []store.UID, fn func(*store.Entry) error) (err error) {
	if len(uids) == 0 {
		return nil
	}
	lo, hi := uids[0], uids[len(uids)-1]
	take := func(e *store.Entry) error {
		for len(uids) > 0 && uids[0] < e.UID {
			uids = uids[1:]
		}
		switch {
		case len(uids) == 0:
			return errStop
		case uids[0] != e.UID:
			return nil
		}
		return fn(e)
	}
	switch {
	case v.kept:
		err = v.snap.from(lo, take)
	case int64(hi-lo) < 2*int64(len(uids)):
		_, err = v.cache.store.Entries(ctx, v.id, lo, hi, func(e store.Entry) error { return take(&e) })
	default:
		var es []store.Entry
		es, err = v.cache.store.EntriesOf(ctx, v.id, uids)
		for i := 0; i < len(es) && err == nil; i++ {
			err = take(&es[i])
		}
	}
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// fresh gives what is kept of a mailbox, brought up to date, and the mailbox
// as of the same moment. ok is false where nothing is kept.
func (c *EntriesCache) fresh(ctx context.Context, id store.MailboxID) (snap snapshot, box store.Mailbox, ok bool, err error) {
	if snap, ok = c.lookUp(id); !ok {
		return snap, box, false, nil
	}
	for range freshTries {
		if box, err = c.store.Mailbox(ctx, id); err != nil {
			c.drop(id)
			return snap, box, false, err
		}
		if box.HighestModSeq == snap.modseq {
			return snap, box, true, nil
		}
		ch, err := c.store.ChangesSince(ctx, id, snap.modseq)
		if errors.Is(err, store.ErrCannotCalculateChanges) {
			break
		}
		if err != nil {
			return snap, box, false, err
		}
		snap = snap.with(ch)
		c.keep(id, snap)
		if box.HighestModSeq == snap.modseq {
			return snap, box, true, nil
		}
	}
	c.drop(id)
	return snap, box, false, nil
}

func (c *EntriesCache) lookUp(id store.MailboxID) (snapshot, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		return snapshot{}, false
	}
	c.used.MoveToFront(e)
	return e.Value.(*cachedEntries).snapshot, true
}

// keep takes a snapshot in, unless there is a later one, and drops what was
// not used for longest.
func (c *EntriesCache) keep(id store.MailboxID, snap snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[id]; e != nil {
		if e.Value.(*cachedEntries).modseq > snap.modseq {
			return
		}
		c.remove(e)
	}
	if snap.cost() > c.limit/2 {
		return // one such mailbox would push out all others
	}
	c.byID[id] = c.used.PushFront(&cachedEntries{id, snap})
	c.size += snap.cost()
	for c.size > c.limit {
		c.remove(c.used.Back())
	}
}

func (c *EntriesCache) drop(id store.MailboxID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[id]; e != nil {
		c.remove(e)
	}
}

func (c *EntriesCache) remove(e *list.Element) {
	old := c.used.Remove(e).(*cachedEntries)
	delete(c.byID, old.id)
	c.size -= old.cost()
}

// append adds an entry with a UID higher than all there are.
func (s *snapshot) append(e store.Entry) {
	if k := len(s.pages); !s.open || len(s.pages[k-1]) == entryPage {
		s.pages = append(s.pages, make([]store.Entry, 0, entryPage))
		s.open = true
	}
	p := &s.pages[len(s.pages)-1]
	*p = append(*p, e)
	s.n++
}

// share adds a page of another snapshot.
func (s *snapshot) share(p []store.Entry) {
	s.pages = append(s.pages, p)
	s.n += len(p)
	s.open = false
}

// from calls fn with the entries from a UID on.
func (s *snapshot) from(lo store.UID, fn func(*store.Entry) error) error {
	k := sort.Search(len(s.pages), func(i int) bool { return last(s.pages[i]) >= lo })
	for ; k < len(s.pages); k++ {
		p := s.pages[k]
		i := 0
		if p[0].UID < lo {
			i = sort.Search(len(p), func(i int) bool { return p[i].UID >= lo })
		}
		for ; i < len(p); i++ {
			if err := fn(&p[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func last(page []store.Entry) store.UID { return page[len(page)-1].UID }

// with is the snapshot after changes.
func (s *snapshot) with(ch store.Changes) snapshot {
	out := snapshot{modseq: ch.HighestModSeq, pages: make([][]store.Entry, 0, len(s.pages)+1)}
	changed, vanished := ch.Changed, ch.Vanished
	for i, p := range s.pages {
		// What came goes behind the last page.
		nc, nv := len(changed), len(vanished)
		if end := last(p); i < len(s.pages)-1 {
			nc = sort.Search(nc, func(i int) bool { return changed[i].UID > end })
			nv = sort.Search(nv, func(i int) bool { return vanished[i] > end })
		}
		if nc+nv == 0 {
			out.share(p)
			continue
		}
		out.merge(p, changed[:nc], vanished[:nv])
		changed, vanished = changed[nc:], vanished[nv:]
	}
	out.merge(nil, changed, nil) // to an empty mailbox
	return out
}

// merge adds a page of another snapshot after changes.
func (s *snapshot) merge(p, changed []store.Entry, vanished []store.UID) {
	for _, e := range p {
		if len(changed) > 0 && changed[0].UID == e.UID {
			e, changed = changed[0], changed[1:]
		}
		if _, gone := slices.BinarySearch(vanished, e.UID); !gone {
			s.append(e)
		}
	}
	for _, e := range changed {
		s.append(e)
	}
}
