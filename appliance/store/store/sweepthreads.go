package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
)

// sweepThreads drops the message ids of conversations of which nothing is left,
// neither in a mailbox nor restorable: they would gather for as long as the
// account lives. It reads all emails of an account, so it runs once a night.
func (s *Store) sweepThreads(ctx context.Context) error {
	return s.eachAccount(ctx, func(id AccountID) error { return s.dropThreads(ctx, id) })
}

func (s *Store) dropThreads(ctx context.Context, id AccountID) error {
	v := s.view()
	defer v.close()
	a, err := v.account(id)
	if errors.Is(err, ErrNotFound) {
		return nil // it went meanwhile
	}
	if err != nil {
		return err
	}
	live, err := v.liveThreads(ctx, id)
	if err != nil {
		return err
	}
	var dead [][]byte
	return v.rows(scanOptions{prefix: key(tableThread, uint64(id))}, func(k, val []byte) error {
		t, err := decodeThread(val)
		if err != nil {
			return damaged("thread", id64(k, 1), err)
		}
		if _, ok := slices.BinarySearch(live, t.Thread); !ok {
			dead = append(dead, bytes.Clone(k))
		}
		return nil
	}, func() error {
		for part := range slices.Chunk(dead, sweepPart) {
			done, err := submitFor[bool](ctx, s, dropThreadsOp{id, a.LastEmail, part})
			if err != nil {
				return err
			}
			if !done {
				return errStop
			}
		}
		dead = dead[:0]
		return ctx.Err()
	})
}

// liveThreads lists the conversations that an account has anything of, ascending.
func (v *view) liveThreads(ctx context.Context, id AccountID) ([]ThreadID, error) {
	var live []ThreadID
	next := func() error { return ctx.Err() }
	err := v.rows(scanOptions{prefix: key(tableEmail, uint64(id))}, func(k, val []byte) error {
		e, err := decodeEmail(val)
		live = append(live, e.Thread)
		return damaged("email", id64(k, 1), err)
	}, next)
	if err != nil {
		return nil, err
	}
	err = v.rows(scanOptions{prefix: key(tableExpunged, uint64(id))}, func(_, val []byte) error {
		x, err := decodeExpunged(val)
		live = append(live, x.Thread)
		return damaged("expunged message", id, err)
	}, next)
	if err != nil {
		return nil, err
	}
	slices.Sort(live)
	return slices.Compact(live), nil
}

// dropThreadsOp forgets message ids, unless there is an email that was not
// there when they were found to be of no use: it may have joined by one of them.
type dropThreadsOp struct {
	Account   AccountID
	LastEmail EmailID
	Keys      [][]byte
}

// apply answers whether it did.
func (o dropThreadsOp) apply(st *stage) (any, error) {
	a, err := st.peekAccount(o.Account)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil || a.LastEmail != o.LastEmail {
		return false, err
	}
	for _, k := range o.Keys {
		st.del(k)
	}
	return true, nil
}
