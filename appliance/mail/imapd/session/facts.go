package session

import (
	"bytes"
	"container/list"
	"context"
	"sync"
	"sync/atomic"

	"pillarbox/appliance/store/store"
)

const (
	// factsCost is what an entry of the cache takes beside its bytes.
	factsCost = 450
	// sortTextCost is what a text that is compared by takes, a name or a subject.
	sortTextCost = 16 + 32
)

// FactsCache keeps facts that were read lately, for all sessions. Clients ask
// for the same ones again and again: to list a mailbox, then to sort it, thread
// it, search its headers. Facts belong to a body and never change, so that
// nothing in the cache gets old.
type FactsCache struct {
	store *store.Store
	limit int

	mu   sync.Mutex
	size int
	used *list.List // of *cachedFacts, the latest first
	byID map[store.BlobID]*list.Element
}

// Facts are the facts of a message, and what was worked out of them.
type Facts struct {
	store.Facts
	texts [sortTexts]atomic.Pointer[sortValue] // see sortText
	reply atomic.Pointer[bool]                 // see isReply
}

type cachedFacts struct {
	id    store.BlobID
	has   store.FactsWant
	facts *Facts
}

// cost counts what the entry takes, with what may be worked out of it later.
func (c *cachedFacts) cost() int {
	n := factsCost + int(sortTexts)*sortTextCost + len(c.facts.Index) + len(c.facts.Header) + len(c.facts.Subject) + len(c.facts.Preview) + len(c.facts.MessageID)
	for _, r := range c.facts.References {
		n += len(r) + 16
	}
	return n
}

// NewFactsCache makes a cache of at most limit bytes; 0 keeps nothing.
func NewFactsCache(st *store.Store, limit int) *FactsCache {
	return &FactsCache{store: st, limit: limit, used: list.New(), byID: make(map[store.BlobID]*list.Element)}
}

// Facts is store.Facts. What fn is given must not be changed.
func (c *FactsCache) Facts(ctx context.Context, ids []store.BlobID, want store.FactsWant, fn func(i int, f *Facts) error) error {
	if c.limit == 0 {
		return c.store.Facts(ctx, ids, want, func(i int, f *store.Facts) error { return fn(i, &Facts{Facts: *f}) })
	}
	const page = 64 // as the store reads them
	found := make([]*Facts, page)
	missing := make([]store.BlobID, 0, page)
	for start := 0; start < len(ids); start += page {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := ids[start:min(start+page, len(ids))]
		var load store.FactsWant
		missing, load = c.lookUp(part, want, found, missing[:0])
		if len(missing) > 0 {
			k := -1
			if err := c.store.Facts(ctx, missing, load, func(_ int, f *store.Facts) error {
				for k++; found[k] != nil; k++ {
				}
				found[k] = &Facts{Facts: *f}
				found[k].Index, found[k].Header = bytes.Clone(f.Index), bytes.Clone(f.Header)
				return nil
			}); err != nil {
				return err
			}
			c.keep(part, missing, load, found)
		}
		for i := range part {
			if err := fn(start+i, found[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookUp fills found, with nil where the cache has not all that is wanted, and
// lists what is missing, in order. load is what to read of those: what is
// wanted, and what the cache would else lose by it.
func (c *FactsCache) lookUp(ids []store.BlobID, want store.FactsWant, found []*Facts, missing []store.BlobID) (_ []store.BlobID, load store.FactsWant) {
	load = want
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, id := range ids {
		found[i] = nil
		if e := c.byID[id]; e != nil {
			if f := e.Value.(*cachedFacts); f.has&want == want {
				c.used.MoveToFront(e)
				found[i] = f.facts
				continue
			} else {
				load |= f.has
			}
		}
		missing = append(missing, id)
	}
	return missing, load
}

// keep takes in what was missing, and drops what was not used for longest.
func (c *FactsCache) keep(ids, missing []store.BlobID, load store.FactsWant, found []*Facts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, id := range ids {
		if len(missing) == 0 || missing[0] != id {
			continue
		}
		missing = missing[1:]
		f := found[i]
		if f.Size == 0 || load&store.WantIndex != 0 && len(f.Index) == 0 {
			continue // damaged or gone: to be asked for again
		}
		if e := c.byID[id]; e != nil {
			c.drop(e)
		}
		entry := &cachedFacts{id: id, has: load, facts: f}
		c.byID[id] = c.used.PushFront(entry)
		c.size += entry.cost()
	}
	for c.size > c.limit {
		c.drop(c.used.Back())
	}
}

func (c *FactsCache) drop(e *list.Element) {
	entry := c.used.Remove(e).(*cachedFacts)
	delete(c.byID, entry.id)
	c.size -= entry.cost()
}
