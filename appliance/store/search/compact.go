package search

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
)

const (
	// mergeAt segments of about one size become one. Sizes go by powers of it,
	// so that a document is written again about log8(n) times.
	mergeAt = 8
	// smallSegment is the size, documents, below which all count as one size.
	smallSegment = 64
)

// Compact merges segments where enough of about one size have come together,
// and reports whether it did: it is to be called until it did not. alive says
// which documents still exist; the others drop out. At first it clears away what
// was left when a change was cut short.
func (x *Index) Compact(ctx context.Context, alive func(ctx context.Context, ids []uint64) ([]bool, error)) (bool, error) {
	x.change.Lock()
	defer x.change.Unlock()
	m, err := x.manifest(ctx)
	if err != nil {
		return false, err
	}
	if !x.tidy {
		if err := x.tidyUp(ctx, m); err != nil {
			return false, err
		}
		x.tidy = true
	}
	bySize := map[int][]segmentInfo{}
	for _, s := range m.segments {
		size := 0
		for d := s.docs / smallSegment; d > 0; d /= mergeAt {
			size++
		}
		bySize[size] = append(bySize[size], s)
	}
	for _, group := range bySize {
		if len(group) >= mergeAt {
			return true, x.merge(ctx, m, group, alive)
		}
	}
	return false, nil
}

// merge makes one segment of several.
func (x *Index) merge(ctx context.Context, m manifest, from []segmentInfo, alive func(context.Context, []uint64) ([]bool, error)) error {
	sources := make([]*mergeSource, len(from))
	type survivor struct {
		document
		src *mergeSource
		old int
	}
	var live []survivor
	for i, s := range from {
		d, err := x.docs(ctx, s)
		if err != nil {
			return err
		}
		head, err := x.meta(ctx, s)
		if err != nil {
			return err
		}
		ids := make([]uint64, len(d))
		for j := range d {
			ids[j] = d[j].id
		}
		exists, err := alive(ctx, ids)
		if err != nil {
			return err
		}
		src := &mergeSource{x: x, segment: s, blocks: head.blocks, number: make([]int64, len(d))}
		for j := range d {
			src.number[j] = -1
			if exists[j] {
				live = append(live, survivor{d[j], src, j})
			}
		}
		sources[i] = src
	}
	// Segments merged at different times may hold ids between each other's.
	slices.SortFunc(live, func(a, b survivor) int { return cmp.Compare(a.id, b.id) })
	docs := make([]document, len(live))
	for n, l := range live {
		docs[n] = l.document
		l.src.number[l.old] = int64(n)
	}
	w := x.newSegment(ctx, m.next)
	if err := mergeWords(ctx, sources, w.add); err != nil {
		return err
	}
	if err := w.finish(docs); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	m.segments = slices.DeleteFunc(slices.Clone(m.segments), func(s segmentInfo) bool { return slices.Contains(from, s) })
	m.segments = append(m.segments, segmentInfo{m.next, uint32(len(docs))})
	m.next++
	if err := x.setManifest(ctx, m); err != nil {
		return err
	}
	x.tidy = false
	for _, s := range from {
		if err := x.rows.Delete(ctx, rowKey(s.number, 0, 0)[:4]); err != nil {
			return err
		}
	}
	x.tidy = true
	return nil
}

// mergeWords goes through the words of all sources in order and gives each
// once, with the postings of all.
func mergeWords(ctx context.Context, sources []*mergeSource, add func(word string, list []byte) error) error {
	var h mergeHeap
	for _, s := range sources {
		ok, err := s.next(ctx)
		if err != nil {
			return err
		}
		if ok {
			h = append(h, s)
		}
	}
	heap.Init(&h)
	var list []posting
	var word []byte
	for len(h) > 0 {
		word, list = append(word[:0], h[0].r.word...), list[:0]
		for len(h) > 0 && bytes.Equal(h[0].r.word, word) {
			s := h[0]
			var err error
			if list, err = s.postings(list); err != nil {
				return err
			}
			ok, err := s.next(ctx)
			if err != nil {
				return err
			}
			if ok {
				heap.Fix(&h, 0)
			} else {
				heap.Pop(&h)
			}
		}
		if len(list) == 0 {
			continue // only messages that are gone had it
		}
		slices.SortFunc(list, func(a, b posting) int { return cmp.Compare(a.doc, b.doc) })
		if err := add(string(word), appendPostings(nil, list)); err != nil {
			return err
		}
	}
	return nil
}

// mergeSource reads a segment's words in order.
type mergeSource struct {
	x       *Index
	segment segmentInfo
	blocks  uint32
	number  []int64 // of each document in the merged segment, -1 for one that is gone

	block uint32 // the next to be read
	r     wordReader
	lists []byte // postings of the present block
}

func (s *mergeSource) next(ctx context.Context) (bool, error) {
	for {
		ok, err := s.r.next()
		if ok || err != nil {
			return ok, err
		}
		if s.block == s.blocks {
			return false, nil
		}
		words, err := s.x.must(ctx, rowKey(s.segment.number, kindWords, s.block))
		if err != nil {
			return false, err
		}
		if s.lists, err = s.x.must(ctx, rowKey(s.segment.number, kindPostings, s.block)); err != nil {
			return false, err
		}
		s.r = wordReader{b: words}
		s.block++
	}
}

func (s *mergeSource) postings(into []posting) ([]posting, error) {
	if s.r.offset+s.r.length > len(s.lists) {
		return nil, fmt.Errorf("%w: postings", ErrDamaged)
	}
	var bad error
	err := eachPosting(s.lists[s.r.offset:s.r.offset+s.r.length], func(p posting) {
		if int(p.doc) >= len(s.number) {
			bad = fmt.Errorf("%w: postings", ErrDamaged)
			return
		}
		if n := s.number[p.doc]; n >= 0 {
			into = append(into, posting{uint32(n), p.fields})
		}
	})
	if err == nil {
		err = bad
	}
	return into, err
}

type mergeHeap []*mergeSource

func (h mergeHeap) Len() int           { return len(h) }
func (h mergeHeap) Less(i, j int) bool { return bytes.Compare(h[i].r.word, h[j].r.word) < 0 }
func (h mergeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *mergeHeap) Push(v any)        { *h = append(*h, v.(*mergeSource)) }
func (h *mergeHeap) Pop() any {
	old := *h
	v := old[len(old)-1]
	*h = old[:len(old)-1]
	return v
}
