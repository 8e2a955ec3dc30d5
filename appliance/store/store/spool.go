package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"pillarbox/appliance/store/blob"
)

// Body is a stored body open for reading; safe for one reader at a time.
type Body interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
	Size() int64
}

// inlineMax is how much of a body may wait in memory for its delivery, in
// bytes as kept: it then becomes durable with the delivery's own sync.
const inlineMax = 512 << 10

// chunkRow is one chunk of a body on its way into the store.
type chunkRow struct {
	N   int
	Row []byte
}

// Spool starts a new body. Write the message to it, then pass it in a
// Delivery; Abort (safe after delivery) drops what was not delivered. Bytes
// are compressed and on disk as they come: memory stays bounded. A body that
// was refused (ErrOverQuota for one of many, say) can be delivered again.
func (s *Store) Spool(ctx context.Context) (*SpooledBody, error) {
	if err := s.Accepting(); err != nil {
		return nil, err
	}
	b := &SpooledBody{s: s, ctx: ctx, id: BlobID(s.lastBlob.Add(1))}
	b.w = blob.NewWriter(s.codec, b.put)
	return b, nil
}

// SpooledBody is a body being written. It is not for concurrent use.
type SpooledBody struct {
	s   *Store
	ctx context.Context
	id  BlobID
	w   *blob.Writer

	inline     []chunkRow // rows that wait in memory
	inlineSize int
	written    int            // rows that are in the store under a pending row
	last       <-chan outcome // of the row handed over last
	lost       error          // a row was refused: the body is not whole, and never will be
	pending    bool
	delivered  bool
	aborted    bool
}

// Write appends to the body.
func (b *SpooledBody) Write(p []byte) (int, error) {
	if b.aborted || b.delivered {
		return 0, errors.New("store: body is closed")
	}
	return b.w.Write(p)
}

// Size is the number of bytes written so far.
func (b *SpooledBody) Size() int64 { return b.w.Size() }

// Sum is the SHA-256 of the bytes written so far.
func (b *SpooledBody) Sum() [32]byte { return b.w.Sum() }

// put takes a chunk row: the first ones are kept for the delivery, and once
// there is more than that, all go to the store under a pending row.
func (b *SpooledBody) put(n int, row []byte) error {
	b.inline = append(b.inline, chunkRow{n, row})
	b.inlineSize += len(row)
	if b.inlineSize <= inlineMax {
		return nil
	}
	return b.spill()
}

// spill hands the rows in memory over. The one handed over before must be
// durable first: at most this and the next are in memory.
func (b *SpooledBody) spill() error {
	if err := b.wait(); err != nil {
		return err
	}
	last, err := b.s.submitAsync(b.ctx, chunkOp{b.id, b.inline, b.s.now()})
	if err != nil {
		return err
	}
	b.last, b.pending = last, true
	b.written += len(b.inline)
	b.inline, b.inlineSize = nil, 0
	return nil
}

// wait waits for the rows handed over last.
func (b *SpooledBody) wait() error {
	if b.last != nil {
		b.lost = (<-b.last).err
		b.last = nil
	}
	return b.lost
}

// chunkOp writes chunks of a body nobody refers to yet.
type chunkOp struct {
	Blob   BlobID
	Chunks []chunkRow
	At     time.Time
}

func (o chunkOp) apply(st *stage) (any, error) {
	st.global.LastBlob = max(st.global.LastBlob, o.Blob)
	st.put(keyPending(o.Blob), appendTime([]byte{recordVersion}, o.At))
	for _, c := range o.Chunks {
		st.put(keyChunk(o.Blob, c.N), c.Row)
	}
	return nil, nil
}

// finish ends the writing.
func (b *SpooledBody) finish() (blob.Meta, error) {
	m, err := b.w.Finish()
	if err != nil {
		return m, err
	}
	return m, b.wait()
}

