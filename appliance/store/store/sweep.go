package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"pillarbox/appliance/store/blob"
)

// Sweep does all of the keeper's clearing away once, to the end. It runs by
// itself; tests and mailctl call it to have it done now.
func (s *Store) Sweep(ctx context.Context) error {
	s.keeper.working.Lock()
	defer s.keeper.working.Unlock()
	return inOrder(ctx, s.sweepOld, s.sweepGone, s.sweepThreads)
}

// sweepGone clears away what somebody removed, and what nobody delivered.
func (s *Store) sweepGone(ctx context.Context) error {
	return inOrder(ctx, s.sweepAbandoned, s.sweepMailboxes, s.sweepAccounts, s.sweepBodies)
}

// sweepOld clears away what is kept for a time only.
func (s *Store) sweepOld(ctx context.Context) error {
	return inOrder(ctx, s.sweepDocs, s.sweepExpunged, s.sweepLogs)
}

// inOrder takes all the steps: a damaged record must not keep what else there
// is to clear away on the disk for ever.
func inOrder(ctx context.Context, steps ...func(context.Context) error) error {
	var failed error
	for _, step := range steps {
		if err := step(ctx); err != nil {
			failed = errors.Join(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// eachAccount does the same for every account.
func (s *Store) eachAccount(ctx context.Context, fn func(AccountID) error) error {
	var failed error
	err := s.Accounts(ctx, func(id AccountID, _ Quota) error {
		if err := fn(id); err != nil {
			failed = errors.Join(failed, err)
		}
		return ctx.Err()
	})
	return errors.Join(failed, err)
}

// keys collects up to n keys of a prefix.
func (s *Store) keys(prefix []byte, n int) ([][]byte, error) {
	v := s.view()
	defer v.close()
	var out [][]byte
	err := v.scan(scanOptions{prefix: prefix, keysOnly: true}, func(k, _ []byte) error {
		if len(out) == n {
			return errStop
		}
		out = append(out, append([]byte{}, k...))
		return nil
	})
	return out, err
}

// abandoned are bodies nobody will deliver whose rows are still there: those a
// start finds, whose sessions did not live, and those whose session could not
// drop them, as on a full disk.
type abandoned struct {
	mu  sync.Mutex
	ids []BlobID
}

func (a *abandoned) add(ids ...BlobID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ids = append(a.ids, ids...)
}

func (a *abandoned) take() []BlobID {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := a.ids
	a.ids = nil
	return ids
}

// findAbandoned notes the bodies that were being spooled when the store was
// last open. It runs before anybody can spool.
func (s *Store) findAbandoned() error {
	rows, err := s.keys([]byte{tablePending}, 1<<20)
	for _, k := range rows {
		s.abandoned.add(BlobID(id64(k, 0)))
	}
	return err
}

// sweepAbandoned drops them. Those it cannot drop wait for the next time.
func (s *Store) sweepAbandoned(ctx context.Context) error {
	ids := s.abandoned.take()
	for i, id := range ids {
		if _, err := s.submit(ctx, dropPendingOp{id}); err != nil {
			s.abandoned.add(ids[i:]...)
			return err
		}
	}
	return nil
}

// sweepMailboxes clears the messages of deleted mailboxes away.
func (s *Store) sweepMailboxes(ctx context.Context) error {
	for {
		boxes, err := s.keys([]byte{tableDoomedMailbox}, sweepPart)
		if err != nil || len(boxes) == 0 {
			return err
		}
		if err := s.purgeMailboxes(ctx, boxes); err != nil {
			return err
		}
	}
}

func (s *Store) purgeMailboxes(ctx context.Context, boxes [][]byte) error {
	var failed error
	for _, b := range boxes {
		if err := s.purgeMailbox(ctx, MailboxID(id64(b, 0))); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (s *Store) purgeMailbox(ctx context.Context, id MailboxID) error {
	for {
		rows, err := s.keys(key(tableEntry, uint64(id)), sweepPart)
		if err != nil {
			return err
		}
		o := purgeOp{Mailbox: id, Keep: s.undelete.Load() > 0, At: s.now()}
		for _, r := range rows {
			o.UIDs = append(o.UIDs, UID(tail32(r)))
		}
		if _, err := s.submit(ctx, o); err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
	}
}

// purgeOp clears messages of a deleted mailbox away; without UIDs it ends the mailbox.
type purgeOp struct {
	Mailbox MailboxID
	UIDs    []UID
	Keep    bool
	At      time.Time
}

func (o purgeOp) apply(st *stage) (any, error) {
	val, err := st.get(keyDoomedMailbox(o.Mailbox))
	if err != nil || val == nil {
		return nil, err
	}
	if len(o.UIDs) == 0 {
		st.del(keyDoomedMailbox(o.Mailbox))
		return nil, nil
	}
	d, err := decodeDoomed(val)
	if err != nil {
		return nil, damaged("deleted mailbox", o.Mailbox, err)
	}
	var log *changeLog
	if _, err := st.account(d.Account); err == nil {
		log = st.beginLog(d.Account, o.At)
	} else if err != ErrNotFound {
		return nil, err
	}
	entries, err := st.entriesOf(o.Mailbox, o.UIDs)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if e == nil {
			continue
		}
		// Of a deleted account nothing is kept.
		r := removal{keep: o.Keep && log != nil, at: o.At}
		if err := st.dropEntry(d.Account, o.Mailbox, d.Name, d.Keywords, o.UIDs[i], e, log, r); err != nil {
			return nil, err
		}
	}
	if log != nil {
		return nil, log.end()
	}
	return nil, nil
}

// sweepAccounts clears the rows of deleted accounts away, after their
// mailboxes: those of an account that was deleted just now, too, since
// messages let go of their bodies by the rows that go here.
func (s *Store) sweepAccounts(ctx context.Context) error {
	accts, err := s.keys([]byte{tableDoomedAccount}, sweepPart)
	if err != nil || len(accts) == 0 {
		return err
	}
	if err := s.sweepMailboxes(ctx); err != nil {
		return err
	}
	for _, k := range accts {
		a := id64(k, 0)
		if err := s.dropExpunged(ctx, AccountID(a), 1<<62); err != nil {
			return err
		}
		for _, t := range []byte{tableName, tableSubscription, tableEmail, tableLog, tableThread, tableIndex} {
			for {
				rows, err := s.keys(key(t, a), sweepPart)
				if err != nil {
					return err
				}
				if len(rows) == 0 {
					break
				}
				if _, err := s.submit(ctx, dropRowsOp{rows}); err != nil {
					return err
				}
			}
		}
		if _, err := s.submit(ctx, dropRowsOp{[][]byte{k}}); err != nil {
			return err
		}
	}
	return nil
}

// dropRowsOp removes rows nothing else depends on.
type dropRowsOp struct{ Keys [][]byte }

func (o dropRowsOp) apply(st *stage) (any, error) {
	for _, k := range o.Keys {
		st.del(k)
	}
	return nil, nil
}

// sweepExpunged drops expunged messages whose time to be restored is over.
func (s *Store) sweepExpunged(ctx context.Context) error {
	before := s.now().Add(-time.Duration(s.undelete.Load())).Unix()
	return s.eachAccount(ctx, func(id AccountID) error { return s.dropExpunged(ctx, id, before) })
}

// dropExpunged drops an account's expunged messages that went before a second.
// One that cannot be read goes as well; its body stays until a repair finds
// that nobody refers to it.
func (s *Store) dropExpunged(ctx context.Context, id AccountID, before int64) error {
	for {
		var o dropExpungedOp
		v := s.view()
		err := v.scan(scanOptions{prefix: key(tableExpunged, uint64(id)), to: key(tableExpunged, uint64(id), uint64(before))},
			func(k, val []byte) error {
				if len(o.Items) == sweepPart {
					return errStop
				}
				x, err := decodeExpunged(val)
				if err != nil {
					s.log.Error("dropped unread", "error", damaged("expunged message", id, err))
				}
				o.Items = append(o.Items, expungedItem{append([]byte{}, k...), x.Blob})
				return nil
			})
		v.close()
		if err != nil || len(o.Items) == 0 {
			return err
		}
		if _, err := s.submit(ctx, o); err != nil {
			return err
		}
	}
}

type expungedItem struct {
	Key  []byte
	Blob BlobID // 0 where the row cannot be read
}

// dropExpungedOp forgets expunged messages for good.
type dropExpungedOp struct{ Items []expungedItem }

func (o dropExpungedOp) apply(st *stage) (any, error) {
	for _, it := range o.Items {
		val, err := st.get(it.Key)
		if err != nil {
			return nil, err
		}
		if val == nil {
			continue // restored meanwhile
		}
		st.del(it.Key)
		if it.Blob != 0 {
			st.unref(it.Blob, keyRefExpunged(it.Blob, it.Key))
		}
	}
	return nil, nil
}

// sweepDocs removes documents that have expired.
func (s *Store) sweepDocs(ctx context.Context) error {
	for {
		o := dropDocsOp{At: s.now()}
		v := s.view()
		err := v.scan(scanOptions{prefix: []byte{tableDocExpiry}, to: key(tableDocExpiry, dueStamp(o.At)+1), keysOnly: true},
			func(k, _ []byte) error {
				if len(o.Keys) == sweepPart {
					return errStop
				}
				o.Keys = append(o.Keys, append([]byte{}, k...))
				return nil
			})
		v.close()
		if err != nil || len(o.Keys) == 0 {
			return err
		}
		if _, err := s.submit(ctx, o); err != nil {
			return err
		}
	}
}

// dropDocsOp removes expired documents, named by their rows of expiry.
type dropDocsOp struct {
	Keys [][]byte
	At   time.Time
}

func (o dropDocsOp) apply(st *stage) (any, error) {
	for _, k := range o.Keys {
		st.del(k)
		doc := append([]byte{tableDoc}, k[keyPrefixAccount:]...)
		val, err := st.get(doc)
		if err != nil {
			return nil, err
		}
		if val == nil {
			continue
		}
		if d, err := decodeDoc(val); err != nil || d.expired(o.At) {
			st.del(doc)
		}
	}
	return nil, nil
}

// sweepLogs cuts the old end off the change logs.
func (s *Store) sweepLogs(ctx context.Context) error {
	before := s.now().Add(-s.o.ChangesFor)
	return s.eachAccount(ctx, func(id AccountID) error {
		for {
			o := cutLogOp{Account: id}
			v := s.view()
			err := v.scan(scanOptions{prefix: key(tableLog, uint64(id))}, func(k, val []byte) error {
				l, err := decodeLog(val)
				if err != nil {
					return damaged("change log", id, err)
				}
				if len(o.ModSeqs) == sweepPart || !l.At.Before(before) {
					return errStop
				}
				o.ModSeqs = append(o.ModSeqs, ModSeq(id64(k, 1)))
				return nil
			})
			v.close()
			if err != nil || len(o.ModSeqs) == 0 {
				return err
			}
			if _, err := s.submit(ctx, o); err != nil {
				return err
			}
		}
	})
}

// cutLogOp forgets the oldest rows of an account's change log.
type cutLogOp struct {
	Account AccountID
	ModSeqs []ModSeq
}

func (o cutLogOp) apply(st *stage) (any, error) {
	a, err := st.account(o.Account)
	if err != nil {
		if err == ErrNotFound {
			return nil, nil
		}
		return nil, err
	}
	for _, m := range o.ModSeqs {
		st.del(keyLog(o.Account, m))
		a.LogFloor = max(a.LogFloor, m)
	}
	return nil, nil
}

// sweepBodies removes bodies nobody refers to any more.
func (s *Store) sweepBodies(ctx context.Context) error {
	for {
		rows, err := s.keys([]byte{tableLoose}, sweepPart/5)
		if err != nil || len(rows) == 0 {
			return err
		}
		var o dropBodiesOp
		for _, k := range rows {
			o.Blobs = append(o.Blobs, BlobID(id64(k, 0)))
		}
		bytes, err := submitFor[int64](ctx, s, o)
		if err != nil {
			return err
		}
		s.garbage.Add(bytes)
	}
}

// dropBodiesOp removes those of the bodies that have no reference left, and
// answers how many bytes they had.
type dropBodiesOp struct{ Blobs []BlobID }

func (o dropBodiesOp) apply(st *stage) (any, error) {
	var bytes int64
	for _, id := range o.Blobs {
		st.del(keyLoose(id))
		used := false
		err := st.scanKeys(key(tableRef, uint64(id)), func([]byte) error {
			used = true
			return errStop
		})
		if err != nil {
			return nil, err
		}
		if used {
			continue
		}
		val, err := st.get(keyBlob(id))
		if err != nil {
			return nil, err
		}
		if val == nil {
			continue
		}
		st.global.Blobs--
		st.del(keyBlob(id))
		st.del(keyFacts(id))
		m, err := blob.ParseMeta(val)
		if err != nil {
			if err := st.dropChunks(id); err != nil {
				return nil, err
			}
			continue
		}
		bytes += m.Size
		for n := range m.Chunks() {
			if n > 0 || m.Head > 0 {
				st.del(keyChunk(id, n))
			}
		}
	}
	return bytes, nil
}
