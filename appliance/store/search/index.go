package search

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Rows keeps the rows of one account's index. Keys are relative to it.
type Rows interface {
	// Get answers a row's value, nil where there is none. The bytes are the caller's.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Put keeps rows, durably once it returns; a list need not be atomic.
	Put(ctx context.Context, rows []Row) error
	// Delete removes all rows whose key begins so.
	Delete(ctx context.Context, prefix []byte) error
	// Next answers the first key that is not less than key, nil where there is none.
	Next(ctx context.Context, key []byte) ([]byte, error)
}

// Row is a row to be kept.
type Row struct{ Key, Value []byte }

// Index is the index of one account. It is safe for concurrent use; changes
// wait for each other.
type Index struct {
	rows Rows
	c    *codec

	change sync.Mutex   // held by Apply, Compact and Drop
	tidy   bool         // there are no rows but those of the manifest's segments
	mu     sync.RWMutex // guards m and loaded
	m      manifest
	loaded bool
}

// Open makes an index on rows. Nothing is read before it is needed.
func Open(rows Rows) (*Index, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &Index{rows: rows, c: c}, nil
}

// manifest names the segments that count.
type manifest struct {
	next      uint32
	watermark uint64
	segments  []segmentInfo // by number
}

type segmentInfo struct {
	number, docs uint32
}

func (m manifest) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(m.next))
	b = binary.AppendUvarint(b, m.watermark)
	b = binary.AppendUvarint(b, uint64(len(m.segments)))
	for _, s := range m.segments {
		b = binary.AppendUvarint(b, uint64(s.number))
		b = binary.AppendUvarint(b, uint64(s.docs))
	}
	return b
}

func decodeManifest(b []byte) (manifest, error) {
	bad := fmt.Errorf("%w: manifest", ErrDamaged)
	var v []uint64
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			return manifest{}, bad
		}
		v, b = append(v, n), b[k:]
	}
	if len(v) < 3 || v[0] >= uint64(manifestSegment) || uint64(len(v)-3) != 2*v[2] {
		return manifest{}, bad
	}
	m := manifest{next: uint32(v[0]), watermark: v[1]}
	for i := 3; i < len(v); i += 2 {
		if v[i] >= v[0] || v[i+1] > 1<<31 {
			return manifest{}, bad
		}
		m.segments = append(m.segments, segmentInfo{uint32(v[i]), uint32(v[i+1])})
	}
	return m, nil
}

func manifestKey() []byte { return rowKey(manifestSegment, kindMeta, 0) }

