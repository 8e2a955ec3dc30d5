package search

import (
	"bytes"
	"context"
	"fmt"
	"slices"
)

// Check reads the index through and gives its watermark and the documents it
// has, ascending; ErrDamaged where a row is missing or contradicts another.
// Words and their postings, most of the index, it reads only where deep is set.
// Changes wait for it.
func (x *Index) Check(ctx context.Context, deep bool) (watermark uint64, ids []uint64, err error) {
	x.change.Lock()
	defer x.change.Unlock()
	m, err := x.manifest(ctx)
	if err != nil {
		return 0, nil, err
	}
	for _, s := range m.segments {
		docs, err := x.docs(ctx, s)
		if err != nil {
			return 0, nil, err
		}
		for _, d := range docs {
			ids = append(ids, d.id)
		}
		head, err := x.meta(ctx, s)
		if err == nil && head.docs != s.docs {
			err = fmt.Errorf("%w: segment head", ErrDamaged)
		}
		for block := uint32(0); deep && err == nil && block < head.blocks; block++ {
			err = x.checkBlock(ctx, s, block)
		}
		if err != nil {
			return 0, nil, err
		}
	}
	slices.Sort(ids)
	if n := len(ids); n > 0 && ids[n-1] > m.watermark {
		return 0, nil, fmt.Errorf("%w: document beyond the watermark", ErrDamaged)
	}
	if n := len(ids); len(slices.Compact(slices.Clone(ids))) != n {
		return 0, nil, fmt.Errorf("%w: document in two segments", ErrDamaged)
	}
	return m.watermark, ids, nil
}

// checkBlock sees that the words of a block are in order and that their
// postings name documents of the segment.
func (x *Index) checkBlock(ctx context.Context, s segmentInfo, block uint32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	words, err := x.must(ctx, rowKey(s.number, kindWords, block))
	if err != nil {
		return err
	}
	postings, err := x.must(ctx, rowKey(s.number, kindPostings, block))
	if err != nil {
		return err
	}
	r := wordReader{b: words}
	var last []byte
	for {
		ok, err := r.next()
		if err != nil {
			return err
		}
		end := r.offset + r.length
		if !ok {
			if end != len(postings) {
				return fmt.Errorf("%w: postings without a word", ErrDamaged)
			}
			return nil
		}
		if bytes.Compare(last, r.word) >= 0 || end > len(postings) {
			return fmt.Errorf("%w: words", ErrDamaged)
		}
		last = append(last[:0], r.word...)
		outside := false
		err = eachPosting(postings[r.offset:end], func(p posting) { outside = outside || p.doc >= s.docs })
		if err != nil {
			return err
		}
		if outside {
			return fmt.Errorf("%w: postings", ErrDamaged)
		}
	}
}
