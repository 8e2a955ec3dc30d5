package store

import (
	"bytes"
	"context"
	"errors"

	"github.com/dgraph-io/badger/v4"

	"pillarbox/appliance/store/search"
)

// indexPart bounds the rows of a full-text index that are written in one op,
// bytes: small beside a transaction, so that deliveries go between them.
const indexPart = 256 << 10

// IndexRows keeps the full-text index of one account; it is a search.Rows.
//
// The index of an account is made with
//
//	x, err := search.Open(s.IndexRows(account))
//
// and follows the store by EmailsAfter: documents are EmailIDs. From the
// index's watermark on, each email's text goes into a search.Batch, and Apply
// is given EmailsAfter's answer (or the last id added, where a batch was full)
// as the new watermark. EmailsExist serves Compact. Watch(0) tells when there
// is something new; nothing is missed without it, since the watermark is kept.
//
// A search stays exact whatever the state of the index: emails up to
// Hits.Watermark are decided by the index (Hits.Maybe by their text), and every
// email after it, which are those EmailsAfter(watermark) answers, by its text.
// An index that answers search.ErrDamaged is dropped, and until it is made anew
// the watermark is 0 and every text is read; the same is due after a repair,
// which may bring back emails of any age. The rows go with their account.
type IndexRows struct {
	s  *Store
	id AccountID
}

// IndexRows gives the rows of an account's full-text index.
func (s *Store) IndexRows(id AccountID) *IndexRows { return &IndexRows{s, id} }

func (x *IndexRows) key(k []byte) []byte { return append(key(tableIndex, uint64(x.id)), k...) }

// Get answers a row's value, nil where there is none.
func (x *IndexRows) Get(ctx context.Context, k []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v := x.s.view()
	defer v.close()
	var out []byte
	err := v.get(x.key(k), func(val []byte) error {
		out = append([]byte{}, val...)
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return out, err
}

// Put keeps rows, durably once it returns. ErrNotFound where the account is
// gone, ErrNoSpace.
func (x *IndexRows) Put(ctx context.Context, rows []search.Row) error {
	for len(rows) > 0 {
		o := putIndexOp{Account: x.id}
		for size := 0; len(rows) > 0 && (size == 0 || size+len(rows[0].Value) <= indexPart); rows = rows[1:] {
			size += len(rows[0].Value) + len(rows[0].Key)
			o.Rows = append(o.Rows, search.Row{Key: x.key(rows[0].Key), Value: rows[0].Value})
		}
		if _, err := x.s.submit(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// putIndexOp writes rows of a full-text index.
type putIndexOp struct {
	Account AccountID
	Rows    []search.Row // with whole keys
}

func (o putIndexOp) apply(st *stage) (any, error) {
	if _, err := st.peekAccount(o.Account); err != nil {
		return nil, err
	}
	for _, r := range o.Rows {
		st.put(r.Key, r.Value)
	}
	return nil, nil
}

// Next answers the first key that is not less than key, nil where there is none.
func (x *IndexRows) Next(ctx context.Context, k []byte) (next []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v := x.s.view()
	defer v.close()
	err = v.scan(scanOptions{prefix: x.key(nil), from: x.key(k), keysOnly: true}, func(k, _ []byte) error {
		next = bytes.Clone(k[keyPrefixAccount:])
		return errStop
	})
	return next, err
}

// Delete removes all rows whose key begins so, part by part.
func (x *IndexRows) Delete(ctx context.Context, prefix []byte) error {
	for {
		var o dropRowsOp
		var size int64
		v := x.s.view()
		err := v.txn(func(t *badger.Txn) error {
			io := badger.DefaultIteratorOptions
			io.Prefix, io.PrefetchValues = x.key(prefix), false
			it := t.NewIterator(io)
			defer it.Close()
			for it.Rewind(); it.Valid() && len(o.Keys) < sweepPart; it.Next() {
				o.Keys = append(o.Keys, bytes.Clone(it.Item().Key()))
				size += it.Item().EstimatedSize()
			}
			return nil
		})
		v.close()
		if err != nil || len(o.Keys) == 0 {
			return err
		}
		if _, err := x.s.submit(ctx, o); err != nil {
			return err
		}
		x.s.garbage.Add(size)
	}
}