func (x *Index) manifest(ctx context.Context) (manifest, error) {
	x.mu.RLock()
	m, ok := x.m, x.loaded
	x.mu.RUnlock()
	if ok {
		return m, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.loaded {
		return x.m, nil
	}
	b, err := x.row(ctx, manifestKey())
	if err != nil {
		return manifest{}, err
	}
	if b != nil {
		if x.m, err = decodeManifest(b); err != nil {
			return manifest{}, err
		}
	}
	x.loaded = true
	return x.m, nil
}

func (x *Index) setManifest(ctx context.Context, m manifest) error {
	if err := x.rows.Put(ctx, []Row{{manifestKey(), x.c.pack(m.encode())}}); err != nil {
		return err
	}
	x.mu.Lock()
	x.m, x.loaded = m, true
	x.mu.Unlock()
	return nil
}

// tidyUp removes the rows of segments that the manifest does not name: those of
// a merge or of a batch that was cut short.
func (x *Index) tidyUp(ctx context.Context, m manifest) error {
	for from := rowKey(0, 0, 0)[:4]; ; {
		k, err := x.rows.Next(ctx, from)
		if err != nil || len(k) < 4 {
			return err
		}
		n := binary.BigEndian.Uint32(k)
		if n == manifestSegment {
			return nil
		}
		if !slices.ContainsFunc(m.segments, func(s segmentInfo) bool { return s.number == n }) {
			if err := x.rows.Delete(ctx, k[:4]); err != nil {
				return err
			}
		}
		from = rowKey(n+1, 0, 0)[:4]
	}
}

// row reads a row unpacked, nil where there is none.
func (x *Index) row(ctx context.Context, key []byte) ([]byte, error) {
	raw, err := x.rows.Get(ctx, key)
	if err != nil || raw == nil {
		return nil, err
	}
	return x.c.unpack(raw)
}

// must reads a row that has to be there.
func (x *Index) must(ctx context.Context, key []byte) ([]byte, error) {
	b, err := x.row(ctx, key)
	if err == nil && b == nil {
		err = fmt.Errorf("%w: a row is missing", ErrDamaged)
	}
	return b, err
}

// Watermark is the highest document id that is indexed; all below it that
// exist are indexed as well.
func (x *Index) Watermark(ctx context.Context) (uint64, error) {
	m, err := x.manifest(ctx)
	return m.watermark, err
}

// ErrOrder means that a batch does not follow the watermark.
var ErrOrder = errors.New("search: documents must come in the order of their ids")

// Apply adds a batch to the index and moves the watermark to upTo, which is
// at least the batch's last id. An empty batch moves the watermark alone.
func (x *Index) Apply(ctx context.Context, b *Batch, upTo uint64) error {
	x.change.Lock()
	defer x.change.Unlock()
	m, err := x.manifest(ctx)
	if err != nil {
		return err
	}
	m.segments = slices.Clone(m.segments)
	if len(b.docs) > 0 {
		if b.docs[0].id <= m.watermark || b.docs[len(b.docs)-1].id > upTo {
			return fmt.Errorf("%w: watermark %d, batch %d to %d, to be %d", ErrOrder, m.watermark, b.docs[0].id, b.docs[len(b.docs)-1].id, upTo)
		}
		w := x.newSegment(ctx, m.next)
		for _, word := range sortedWords(b.words) {
			if err := w.add(word, appendPostings(nil, b.words[word])); err != nil {
				return err
			}
		}
		if err := w.finish(b.docs); err != nil {
			return err
		}
		if err := w.flush(); err != nil {
			return err
		}
		m.segments = append(m.segments, segmentInfo{m.next, uint32(len(b.docs))})
		m.next++
	}
	m.watermark = upTo
	return x.setManifest(ctx, m)
}

// rowBuffer gathers rows so that they are kept several at a time.
type rowBuffer struct {
	*segmentWriter
	ctx   context.Context
	rows  Rows
	list  []Row
	bytes int
}

const flushRows = 1 << 20 // bytes

func (x *Index) newSegment(ctx context.Context, number uint32) *rowBuffer {
	b := &rowBuffer{ctx: ctx, rows: x.rows}
	b.segmentWriter = &segmentWriter{c: x.c, segment: number, put: func(key, row []byte) error {
		b.list = append(b.list, Row{key, row})
		if b.bytes += len(row); b.bytes >= flushRows {
			return b.flush()
		}
		return nil
	}}
	return b
}

func (b *rowBuffer) flush() error {
	if len(b.list) == 0 {
		return nil
	}
	err := b.rows.Put(b.ctx, b.list)
	b.list, b.bytes = nil, 0
	return err
}

// Drop empties the index, as before it is made anew.
func (x *Index) Drop(ctx context.Context) error {
	x.change.Lock()
	defer x.change.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.rows.Delete(ctx, nil); err != nil {
		return err
	}
	x.m, x.loaded = manifest{}, true
	return nil
}

// Hits answers a query about documents up to the watermark.
type Hits struct {
	// Watermark: documents after it are undecided.
	Watermark uint64
	// Sure have the text. Maybe may have it: their text decides. Both
	// ascending, no id in both. A document up to the watermark in neither does
	// not have it.
	Sure, Maybe []uint64
}

// Search finds the documents that have needle as a substring in one of the
// fields, both folded. An empty needle is in every document.
func (x *Index) Search(ctx context.Context, needle string, in Fields) (Hits, error) {
	// A merge may remove a segment while it is read: then the manifest has
	// changed, and the query begins anew.
	for {
		m, err := x.manifest(ctx)
		if err != nil {
			return Hits{}, err
		}
		h, err := x.search(ctx, m, needle, in)
		if errors.Is(err, ErrDamaged) {
			now, err2 := x.manifest(ctx)
			if err2 == nil && !slices.Equal(now.segments, m.segments) {
				continue
			}
		}
		return h, err
	}
}

func (x *Index) search(ctx context.Context, m manifest, needle string, in Fields) (Hits, error) {
	h := Hits{Watermark: m.watermark}
	parts, exact := plan(needle)
	for _, s := range m.segments {
		if err := ctx.Err(); err != nil {
			return Hits{}, err
		}
		docs, err := x.docs(ctx, s)
		if err != nil {
			return Hits{}, err
		}
		found := newSet(s.docs)
		if len(parts) == 0 {
			for i := range s.docs {
				found.add(i)
			}
		} else if found, err = x.searchSegment(ctx, s, parts, in); err != nil {
			return Hits{}, err
		}
		for i, d := range docs {
			switch has := found.has(uint32(i)); {
			case needle == "", has && exact:
				h.Sure = append(h.Sure, d.id)
			case has, d.incomplete:
				h.Maybe = append(h.Maybe, d.id)
			}
		}
	}
	slices.Sort(h.Sure)
	slices.Sort(h.Maybe)
	return h, nil
}

func (x *Index) docs(ctx context.Context, s segmentInfo) ([]document, error) {
	b, err := x.must(ctx, rowKey(s.number, kindDocs, 0))
	if err != nil {
		return nil, err
	}
	return decodeDocs(b, s.docs)
}

func (x *Index) meta(ctx context.Context, s segmentInfo) (meta, error) {
	b, err := x.must(ctx, rowKey(s.number, kindMeta, 0))
	if err != nil {
		return meta{}, err
	}
	return decodeMeta(b)
}

// searchSegment finds the documents that have a matching word for every part.
func (x *Index) searchSegment(ctx context.Context, s segmentInfo, parts []part, in Fields) (set, error) {
	head, err := x.meta(ctx, s)
	if err != nil {
		return nil, err
	}
	sets := make([]set, len(parts))
	for i := range sets {
		sets[i] = newSet(s.docs)
	}
	for block := range head.blocks {
		words, err := x.must(ctx, rowKey(s.number, kindWords, block))
		if err != nil {
			return nil, err
		}
		var postings []byte
		r := wordReader{b: words}
		for {
			ok, err := r.next()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			for i, p := range parts {
				if !p.matches(r.word) {
					continue
				}
				if postings == nil {
					if postings, err = x.must(ctx, rowKey(s.number, kindPostings, block)); err != nil {
						return nil, err
					}
				}
				if r.offset+r.length > len(postings) {
					return nil, fmt.Errorf("%w: postings", ErrDamaged)
				}
				if err := eachPosting(postings[r.offset:r.offset+r.length], func(q posting) {
					if q.fields&in != 0 {
						sets[i].add(q.doc)
					}
				}); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, o := range sets[1:] {
		sets[0].and(o)
	}
	return sets[0], nil
}
