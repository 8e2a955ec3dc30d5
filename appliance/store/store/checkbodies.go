package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"pillarbox/appliance/store/blob"
)

func (c *checker) blobRows() error {
	return c.each([]byte{tableBlob}, false, func(k, val []byte) error {
		id := BlobID(id64(k, 0))
		where := fmt.Sprintf("body %d", id)
		c.out.Blobs++
		if id > c.global.LastBlob {
			c.problem(recountOp{}, where, "has an id that was not given yet")
		}
		m, err := blob.ParseMeta(val)
		if err != nil {
			return c.unreadable(where, asStoreError(err))
		}
		if c.o.Bodies {
			if err := c.readBody(where, id, m); err != nil {
				return err
			}
		} else if err := c.countChunks(where, id, m); err != nil {
			return err
		}
		err = c.v.get(keyFacts(id), func(val []byte) error {
			var f Facts
			_, err := decodeFacts(c.s.codec, val, WantIndex, &f)
			return err
		})
		switch {
		case errors.Is(err, ErrNotFound):
			c.problem(nil, where, "has no facts")
		case errors.Is(err, errRecord), errors.Is(err, ErrDamaged):
			c.problem(nil, where, "has damaged facts")
		case err != nil:
			return err
		}
		held := false
		err = c.v.scan(scanOptions{prefix: key(tableRef, uint64(id)), keysOnly: true}, func(_, _ []byte) error {
			held = true
			return errStop
		})
		if err != nil || held {
			return err
		}
		if loose, err := c.has(keyLoose(id)); err != nil || loose {
			return err
		}
		c.problem(mendLooseOp{id}, where, "nobody refers to it")
		return nil
	})
}

// readBody reads a body whole, as the view shows it.
func (c *checker) readBody(where string, id BlobID, m blob.Meta) error {
	r := blob.NewReader(c.ctx, c.s.codec, m, func(_ context.Context, n int, fn func([]byte) error) error {
		err := c.v.get(keyChunk(id, n), fn)
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%w: not there", blob.ErrDamaged)
		}
		return err
	})
	if _, err := io.Copy(io.Discard, r); err != nil {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if errors.Is(err, ErrClosed) {
			return err
		}
		c.problem(nil, where, "%v", err)
	}
	return nil
}

// countChunks sees that a body's chunks are there.
func (c *checker) countChunks(where string, id BlobID, m blob.Meta) error {
	want := m.Chunks()
	if m.Head == 0 {
		want--
	}
	n := 0
	err := c.v.scan(scanOptions{prefix: key(tableChunk, uint64(id)), keysOnly: true}, func(_, _ []byte) error {
		n++
		return nil
	})
	if err != nil {
		return err
	}
	if n != want {
		c.problem(nil, where, "has %d chunks of %d", n, want)
	}
	return nil
}

// strayBodies finds rows of bodies that are not there.
func (c *checker) strayBodies() error {
	for _, t := range []byte{tableChunk, tableFacts} {
		var last BlobID
		err := c.each([]byte{t}, true, func(k, _ []byte) error {
			id := BlobID(id64(k, 0))
			if id == last {
				return nil
			}
			last = id
			for _, owner := range [][]byte{keyBlob(id), keyPending(id)} {
				if ok, err := c.has(owner); err != nil || ok {
					return err
				}
			}
			c.problem(mendStrayOp{id}, fmt.Sprintf("body %d", id), "has rows but no record")
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// refRows sees that who holds a body is there. Those who are there were seen
// to hold theirs.
func (c *checker) refRows() error {
	return c.each([]byte{tableRef}, true, func(k, _ []byte) error {
		id := BlobID(id64(k, 0))
		where := fmt.Sprintf("reference to body %d", id)
		owner, ok := refOwner(k)
		if !ok {
			c.problem(nil, where, "cannot be read")
			return nil
		}
		var at BlobID
		err := c.v.get(owner.key, func(val []byte) (err error) {
			at, err = owner.blob(val)
			return err
		})
		switch {
		case errors.Is(err, ErrNotFound):
			c.problem(dropRefOp{k}, where, "%s is not there", owner)
		case errors.Is(err, errRecord):
			c.problem(nil, where, "%s cannot be read", owner)
		case err != nil:
			return err
		case at != id:
			c.problem(dropRefOp{k}, where, "%s has another body", owner)
		}
		return nil
	})
}
