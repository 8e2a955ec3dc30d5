package store

import (
	"context"
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// QueueDue calls fn with entries due at now or before, earliest first, and
// tells when the next one after those is due (zero: none).
func (s *Store) QueueDue(ctx context.Context, now time.Time, limit int, fn func(QueueEntry) error) (next time.Time, err error) {
	v := s.view()
	defer v.close()
	var due []QueueEntry
	err = v.txn(func(t *badger.Txn) error {
		return scanTxn(t, scanOptions{prefix: []byte{tableDue}, keysOnly: true}, func(k, _ []byte) error {
			at := time.UnixMilli(int64(id64(k, 0))).UTC()
			if at.After(now) || limit > 0 && len(due) >= limit {
				next = at
				return errStop
			}
			id := QueueID(id64(k, 1))
			err := txnGet(t, keyQueue(id), func(val []byte) error {
				q, err := decodeQueue(id, val)
				if err == nil {
					due = append(due, q)
				}
				return err
			})
			return s.passQueue(id, err)
		})
	})
	if err != nil {
		return time.Time{}, err
	}
	for _, q := range due {
		if err := fn(q); err != nil {
			return next, err
		}
	}
	return next, ctx.Err()
}

// passQueue passes over a queue entry that is damaged or missing: it must not
// hold up all others.
func (s *Store) passQueue(id QueueID, err error) error {
	if errors.Is(err, errRecord) || errors.Is(err, ErrNotFound) {
		s.log.Error("a queue entry cannot be read", "entry", id, "error", err)
		return nil
	}
	return err
}

// QueueList calls fn with all entries by id, after the id given.
func (s *Store) QueueList(ctx context.Context, after QueueID, fn func(QueueEntry) error) error {
	v := s.view()
	defer v.close()
	var page []QueueEntry
	return v.rows(scanOptions{prefix: []byte{tableQueue}, from: keyQueue(after + 1)}, func(k, val []byte) error {
		q, err := decodeQueue(QueueID(id64(k, 0)), val)
		if err == nil {
			page = append(page, q)
		}
		return s.passQueue(q.ID, err)
	}, func() error {
		for _, q := range page {
			if err := fn(q); err != nil {
				return err
			}
		}
		page = page[:0]
		return ctx.Err()
	})
}

// QueueGet reads one entry; ErrNotFound.
func (s *Store) QueueGet(ctx context.Context, id QueueID) (q QueueEntry, err error) {
	v := s.view()
	defer v.close()
	err = v.get(keyQueue(id), func(val []byte) (err error) {
		q, err = decodeQueue(id, val)
		return damaged("queue entry", id, err)
	})
	return q, err
}

// QueueUpdate applies changes durably. A body nobody refers to any more is
// removed with its last entry, within a minute. ErrNotFound names no entry
// that is gone: those are passed over.
func (s *Store) QueueUpdate(ctx context.Context, changes ...QueueChange) error {
	_, err := s.submit(ctx, queueOp{changes})
	if err == nil {
		s.keeper.kick()
	}
	return err
}

type queueOp struct{ Changes []QueueChange }

func (o queueOp) apply(st *stage) (any, error) { return nil, st.changeQueue(o.Changes) }

// changeQueue replaces and removes queue entries on the stage. An entry keeps
// its body, its size and its time of creation.
func (s *stage) changeQueue(changes []QueueChange) error {
	for _, c := range changes {
		val, err := s.get(keyQueue(c.ID))
		if err != nil {
			return err
		}
		if val == nil {
			continue
		}
		old, err := decodeQueue(c.ID, val)
		if err != nil {
			return damaged("queue entry", c.ID, err)
		}
		s.del(keyDue(old.Due, c.ID))
		if c.Entry == nil {
			s.del(keyQueue(c.ID))
			s.unref(old.Blob, keyRefQueue(old.Blob, c.ID))
			s.global.Queued--
			continue
		}
		q := *c.Entry
		q.ID, q.Blob, q.Size = c.ID, old.Blob, old.Size
		if q.Created.IsZero() {
			q.Created = old.Created
		}
		s.put(keyQueue(c.ID), q.encode())
		s.put(keyDue(q.Due, c.ID), []byte{recordVersion})
	}
	return nil
}

// enqueue adds a queue entry on the stage.
func (s *stage) enqueue(q QueueEntry) QueueID {
	s.global.LastQueue++
	s.global.Queued++
	q.ID = s.global.LastQueue
	s.put(keyQueue(q.ID), q.encode())
	s.put(keyDue(q.Due, q.ID), []byte{recordVersion})
	s.put(keyRefQueue(q.Blob, q.ID), []byte{recordVersion})
	return q.ID
}
