package store

import (
	"context"
	"errors"

	"github.com/dgraph-io/badger/v4"
)

// EmailsAfter calls fn with the emails of an account whose id is greater than
// after, ascending, with their bodies, as of one moment; fn's error ends it.
// It is how a full-text index follows the store: ids are given in the order of
// commits and never twice, and what an email says never changes. So all that
// will ever have an id up to the answer has been told, and the answer is the
// cursor to go on from. Emails that are gone are passed over; what is restored
// comes again under a new id.
func (s *Store) EmailsAfter(ctx context.Context, id AccountID, after EmailID, fn func(EmailID, BlobID) error) (EmailID, error) {
	v := s.view()
	defer v.close()
	a, err := v.account(id)
	if err != nil {
		return 0, err
	}
	if after >= a.LastEmail {
		return max(after, a.LastEmail), nil
	}
	type row struct {
		email EmailID
		blob  BlobID
	}
	var page []row
	o := scanOptions{prefix: key(tableEmail, uint64(id)), from: keyEmail(id, after+1)}
	err = v.rows(o, func(k, val []byte) error {
		e, err := decodeEmail(val)
		if err != nil {
			return damaged("email", id64(k, 1), err)
		}
		page = append(page, row{EmailID(id64(k, 1)), e.Blob})
		return nil
	}, func() error {
		for _, r := range page {
			if err := fn(r.email, r.blob); err != nil {
				return err
			}
		}
		page = page[:0]
		return ctx.Err()
	})
	if err != nil {
		return 0, err
	}
	return a.LastEmail, nil
}

// EmailsExist tells which emails of an account are there, by their place in ids.
func (s *Store) EmailsExist(ctx context.Context, id AccountID, ids []EmailID) ([]bool, error) {
	v := s.view()
	defer v.close()
	out := make([]bool, len(ids))
	for start := 0; start < len(ids); start += pageSize {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := v.txn(func(t *badger.Txn) error {
			for i := start; i < min(start+pageSize, len(ids)); i++ {
				_, err := t.Get(keyEmail(id, ids[i]))
				if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
					return err
				}
				out[i] = err == nil
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
