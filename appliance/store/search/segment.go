package search

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// ErrDamaged means that a row of the index does not read. The index is made
// anew from the mail.
var ErrDamaged = errors.New("search: index is damaged")

// Fields is a set of the places in a message that text comes from.
type Fields uint8

// The fields.
const (
	Body    Fields = 1 << iota // text of the parts, names of attachments
	Subject                    // each decoded, as the other header fields
	From
	To
	Cc
	Bcc
	Header // the header fields that have no mark of their own
)

// AllFields is where IMAP's TEXT looks.
const AllFields = Body | Subject | From | To | Cc | Bcc | Header

const (
	rowVersion = 1
	// wordsPerBlock and postingsPerBlock end a block, bytes before
	// compression: a query reads the words of all blocks, but postings only of
	// those with a match.
	wordsPerBlock    = 16 << 10
	postingsPerBlock = 64 << 10
)

// Row kinds within a segment.
const (
	kindMeta = iota
	kindDocs
	kindWords
	kindPostings
)

const manifestSegment = ^uint32(0)

func rowKey(segment uint32, kind byte, block uint32) []byte {
	k := binary.BigEndian.AppendUint32(nil, segment)
	k = append(k, kind)
	return binary.BigEndian.AppendUint32(k, block)
}

// codec compresses rows. It is safe for concurrent use.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, err
	}
	return &codec{enc, dec}, nil
}

func (c *codec) pack(b []byte) []byte {
	const tooSmall = 64
	if len(b) >= tooSmall {
		if z := c.enc.EncodeAll(b, []byte{rowVersion, 1}); len(z) < len(b) {
			return z
		}
	}
	return append([]byte{rowVersion, 0}, b...)
}

func (c *codec) unpack(row []byte) ([]byte, error) {
	if len(row) < 2 || row[0] != rowVersion {
		return nil, fmt.Errorf("%w: row version", ErrDamaged)
	}
	switch row[1] {
	case 0:
		return row[2:], nil
	case 1:
		b, err := c.dec.DecodeAll(row[2:], nil)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return b, nil
	}
	return nil, fmt.Errorf("%w: compression %d", ErrDamaged, row[1])
}

// posting is one message that has a word.
type posting struct {
	doc    uint32 // number within the segment
	fields Fields
}

func appendPostings(b []byte, list []posting) []byte {
	last := uint32(0)
	for _, p := range list {
		d := uint64(p.doc-last) << 1
		last = p.doc
		if p.fields == Body {
			b = binary.AppendUvarint(b, d)
			continue
		}
		b = binary.AppendUvarint(b, d|1)
		b = append(b, byte(p.fields))
	}
	return b
}

func eachPosting(b []byte, fn func(posting)) error {
	doc := uint64(0)
	for len(b) > 0 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return fmt.Errorf("%w: postings", ErrDamaged)
		}
		b = b[n:]
		doc += v >> 1
		f := Body
		if v&1 != 0 {
			if len(b) == 0 {
				return fmt.Errorf("%w: postings", ErrDamaged)
			}
			f, b = Fields(b[0]), b[1:]
		}
		if doc > 1<<31 {
			return fmt.Errorf("%w: postings", ErrDamaged)
		}
		fn(posting{uint32(doc), f})
	}
	return nil
}

// meta is the head of a segment.
type meta struct {
	docs   uint32
	blocks uint32
}

func (m meta) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(m.docs))
	return binary.AppendUvarint(b, uint64(m.blocks))
}

func decodeMeta(b []byte) (meta, error) {
	docs, n := binary.Uvarint(b)
	if n <= 0 || docs > 1<<31 {
		return meta{}, fmt.Errorf("%w: segment head", ErrDamaged)
	}
	blocks, n2 := binary.Uvarint(b[n:])
	if n2 <= 0 || blocks > 1<<31 {
		return meta{}, fmt.Errorf("%w: segment head", ErrDamaged)
	}
	return meta{uint32(docs), uint32(blocks)}, nil
}

// document is a message in a segment.
type document struct {
	id         uint64
	incomplete bool // it has text that is not in the index
}

