package indexer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
)

// Check compares the index of an account with its mail and tells in words what
// is wrong with it, "" where nothing is: that it does not read (with deep every
// row of it is read), or that it lacks messages it is thought to have, which no
// search would find. Reindex mends it.
func (x *Indexer) Check(ctx context.Context, id store.AccountID, deep bool) (string, error) {
	if x.isStale(id) {
		return "", nil // about to be made anew
	}
	i, err := x.index(id)
	if err != nil {
		return "", err
	}
	watermark, ids, err := i.Check(ctx, deep)
	if errors.Is(err, search.ErrDamaged) {
		return "cannot be read: " + err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	lacking := 0
	last, err := x.cfg.Store.EmailsAfter(ctx, id, 0, func(email store.EmailID, _ store.BlobID) error {
		if uint64(email) > watermark {
			return nil
		}
		if _, has := slices.BinarySearch(ids, uint64(email)); !has {
			lacking++
		}
		return nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", nil // the account went meanwhile
	case err != nil:
		return "", err
	case watermark > uint64(last):
		return fmt.Sprintf("is said to reach to message %d, there are %d", watermark, last), nil
	case lacking > 0:
		return fmt.Sprintf("lacks %d messages", lacking), nil
	}
	return "", nil
}
