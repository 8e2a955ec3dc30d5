package blob

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
)

// Writer cuts a body into chunk rows as it comes. It holds at most one chunk
// and a header block in memory. It is not for concurrent use.
type Writer struct {
	codec *Codec
	put   func(n int, row []byte) error

	buf  []byte // what has not been put yet; lies in *lent
	lent *[]byte
	base int64 // offset of buf[0] in the body
	hash hash.Hash
	meta Meta
	head []byte // chunk 0 as written
	next int    // number of the next chunk; 0 until the header block was cut off
	done bool
	err  error
}

var errFinished = errors.New("blob: body is finished")

// NewWriter makes a writer that hands each row to put as soon as its chunk is full.
func NewWriter(c *Codec, put func(n int, row []byte) error) *Writer {
	return &Writer{codec: c, put: put, hash: sha256.New(), meta: Meta{Chunk: ChunkSize}}
}

// Write appends to the body.
func (w *Writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, errFinished
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.lent == nil {
		w.lent = w.codec.buffer()
		w.buf = *w.lent
	}
	written := 0
	for len(p) > 0 {
		n := min(len(p), ChunkSize-len(w.buf))
		w.hash.Write(p[:n])
		w.buf = append(w.buf, p[:n]...)
		w.meta.Size += int64(n)
		written, p = written+n, p[n:]
		if len(w.buf) == ChunkSize {
			if w.err = w.flush(); w.err != nil {
				return written, w.err
			}
		}
	}
	return written, nil
}

// Size is how many bytes were written.
func (w *Writer) Size() int64 { return w.meta.Size }

// Sum is the SHA-256 of what was written.
func (w *Writer) Sum() (sum [sha256.Size]byte) {
	w.hash.Sum(sum[:0])
	return sum
}

// flush puts a full buffer; of the first one the header block goes by itself
// and what is left waits for the chunk to fill up.
func (w *Writer) flush() error {
	if w.next == 0 {
		return w.cutHead()
	}
	if err := w.put(w.next, w.codec.Pack(w.buf)); err != nil {
		return err
	}
	w.next++
	w.base += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// cutHead puts the header block.
func (w *Writer) cutHead() error {
	n := HeadEnd(w.buf)
	if n > 0 {
		if err := w.put(0, w.codec.Pack(w.buf[:n])); err != nil {
			return err
		}
		w.head = bytes.Clone(w.buf[:n])
	}
	w.meta.Head = n
	w.next = 1
	w.base = int64(n)
	w.buf = w.buf[:copy(w.buf, w.buf[n:])]
	return nil
}

// Finish puts what is left and answers the body's Meta. It may be called again.
func (w *Writer) Finish() (Meta, error) {
	if w.done || w.err != nil {
		return w.meta, w.err
	}
	if w.next == 0 {
		if w.err = w.cutHead(); w.err != nil {
			return w.meta, w.err
		}
	}
	if len(w.buf) > 0 {
		if w.err = w.flush(); w.err != nil {
			return w.meta, w.err
		}
	}
	w.hash.Sum(w.meta.SHA256[:0])
	if w.lent != nil {
		*w.lent = w.buf
		w.codec.buffers.Put(w.lent)
		w.lent = nil
	}
	w.buf = nil
	w.done = true
	return w.meta, nil
}

// Head is the header block with its blank line once it has been cut off.
func (w *Writer) Head() []byte { return w.head }

// Tail is what no row holds yet, and where in the body it begins. It is valid
// until the next Write.
func (w *Writer) Tail() (base int64, p []byte) { return w.base, w.buf }

// Meta describes what was written so far; its SHA256 holds after Finish only.
func (w *Writer) Meta() Meta { return w.meta }

// HeadEnd finds where the header block of a message ends, its blank line
// included: the whole where there is no blank line, at most HeadMax, and 0
// where the message begins with the blank line.
func HeadEnd(p []byte) int {
	if len(p) > HeadMax {
		p = p[:HeadMax]
	}
	at := 0
	for at < len(p) {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			break
		}
		line := p[at : at+i]
		at += i + 1
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			if at <= 2 {
				return 0
			}
			return at
		}
	}
	return len(p)
}
