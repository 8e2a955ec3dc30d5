package store

import (
	"context"
	"time"
)

// Stats are the store's own figures, cheap to read.
type Stats struct {
	Accounts, Mailboxes, Messages, Blobs, Queued int64
	StoredBytes                                  int64 // sum of message sizes over all mailboxes
	DiskTotal, DiskFree                          int64
	LSMBytes, ValueLogBytes                      int64
	OldestQueued                                 time.Time
}

// Stats reads the figures.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	g, err := s.readGlobal()
	if err != nil {
		return Stats{}, err
	}
	out := Stats{
		Accounts: g.Accounts, Mailboxes: g.Mailboxes, Messages: g.Messages, Blobs: g.Blobs, Queued: g.Queued,
		StoredBytes: g.Bytes,
	}
	if out.DiskTotal, out.DiskFree, err = s.statfs(); err != nil {
		return Stats{}, err
	}
	s.dbMu.RLock()
	if s.db != nil {
		out.LSMBytes, out.ValueLogBytes = s.db.Size()
	}
	s.dbMu.RUnlock()
	if g.Queued == 0 {
		return out, nil
	}
	// Ids are given in the order of arrival: the first entry is the oldest.
	v := s.view()
	defer v.close()
	err = v.scan(scanOptions{prefix: []byte{tableQueue}}, func(k, val []byte) error {
		q, err := decodeQueue(QueueID(id64(k, 0)), val)
		if err != nil {
			return s.passQueue(q.ID, err)
		}
		out.OldestQueued = q.Created
		return errStop
	})
	return out, err
}