func encodeDocs(docs []document) []byte {
	var b []byte
	last := uint64(0)
	for _, d := range docs {
		v := (d.id - last) << 1
		last = d.id
		if d.incomplete {
			v |= 1
		}
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func decodeDocs(b []byte, n uint32) ([]document, error) {
	docs := make([]document, 0, min(n, 1<<20))
	id := uint64(0)
	for len(b) > 0 {
		v, k := binary.Uvarint(b)
		if k <= 0 {
			break
		}
		b = b[k:]
		id += v >> 1
		docs = append(docs, document{id, v&1 != 0})
	}
	if len(b) > 0 || len(docs) != int(n) {
		return nil, fmt.Errorf("%w: documents", ErrDamaged)
	}
	return docs, nil
}

// segmentWriter makes the rows of a segment from words in ascending order.
type segmentWriter struct {
	c        *codec
	segment  uint32
	put      func(key, row []byte) error
	words    []byte
	postings []byte
	last     []byte
	blocks   uint32
}

func (w *segmentWriter) add(word string, list []byte) error {
	shared := 0
	for shared < len(w.last) && shared < len(word) && w.last[shared] == word[shared] {
		shared++
	}
	w.words = binary.AppendUvarint(w.words, uint64(shared))
	w.words = binary.AppendUvarint(w.words, uint64(len(word)-shared))
	w.words = append(w.words, word[shared:]...)
	w.words = binary.AppendUvarint(w.words, uint64(len(list)))
	w.postings = append(w.postings, list...)
	w.last = append(w.last[:0], word...)
	if len(w.words) >= wordsPerBlock || len(w.postings) >= postingsPerBlock {
		return w.endBlock()
	}
	return nil
}

func (w *segmentWriter) endBlock() error {
	if len(w.words) == 0 {
		return nil
	}
	if err := w.put(rowKey(w.segment, kindWords, w.blocks), w.c.pack(w.words)); err != nil {
		return err
	}
	if err := w.put(rowKey(w.segment, kindPostings, w.blocks), w.c.pack(w.postings)); err != nil {
		return err
	}
	w.words, w.postings, w.last = w.words[:0], w.postings[:0], w.last[:0]
	w.blocks++
	return nil
}

// finish writes the head; without it the segment does not exist.
func (w *segmentWriter) finish(docs []document) error {
	if err := w.endBlock(); err != nil {
		return err
	}
	if err := w.put(rowKey(w.segment, kindDocs, 0), w.c.pack(encodeDocs(docs))); err != nil {
		return err
	}
	return w.put(rowKey(w.segment, kindMeta, 0), w.c.pack(meta{uint32(len(docs)), w.blocks}.encode()))
}

// wordReader goes through the words of one block.
type wordReader struct {
	b      []byte
	word   []byte
	offset int // of the word's postings in the block
	length int
}

// next moves to the next word; false at the end of the block.
func (r *wordReader) next() (bool, error) {
	if len(r.b) == 0 {
		return false, nil
	}
	var v [3]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(r.b); n <= 0 {
			return false, fmt.Errorf("%w: words", ErrDamaged)
		}
		r.b = r.b[n:]
		if i == 1 {
			if v[0] > uint64(len(r.word)) || v[1] > uint64(len(r.b)) {
				return false, fmt.Errorf("%w: words", ErrDamaged)
			}
			r.word = append(r.word[:v[0]], r.b[:v[1]]...)
			r.b = r.b[v[1]:]
		}
	}
	if v[2] > 1<<31 {
		return false, fmt.Errorf("%w: words", ErrDamaged)
	}
	r.offset += r.length
	r.length = int(v[2])
	return true, nil
}

// set is a set of a segment's documents.
type set []uint64

func newSet(n uint32) set { return make(set, (n+63)/64) }

func (s set) add(n uint32) {
	if int(n/64) < len(s) {
		s[n/64] |= 1 << (n % 64)
	}
}

func (s set) has(n uint32) bool { return s[n/64]&(1<<(n%64)) != 0 }

func (s set) and(o set) {
	for i := range s {
		s[i] &= o[i]
	}
}

func sortedWords(m map[string][]posting) []string {
	words := make([]string, 0, len(m))
	for w := range m {
		words = append(words, w)
	}
	slices.Sort(words)
	return words
}
