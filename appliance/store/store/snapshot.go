package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"pillarbox/appliance/store/blob"
)

// headTables are the tables of a snapshot's head, in its order: documents
// first, so that who restores one person's mail knows who is who before all
// else. Not among them are bodies; what is being spooled, which nobody was told
// is stored; the change log, which a restored store begins anew (see
// Loader.Close); and full-text indexes, which are made from the rest.
var headTables = []byte{
	tableDoc, tableMeta, tableAccount, tableMailbox, tableName, tableSubscription, tableEntry, tableEmail,
	tableThread, tableExpunged, tableRef, tableLoose, tableDoomedMailbox, tableDoomedAccount,
	tableQueue, tableDue, tableDocExpiry,
}

// maxDamage bounds how many problems a snapshot lists.
const maxDamage = 1000

// Snapshot is the store as of one moment, row by row, for backups. It holds no
// lock between calls of fn, however slow those are; what is overwritten or
// removed meanwhile stays on disk until Close. A row that cannot be read is
// left out and listed in Damage, so that one bad block does not cost the
// backup of all others.
//
// A row is named by its key and carries the version of the commit that wrote
// it. Since versions only grow within a store, the rows with a version above
// one snapshot's are those written after it; what was removed after it shows
// by comparing keys alone. Versions mean nothing to another store.
type Snapshot struct {
	v *view
	// Damage lists what could not be read, at most maxDamage of it.
	Damage []Problem
}

// Snapshot opens a snapshot of all that is durable now.
func (s *Store) Snapshot() *Snapshot { return &Snapshot{v: s.view()} }

// Close lets go of the snapshot.
func (p *Snapshot) Close() { p.v.close() }

// Version is the version of the snapshot's last commit.
func (p *Snapshot) Version() uint64 { return p.v.ts }

// RowFunc is called with a row; key and value are valid during the call.
type RowFunc func(key, value []byte) error

// Head calls fn with the rows written after version since (0: all), bodies and
// their facts left out.
func (p *Snapshot) Head(ctx context.Context, since uint64, fn RowFunc) error {
	for _, t := range headTables {
		if err := p.rows(ctx, []byte{t}, since, false, fn); err != nil {
			return err
		}
	}
	return nil
}

// Bodies calls fn with the rows of the bodies that were delivered after
// version since, body by body: its record, its facts, then its chunks in order.
func (p *Snapshot) Bodies(ctx context.Context, since uint64, fn RowFunc) error {
	var buf []byte
	pass := func(k []byte) error {
		buf = buf[:0]
		err := p.v.get(k, func(val []byte) error {
			if len(val) == 0 {
				return errRecord
			}
			buf = append(buf, val...)
			return nil
		})
		switch {
		case errors.Is(err, ErrClosed):
			return err
		case err != nil:
			p.damaged(k, err)
			return nil
		}
		return fn(k, buf)
	}
	return p.rows(ctx, []byte{tableBlob}, since, false, func(k, val []byte) error {
		id := BlobID(id64(k, 0))
		if err := fn(k, val); err != nil {
			return err
		}
		if err := pass(keyFacts(id)); err != nil {
			return err
		}
		meta, err := blob.ParseMeta(val)
		if err != nil {
			p.damaged(k, err)
			return nil
		}
		first := 0
		if meta.Head == 0 {
			first = 1
		}
		for n := first; n < meta.Chunks(); n++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := pass(keyChunk(id, n)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Keys calls fn with the keys of all rows, ascending. Facts and chunks are
// left out: they are there as long as the record of their body is.
func (p *Snapshot) Keys(ctx context.Context, fn func(key []byte) error) error {
	for _, t := range slices.Sorted(slices.Values(append(slices.Clone(headTables), tableBlob))) {
		if err := p.rows(ctx, []byte{t}, 0, true, func(k, _ []byte) error { return fn(k) }); err != nil {
			return err
		}
	}
	return nil
}

// snapshotPage is how many bytes of rows are copied before they are passed on.
const snapshotPage = 1 << 20

// rows passes on the rows of a prefix, read page by page.
func (p *Snapshot) rows(ctx context.Context, prefix []byte, since uint64, keysOnly bool, fn RowFunc) error {
	type span struct{ key, end int }
	var page []byte
	var spans []span
	from := prefix
	for from != nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, spans = page[:0], spans[:0]
		var next []byte
		err := p.v.txn(func(t *badger.Txn) error {
			o := badger.DefaultIteratorOptions
			o.Prefix, o.PrefetchValues, o.SinceTs = prefix, false, since
			it := t.NewIterator(o)
			defer it.Close()
			for it.Seek(from); it.Valid(); it.Next() {
				item := it.Item()
				k := item.Key()
				if len(page) >= snapshotPage || len(spans) >= 16*pageSize {
					next = bytes.Clone(k)
					return nil
				}
				if isBackupMark(k) {
					continue
				}
				start := len(page)
				page = append(page, k...)
				spans = append(spans, span{len(page), len(page)})
				if keysOnly {
					continue
				}
				err := itemValue(item, func(val []byte) error {
					if len(val) == 0 {
						return errRecord // Badger's answer where it cannot read
					}
					page = append(page, val...)
					return nil
				})
				if err != nil {
					p.damaged(k, err)
					page, spans = page[:start], spans[:len(spans)-1]
					continue
				}
				spans[len(spans)-1].end = len(page)
			}
			return nil
		})
		if err != nil {
			return err
		}
		start := 0
		for _, s := range spans {
			if err := fn(page[start:s.key:s.key], page[s.key:s.end:s.end]); err != nil {
				return err
			}
			start = s.end
		}
		from = next
	}
	return nil
}

func (p *Snapshot) damaged(k []byte, err error) {
	p.v.s.log.Error("a row cannot be read", "key", fmt.Sprintf("%x", k), "error", err)
	if len(p.Damage) < maxDamage {
		p.Damage = append(p.Damage, Problem{Where: fmt.Sprintf("row %x", k), What: err.Error()})
	}
}
