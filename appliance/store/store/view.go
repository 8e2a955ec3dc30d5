package store

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// Reading goes through views. A view is a commit's number: what it shows is
// the store as of that commit, however long it lives, because the versions it
// needs are kept from compaction until it is closed. It holds no lock and no
// Badger transaction between two calls, so a slow reader (a client at the end
// of a phone line) delays neither the committer nor a store pause.

// snapshots keeps account of the views that are open.
type snapshots struct {
	mu     sync.Mutex
	done   uint64 // the last commit that is durable
	active map[uint64]int
}

func (s *snapshots) acquire() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active[s.done]++
	return s.done
}

func (s *snapshots) release(ts uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[ts]--; s.active[ts] <= 0 {
		delete(s.active, ts)
	}
}

// advance makes commit ts visible and tells which versions nobody can see any more.
func (s *snapshots) advance(ts uint64) (discard uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = max(s.done, ts)
	discard = s.done
	for a := range s.active {
		discard = min(discard, a)
	}
	return discard
}

// view is the store as of one commit.
type view struct {
	s  *Store
	ts uint64
}

// view opens a view of all that is durable now. It must be closed.
func (s *Store) view() *view { return &view{s, s.snaps.acquire()} }

func (v *view) close() { v.s.snaps.release(v.ts) }

// txn runs fn in a Badger transaction; fn must not wait for anybody.
func (v *view) txn(fn func(*badger.Txn) error) error {
	v.s.dbMu.RLock()
	defer v.s.dbMu.RUnlock()
	if v.s.db == nil {
		return ErrClosed
	}
	t := v.s.db.NewTransactionAt(v.ts, false)
	defer t.Discard()
	return fn(t)
}

// get calls fn with a value, valid during the call; ErrNotFound.
func (v *view) get(k []byte, fn func(val []byte) error) error {
	return v.txn(func(t *badger.Txn) error { return txnGet(t, k, fn) })
}

func txnGet(t *badger.Txn, k []byte, fn func(val []byte) error) error {
	return getValue(t.Get, k, fn)
}

// valueTries is how often a value is looked for. While space is given back, a
// value may be moved to another file, and the old one removed, between the
// look-up and the reading: then the next look-up leads to the new file. Badger
// holds back from that for iterators, and answers an empty value, no error, to
// others; as it does for a value that is damaged. No value of the store is
// empty, so that it shows.
const valueTries = 3

// getValue is txnGet by a way to look a key up.
func getValue(get func(k []byte) (*badger.Item, error), k []byte, fn func(val []byte) error) error {
	for try := 1; ; try++ {
		it, err := get(k)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("store: read: %w", err)
		}
		again := false
		err = itemValue(it, func(val []byte) error {
			if again = len(val) == 0 && try < valueTries; again {
				return nil
			}
			return fn(val)
		})
		if !again {
			return err
		}
	}
}

// itemValue calls fn with an item's value, telling fn's errors from Badger's.
func itemValue(it *badger.Item, fn func(val []byte) error) error {
	var inner error
	err := it.Value(func(val []byte) error { inner = fn(val); return nil })
	if inner != nil {
		return inner
	}
	if err != nil {
		return fmt.Errorf("store: read value: %w", err)
	}
	return nil
}

// errStop ends a scan without being an error.
var errStop = errors.New("stop")

// pageSize is how many rows are read in one go before their callback runs.
const pageSize = 1024

// scanOptions say what a scan goes over.
type scanOptions struct {
	prefix   []byte
	from     []byte // first key, prefix where nil
	to       []byte // first key beyond, end of prefix where nil
	keysOnly bool
}

// scanTxn calls fn with rows in key order; key and value are valid during the call.
func scanTxn(t *badger.Txn, o scanOptions, fn func(k, val []byte) error) error {
	io := badger.DefaultIteratorOptions
	io.Prefix = o.prefix
	io.PrefetchValues = false // values lie in the tree; those that do not are bodies
	it := t.NewIterator(io)
	defer it.Close()
	from := o.from
	if from == nil {
		from = o.prefix
	}
	for it.Seek(from); it.Valid(); it.Next() {
		item := it.Item()
		k := item.Key()
		if o.to != nil && string(k) >= string(o.to) {
			break
		}
		var err error
		if o.keysOnly {
			err = fn(k, nil)
		} else {
			err = itemValue(item, func(val []byte) error { return fn(k, val) })
		}
		if err == errStop {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scan is scanTxn in a transaction of its own: fn must not wait for anybody.
func (v *view) scan(o scanOptions, fn func(k, val []byte) error) error {
	return v.txn(func(t *badger.Txn) error { return scanTxn(t, o, fn) })
}

// rows reads rows page by page: take copies what it wants of each row, and
// page is called between the pages, holding nothing, to pass it on.
func (v *view) rows(o scanOptions, take func(k, val []byte) error, page func() error) error {
	for {
		n, last := 0, []byte(nil)
		stopped := false
		err := v.scan(o, func(k, val []byte) error {
			if n == pageSize {
				last = append(last, k...)
				return errStop
			}
			n++
			err := take(k, val)
			stopped = err == errStop
			return err
		})
		if err != nil {
			return err
		}
		if err := page(); err != nil {
			if err == errStop {
				return nil
			}
			return err
		}
		if stopped || last == nil {
			return nil
		}
		o.from = last
	}
}

// account reads an account.
func (v *view) account(id AccountID) (a accountRec, err error) {
	err = v.get(keyAccount(id), func(val []byte) (err error) {
		a, err = decodeAccount(val)
		return damaged("account", id, err)
	})
	return a, err
}

// mailbox reads a mailbox.
func (v *view) mailbox(id MailboxID) (m mailboxRec, err error) {
	err = v.get(keyMailbox(id), func(val []byte) (err error) {
		m, err = decodeMailbox(val)
		return damaged("mailbox", id, err)
	})
	return m, err
}

// newest sees every version: for what runs with the committer stopped.
const newest = math.MaxUint64
