package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"pillarbox/appliance/store/blob"
	"pillarbox/appliance/store/store"
)

// body is a stored body as it comes in section Bodies.
type body struct {
	id    store.BlobID
	meta  blob.Meta
	err   error  // the record is damaged
	row   []byte // the record
	facts []byte // row, nil where there is none
	r     *Reader
}

// nextBody goes on to the next body, over what is left of the one before;
// io.EOF after the last.
func (r *Reader) nextBody() (*body, error) {
	for {
		s, k, v, err := r.Next()
		if err != nil {
			return nil, err
		}
		if s != Bodies || store.KindOf(k) != store.RowBody {
			continue
		}
		b := &body{id: store.BodyOf(k), row: bytes.Clone(v), r: r}
		b.meta, b.err = blob.ParseMeta(v)
		_, k, v, err = r.Next()
		switch {
		case err == nil && store.KindOf(k) == store.RowFacts && store.BodyOf(k) == b.id:
			b.facts = bytes.Clone(v)
		case err == nil:
			r.back()
		case !errors.Is(err, io.EOF):
			return nil, err
		}
		return b, nil
	}
}

// rows passes on the rows of the chunks. It reads the backup on, as writeTo does.
func (b *body) rows(fn func(k, v []byte) error) error {
	for {
		_, k, v, err := b.r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if store.KindOf(k) != store.RowChunk || store.BodyOf(k) != b.id {
			b.r.back()
			return nil
		}
		if err := fn(k, v); err != nil {
			return err
		}
	}
}

// errMissing is a body whose chunks could not be read when the backup was made.
var errMissing = errors.New("backup: a part of the body was unreadable when the backup was made")

// writeTo writes the body's bytes, comparing its hashes. It reads the backup
// on, so it works once and before nextBody.
func (b *body) writeTo(ctx context.Context, c *blob.Codec, w io.Writer) error {
	if b.err != nil {
		return b.err
	}
	in := blob.NewReader(ctx, c, b.meta, b.fetch)
	defer in.Close()
	_, err := in.WriteTo(w)
	return err
}

// fetch gives chunk n, which must be the next row.
func (b *body) fetch(_ context.Context, n int, fn func([]byte) error) error {
	_, k, v, err := b.r.Next()
	if errors.Is(err, io.EOF) {
		return errMissing
	}
	if err != nil {
		return err
	}
	if store.KindOf(k) != store.RowChunk || store.BodyOf(k) != b.id || store.ChunkOf(k) != n {
		b.r.back()
		return errMissing
	}
	return fn(v)
}

// Verify reads a backup to its end and compares every hash, those of the
// bodies in it included. What is wrong with single bodies is told by damaged;
// an error means that the backup as a whole cannot be relied on.
func Verify(ctx context.Context, r *Reader, damaged func(store.Problem)) (*Trailer, error) {
	c, err := blob.NewCodec()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := r.nextBody()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := b.writeTo(ctx, c, io.Discard); err != nil {
			if r.err != nil && !errors.Is(r.err, io.EOF) {
				return nil, r.err
			}
			damaged(store.Problem{Where: fmt.Sprintf("body %d", b.id), What: err.Error()})
		}
	}
	return r.trailer, nil
}
