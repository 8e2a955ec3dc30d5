package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Fetch gets the row of chunk n and calls fn with it; the row is valid only
// during the call. A row that is missing is an error of fn's caller.
type Fetch func(ctx context.Context, n int, fn func(row []byte) error) error

// Reader reads a body, keeping one chunk in memory. It is for one goroutine
// at a time.
type Reader struct {
	ctx   context.Context
	codec *Codec
	meta  Meta
	fetch Fetch

	off   int64
	cur   int // number of the chunk in buf, -1 none
	start int64
	buf   []byte
	lent  *[]byte // what chunks are unpacked into, given back by Close

	hash   hash.Hash // of the bytes read from the start, nil once a read skipped
	hashed int64

	// tail holds what no row has yet: a body that is still being written.
	tail     []byte
	tailBase int64
	partial  bool
}

// NewReader makes a reader of a finished body.
func NewReader(ctx context.Context, c *Codec, m Meta, fetch Fetch) *Reader {
	return &Reader{ctx: ctx, codec: c, meta: m, fetch: fetch, cur: -1, hash: sha256.New()}
}

// NewTailReader makes a reader of a body that is still being written: its
// bytes from base on are tail, the others are in rows.
func NewTailReader(ctx context.Context, c *Codec, m Meta, base int64, tail []byte, fetch Fetch) *Reader {
	return &Reader{ctx: ctx, codec: c, meta: m, fetch: fetch, cur: -1, tail: tail, tailBase: base, partial: true}
}

// Size is the body's length in bytes.
func (r *Reader) Size() int64 { return r.meta.Size }

// load makes buf the chunk that holds the byte at off.
func (r *Reader) load(off int64) error {
	if r.partial && off >= r.tailBase {
		r.cur, r.start, r.buf = -2, r.tailBase, r.tail
		return nil
	}
	n, start, size := r.meta.locate(off)
	if n == r.cur {
		return nil
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.lent == nil {
		r.lent = r.codec.buffer()
	}
	r.cur = -1
	err := r.fetch(r.ctx, n, func(row []byte) error {
		p, err := r.codec.Unpack((*r.lent)[:0], row, size)
		if err != nil {
			return err
		}
		*r.lent, r.buf = p, p
		return nil
	})
	if err != nil {
		return fmt.Errorf("chunk %d: %w", n, err)
	}
	r.cur, r.start = n, start
	return nil
}

// ReadAt reads at an offset without moving the reader.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("blob: negative offset")
	}
	done := 0
	for done < len(p) {
		if off >= r.meta.Size {
			return done, io.EOF
		}
		if err := r.load(off); err != nil {
			return done, err
		}
		n := copy(p[done:], r.buf[off-r.start:])
		done, off = done+n, off+int64(n)
	}
	return done, nil
}

// Read reads on from where the reader stands. Having read the whole from its
// first byte, it answers ErrDamaged in place of io.EOF where the body's
// SHA-256 is not the one it was stored with.
func (r *Reader) Read(p []byte) (int, error) {
	if r.off >= r.meta.Size {
		if r.hash != nil && r.hashed == r.meta.Size {
			h := r.hash
			r.hash = nil
			if [sha256.Size]byte(h.Sum(nil)) != r.meta.SHA256 {
				return 0, fmt.Errorf("%w: body does not match its hash", ErrDamaged)
			}
		}
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.load(r.off); err != nil {
		return 0, err
	}
	n := copy(p, r.buf[r.off-r.start:])
	if r.hash != nil && r.off == r.hashed {
		r.hash.Write(p[:n])
		r.hashed += int64(n)
	}
	r.off += int64(n)
	return n, nil
}

// WriteTo writes what is left to w, a chunk at a time.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var done int64
	for r.off < r.meta.Size {
		if err := r.load(r.off); err != nil {
			return done, err
		}
		p := r.buf[r.off-r.start:]
		n, err := w.Write(p)
		if r.hash != nil && r.off == r.hashed {
			r.hash.Write(p[:n])
			r.hashed += int64(n)
		}
		r.off += int64(n)
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	if _, err := r.Read(nil); err != io.EOF {
		return done, err
	}
	return done, nil
}

// Seek moves the reader.
func (r *Reader) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += r.off
	case io.SeekEnd:
		off += r.meta.Size
	case io.SeekStart:
	default:
		return 0, errors.New("blob: bad whence")
	}
	if off < 0 {
		return 0, errors.New("blob: negative offset")
	}
	r.off = off
	return off, nil
}

// Close ends the reading.
func (r *Reader) Close() error {
	if r.lent != nil {
		r.codec.buffers.Put(r.lent)
	}
	r.lent, r.buf, r.tail, r.cur = nil, nil, nil, -1
	return nil
}
