package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"pillarbox/appliance/store/blob"
)

const (
	// pageBytes and pageBodies bound a page of Bodies: what is read and unpacked
	// in one go. With two pages a caller holds three quarters of a megabyte of
	// usual mail, and 1.3 of such as cannot be packed.
	pageBytes  = 256 << 10
	pageBodies = 128

	// smallBody is the largest body that is unpacked into a page. A larger one
	// takes so long that it may as well be read a chunk at a time.
	smallBody = 64 << 10

	// unpackShare is how many bodies are worth another processor.
	unpackShare = 8

	// packMargin lies behind the room of each body: zstd unpacks faster where it
	// may write a little too far.
	packMargin = 32
)

// Bodies opens bodies one after the other and calls fn with each, which may use
// it during the call, or with why it cannot be opened. It ends with fn's error.
//
// A client that fetches a whole mailbox waits for its small messages to be found
// and unpacked. So they are read a page at a time, the rows of neighbours
// together, and unpacked on all processors, the next page while fn has this one.
func (s *Store) Bodies(ctx context.Context, ids []BlobID, fn func(i int, b Body, err error) error) error {
	reading, cancel := context.WithCancel(ctx)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	full, free := make(chan *bodyPage), make(chan *bodyPage, 2)
	free <- &bodyPage{}
	free <- &bodyPage{}
	reader.Go(func() {
		defer close(full)
		for rest := ids; len(rest) > 0; {
			var p *bodyPage
			select {
			case p = <-free:
			case <-reading.Done():
				return
			}
			p.read(s, rest)
			rest = rest[len(p.bodies):]
			select {
			case full <- p:
			case <-reading.Done():
				return
			}
			if p.err != nil {
				return
			}
		}
	})
	i := 0
	for p := range full {
		for n := range p.bodies {
			body, err := p.bodies[n].open(ctx, s)
			if err := fn(i, body, err); err != nil {
				return err
			}
			i++
		}
		if p.err != nil {
			return p.err
		}
		free <- p
	}
	return ctx.Err()
}

// bodyPage is some bodies, one after the other.
type bodyPage struct {
	bodies []pageBody
	rows   []byte // the small ones' chunk rows
	room   int    // what data has to hold
	data   []byte // and the small ones themselves
	err    error  // the store could not be read any further
}

type pageBody struct {
	id     BlobID
	meta   blob.Meta
	chunks []pageChunk // of a small body
	at     int         // where in data it goes
	whole  []byte      // once it is there
	err    error
}

// pageChunk is a chunk's row in rows, and the size of what is in it.
type pageChunk struct{ from, to, size int }

// read reads as many bodies as a page takes. It unpacks them before it lets go of
// the store, which closes the codec when it is closed.
func (p *bodyPage) read(s *Store, ids []BlobID) {
	p.bodies, p.rows, p.room = p.bodies[:0], p.rows[:0], 0
	v := s.view()
	defer v.close()
	p.err = v.txn(func(t *badger.Txn) error {
		p.readRows(t, ids)
		p.unpack(s.codec)
		return nil
	})
}

func (p *bodyPage) readRows(t *badger.Txn, ids []BlobID) {
	metas, chunks := newRowWalk(t, tableBlob), newRowWalk(t, tableChunk)
	defer metas.close()
	defer chunks.close()
	for _, id := range ids[:min(len(ids), pageBodies)] {
		if p.room >= pageBytes {
			return
		}
		b := pageBody{id: id, at: p.room}
		b.err = metas.get(keyBlob(id), func(val []byte) (err error) {
			b.meta, err = blob.ParseMeta(val)
			return asStoreError(err)
		})
		if b.err == nil && b.meta.Size <= smallBody {
			b.err = p.readChunks(chunks, &b)
			p.room += int(b.meta.Size) + packMargin
		}
		p.bodies = append(p.bodies, b)
	}
}

func (p *bodyPage) readChunks(rows *rowWalk, b *pageBody) error {
	for n, size := range b.meta.All() {
		c := pageChunk{from: len(p.rows), size: size}
		err := rows.get(keyChunk(b.id, n), func(row []byte) error {
			p.rows = append(p.rows, row...)
			return nil
		})
		if errors.Is(err, ErrNotFound) {
			err = errNoChunk
		}
		if err != nil {
			return err
		}
		c.to = len(p.rows)
		b.chunks = append(b.chunks, c)
	}
	return nil
}

// unpack unpacks the small bodies.
func (p *bodyPage) unpack(c *blob.Codec) {
	if cap(p.data) < p.room {
		p.data = make([]byte, p.room)
	}
	p.data = p.data[:p.room]
	var next atomic.Int64
	some := func() {
		for i := next.Add(1) - 1; i < int64(len(p.bodies)); i = next.Add(1) - 1 {
			p.bodies[i].unpack(c, p)
		}
	}
	var others sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(p.bodies)/unpackShare) - 1 {
		others.Go(some)
	}
	some()
	others.Wait()
}

func (b *pageBody) unpack(c *blob.Codec, p *bodyPage) {
	if b.err != nil || b.meta.Size > smallBody {
		return
	}
	out := p.data[b.at : b.at : b.at+int(b.meta.Size)+packMargin]
	for n, r := range b.chunks {
		var err error
		if out, err = c.Unpack(out, p.rows[r.from:r.to], r.size); err != nil {
			b.err = asStoreError(fmt.Errorf("chunk %d of %d: %w", n+1, len(b.chunks), err))
			return
		}
	}
	b.whole = out
}

// open opens a body of a page.
func (b *pageBody) open(ctx context.Context, s *Store) (Body, error) {
	switch {
	case b.err != nil:
		return nil, b.err
	case b.meta.Size <= smallBody:
		return unpackedBody{bytes.NewReader(b.whole)}, nil
	}
	return s.bodyOf(ctx, b.id, b.meta), nil
}

// unpackedBody is a body in memory, each chunk of it having been held against
// its hash.
type unpackedBody struct{ *bytes.Reader }

func (unpackedBody) Close() error { return nil }

// rowWalk gets rows of one table. Where their keys ascend and lie close
// together, a row costs a fraction of a look-up.
type rowWalk struct{ it *badger.Iterator }

func newRowWalk(t *badger.Txn, table byte) *rowWalk {
	io := badger.DefaultIteratorOptions
	io.Prefix = []byte{table}
	io.PrefetchValues = false
	return &rowWalk{t.NewIterator(io)}
}

func (w *rowWalk) close() { w.it.Close() }

// rowsPassed is how many rows are gone past before the next is looked up.
const rowsPassed = 3

// get calls fn with a value, valid during the call; ErrNotFound.
func (w *rowWalk) get(k []byte, fn func(val []byte) error) error {
	order := 1
	for n := 0; w.it.Valid() && n <= rowsPassed; n++ {
		if order = bytes.Compare(w.it.Item().Key(), k); order >= 0 {
			break
		}
		w.it.Next()
		order = 1
	}
	if order != 0 {
		w.it.Seek(k)
		if !w.it.Valid() || !bytes.Equal(w.it.Item().Key(), k) {
			return ErrNotFound
		}
	}
	return itemValue(w.it.Item(), fn)
}