// Reader reads what was written, before delivery too (checks and filters).
func (b *SpooledBody) Reader(ctx context.Context) (Body, error) {
	if b.aborted {
		return nil, errors.New("store: body is closed")
	}
	if err := b.wait(); err != nil {
		return nil, err
	}
	rows := b.inline
	base, tail := b.w.Tail()
	tail = bytes.Clone(tail)
	return &body{blob.NewTailReader(ctx, b.s.codec, b.w.Meta(), base, tail,
		func(ctx context.Context, n int, fn func([]byte) error) error {
			for _, r := range rows {
				if r.N == n {
					return fn(r.Row)
				}
			}
			return b.s.fetchChunk(b.id, n, fn)
		})}, nil
}

// Abort drops the body unless it was delivered.
func (b *SpooledBody) Abort() {
	if b.delivered || b.aborted {
		return
	}
	b.aborted = true
	b.inline = nil
	if !b.pending {
		return
	}
	_ = b.wait() // what could not be written need not be dropped
	if _, err := b.s.submit(context.WithoutCancel(b.ctx), dropPendingOp{b.id}); err != nil {
		b.s.abandoned.add(b.id) // the keeper tries again, and so does the next start
	}
}

// dropPendingOp removes a body that was never delivered.
type dropPendingOp struct{ Blob BlobID }

func (o dropPendingOp) apply(st *stage) (any, error) {
	if v, err := st.get(keyPending(o.Blob)); v == nil || err != nil {
		return nil, err
	}
	st.del(keyPending(o.Blob))
	return nil, st.dropChunks(o.Blob)
}

// dropChunks removes all chunks of a body.
func (s *stage) dropChunks(id BlobID) error {
	return s.scanKeys(key(tableChunk, uint64(id)), func(k []byte) error {
		s.del(k)
		return nil
	})
}

// OpenBody opens a body by id. Damage shows as ErrDamaged when the bad part is read.
func (s *Store) OpenBody(ctx context.Context, id BlobID) (Body, error) {
	m, err := s.bodyMeta(id)
	if err != nil {
		return nil, err
	}
	return s.bodyOf(ctx, id, m), nil
}

// bodyOf opens a body of which the record is known.
func (s *Store) bodyOf(ctx context.Context, id BlobID, m blob.Meta) Body {
	return &body{blob.NewReader(ctx, s.codec, m, func(_ context.Context, n int, fn func([]byte) error) error {
		return s.fetchChunk(id, n, fn)
	})}
}

func (s *Store) bodyMeta(id BlobID) (m blob.Meta, err error) {
	v := s.view()
	defer v.close()
	err = v.get(keyBlob(id), func(val []byte) (err error) {
		m, err = blob.ParseMeta(val)
		return asStoreError(err)
	})
	return m, err
}

var errNoChunk = fmt.Errorf("%w: chunk is missing", ErrDamaged)

// fetchChunk reads a chunk row as of now: rows of a body never change.
func (s *Store) fetchChunk(id BlobID, n int, fn func([]byte) error) error {
	v := s.view()
	defer v.close()
	err := v.get(keyChunk(id, n), fn)
	if errors.Is(err, ErrNotFound) {
		return errNoChunk
	}
	return err
}

// body makes the blob package's errors the store's.
type body struct{ r *blob.Reader }

func (b *body) Size() int64 { return b.r.Size() }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	return n, asStoreError(err)
}

func (b *body) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.r.ReadAt(p, off)
	return n, asStoreError(err)
}

func (b *body) WriteTo(w io.Writer) (int64, error) {
	n, err := b.r.WriteTo(w)
	return n, asStoreError(err)
}

func (b *body) Seek(off int64, whence int) (int64, error) { return b.r.Seek(off, whence) }

func (b *body) Close() error { return b.r.Close() }

func asStoreError(err error) error {
	switch {
	case errors.Is(err, blob.ErrDamaged):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case errors.Is(err, blob.ErrNewer):
		return fmt.Errorf("%w: %w", ErrNewerStore, err)
	}
	return err
}
