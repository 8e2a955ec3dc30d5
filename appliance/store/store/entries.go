package store

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// Entries calls fn with the entries of UIDs lo to hi (0: no end), ascending,
// as of one moment, with the mailbox of that moment. It opens no facts and no bodies.
func (s *Store) Entries(ctx context.Context, id MailboxID, lo, hi UID, fn func(Entry) error) (Mailbox, error) {
	v := s.view()
	defer v.close()
	box, rec, err := v.mailboxFull(id)
	if err != nil {
		return Mailbox{}, err
	}
	o := scanOptions{prefix: key(tableEntry, uint64(id)), from: keyEntry(id, lo)}
	if hi != 0 {
		o.to = binary.BigEndian.AppendUint32(key(tableEntry, uint64(id)), uint32(hi))
		o.to = append(o.to, 0) // hi itself included
	}
	var page []Entry
	err = v.rows(o, func(k, val []byte) error {
		e, err := decodeEntry(val)
		if err != nil {
			return damaged("entry", tail32(k), err)
		}
		page = append(page, e.public(UID(tail32(k)), rec.Keywords))
		return nil
	}, func() error {
		for i := range page {
			if err := fn(page[i]); err != nil {
				return err
			}
		}
		page = page[:0]
		return ctx.Err()
	})
	return box, err
}

// EntriesOf reads the entries of the UIDs given that exist, ascending.
func (s *Store) EntriesOf(ctx context.Context, id MailboxID, uids []UID) ([]Entry, error) {
	v := s.view()
	defer v.close()
	rec, err := v.mailbox(id)
	if err != nil {
		return nil, err
	}
	return v.entries(ctx, id, &rec, sortedUIDs(uids))
}

// sortedUIDs gives uids ascending, each once.
func sortedUIDs(uids []UID) []UID {
	if !slices.IsSorted(uids) {
		uids = slices.Clone(uids)
		slices.Sort(uids)
	}
	for i := 1; i < len(uids); i++ {
		if uids[i] == uids[i-1] {
			return slices.Compact(slices.Clone(uids))
		}
	}
	return uids
}

// entries reads the entries of ascending UIDs that exist: those close to each
// other by going along the rows, those far apart one by one.
func (v *view) entries(ctx context.Context, id MailboxID, rec *mailboxRec, uids []UID) ([]Entry, error) {
	out := make([]Entry, 0, len(uids))
	add := func(uid UID) func(val []byte) error {
		return func(val []byte) error {
			e, err := decodeEntry(val)
			if err != nil {
				return damaged("entry", uid, err)
			}
			out = append(out, e.public(uid, rec.Keywords))
			return nil
		}
	}
	for len(uids) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := uids[:min(pageSize, len(uids))]
		uids = uids[len(part):]
		span := int64(part[len(part)-1]) - int64(part[0])
		err := v.txn(func(t *badger.Txn) error {
			if len(part) > 8 && span < int64(len(part))*8 {
				at := 0
				o := scanOptions{prefix: key(tableEntry, uint64(id)), from: keyEntry(id, part[0])}
				return scanTxn(t, o, func(k, val []byte) error {
					uid := UID(tail32(k))
					for at < len(part) && part[at] < uid {
						at++
					}
					if at == len(part) {
						return errStop
					}
					if part[at] != uid {
						return nil
					}
					return add(uid)(val)
				})
			}
			for _, uid := range part {
				if err := txnGet(t, keyEntry(id, uid), add(uid)); err != nil && !errors.Is(err, ErrNotFound) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
