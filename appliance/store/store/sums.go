package store

import (
	"context"
	"errors"

	"github.com/dgraph-io/badger/v4"

	"pillarbox/appliance/store/blob"
)

// Sums calls fn with the SHA-256 of each message of a mailbox, by UID, as of
// one moment. It opens no bodies: an import asks it what is there already. A
// message whose body's record is damaged or missing is passed over.
func (s *Store) Sums(ctx context.Context, id MailboxID, fn func(sum [32]byte) error) error {
	v := s.view()
	defer v.close()
	if _, err := v.mailbox(id); err != nil {
		return err
	}
	var blobs []BlobID
	var sums [][32]byte
	return v.rows(scanOptions{prefix: key(tableEntry, uint64(id))}, func(k, val []byte) error {
		e, err := decodeEntry(val)
		if err != nil {
			return damaged("entry", tail32(k), err)
		}
		blobs = append(blobs, e.Blob)
		return nil
	}, func() error {
		if err := v.txn(func(t *badger.Txn) error {
			for _, b := range blobs {
				err := txnGet(t, keyBlob(b), func(val []byte) error {
					m, err := blob.ParseMeta(val)
					if err == nil {
						sums = append(sums, m.SHA256)
					}
					return asStoreError(err)
				})
				if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDamaged) {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		for _, sum := range sums {
			if err := fn(sum); err != nil {
				return err
			}
		}
		blobs, sums = blobs[:0], sums[:0]
		return ctx.Err()
	})
}
