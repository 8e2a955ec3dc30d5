package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// loadBulk bounds the bytes of a loader's transaction, bodies included.
const loadBulk = 8 << 20

// Loader writes a new store from the rows of snapshots: those of a full one,
// then those of its increments, each of which ends with Keep. Until Close has
// returned nil the folder holds no store that may be used.
type Loader struct {
	s       *Store
	txn     *badger.Txn
	ts      uint64
	bulk    int
	pending chan error // of the transaction being synced, nil where none is
	err     error
}

// NewLoader makes a store in dir, which must not exist or be empty.
func NewLoader(dir string, o Options) (*Loader, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store: %w", err)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("store: %s: %w", dir, ErrExists)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	o.defaults()
	l := &Loader{s: &Store{dir: dir, o: o, log: o.Log, now: time.Now}}
	if err := l.s.openDB(); err != nil {
		return nil, err
	}
	l.begin()
	return l, nil
}

func (l *Loader) begin() {
	l.ts++
	l.txn, l.bulk = l.s.db.NewTransactionAt(l.ts-1, true), 0
}

// Put writes a row. It does not keep the slices.
func (l *Loader) Put(key, value []byte) error {
	if l.err != nil {
		return l.err
	}
	if len(key) == 0 || len(value) == 0 || key[0] == 0 || key[0] == tablePending || isBackupMark(key) {
		return l.fail(fmt.Errorf("store: row %x is not one of a snapshot", key))
	}
	if key[0] > tableLast {
		return l.fail(fmt.Errorf("%w: row %x", ErrNewerStore, key))
	}
	if string(key) == string(keyMeta(metaFormat)) {
		r := readRecord(value)
		if n := r.uint(); r.end() != nil || n > formatVersion {
			return l.fail(fmt.Errorf("%w: layout %d, this program knows %d", ErrNewerStore, n, formatVersion))
		}
	}
	return l.write(badger.NewEntry(bytes.Clone(key), bytes.Clone(value)))
}

// write adds to the transaction; an entry without value removes.
func (l *Loader) write(e *badger.Entry) error {
	if l.err != nil {
		return l.err
	}
	set := func() error {
		if e.Value == nil {
			return l.txn.Delete(e.Key)
		}
		return l.txn.SetEntry(e)
	}
	err := set()
	if errors.Is(err, badger.ErrTxnTooBig) {
		if err := l.flush(); err != nil {
			return err
		}
		err = set()
	}
	if err != nil {
		return l.fail(fmt.Errorf("store: load: %w", err))
	}
	if l.bulk += len(e.Key) + len(e.Value); l.bulk >= loadBulk {
		return l.flush()
	}
	return nil
}

func (l *Loader) fail(err error) error {
	if l.err == nil {
		l.err = err
	}
	return l.err
}

// flush hands the transaction over; the one before is durable then.
func (l *Loader) flush() error {
	if err := l.wait(); err != nil {
		return err
	}
	if err := l.s.room(spaceGrows); err != nil {
		return l.fail(err)
	}
	done := make(chan error, 1)
	l.pending = done
	if err := l.txn.CommitAt(l.ts, func(err error) { done <- err }); err != nil {
		l.pending = nil
		return l.fail(fmt.Errorf("store: load: %w", err))
	}
	l.begin()
	return nil
}

// wait waits for the transaction being synced.
func (l *Loader) wait() error {
	if l.pending != nil {
		err := <-l.pending
		l.pending = nil
		if err == nil {
			err = l.s.failure()
		}
		if err != nil {
			return l.fail(fmt.Errorf("store: load: %w", err))
		}
	}
	return l.err
}

// Keep removes every row whose key is not among keys, which are those of a
// snapshot, ascending (see Snapshot.Keys); with the record of a body go its
// facts and chunks.
func (l *Loader) Keep(ctx context.Context, keys iter.Seq2[[]byte, error]) error {
	if err := errors.Join(l.flush(), l.wait()); err != nil {
		return err
	}
	l.s.db.SetDiscardTs(l.ts - 1)
	next, stop := iter.Pull2(keys)
	defer stop()
	live, err, more := next()
	t := l.s.db.NewTransactionAt(l.ts-1, false)
	defer t.Discard()
	scanErr := scanTxn(t, scanOptions{keysOnly: true}, func(k, _ []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if k[0] == tableFacts || k[0] == tableChunk {
			return nil
		}
		for more && err == nil && bytes.Compare(live, k) < 0 {
			live, err, more = next()
		}
		if err != nil {
			return err
		}
		if more && bytes.Equal(live, k) {
			return nil
		}
		return l.remove(t, k)
	})
	for more && err == nil && scanErr == nil { // the rest is read, to be checked
		_, err, more = next()
	}
	return errors.Join(scanErr, err)
}

func (l *Loader) remove(t *badger.Txn, k []byte) error {
	if err := l.write(&badger.Entry{Key: bytes.Clone(k)}); err != nil {
		return err
	}
	if k[0] != tableBlob {
		return nil
	}
	id := BlobID(id64(k, 0))
	if err := l.write(&badger.Entry{Key: keyFacts(id)}); err != nil {
		return err
	}
	return scanTxn(t, scanOptions{prefix: key(tableChunk, uint64(id)), keysOnly: true}, func(k, _ []byte) error {
		return l.write(&badger.Entry{Key: bytes.Clone(k)})
	})
}

// Close makes all that was written durable. The folder then holds a store for
// Open; where it returns an error, one to be removed.
//
// A store goes back to an older state when it is restored, and clients know
// the newer one: had it given out a UID or a mod-sequence that is to come once
// more, they would take one message for another, or miss changes. So all
// counters go far ahead, and the change log begins anew.
func (l *Loader) Close() error {
	if l.s.db == nil {
		return ErrClosed
	}
	err := errors.Join(l.wait(), l.err)
	if err == nil {
		err = l.skipIDs()
	}
	if err == nil {
		err = errors.Join(l.flush(), l.wait())
	}
	l.txn.Discard()
	if cerr := l.s.end(l.s.db.Close); err == nil {
		err = errors.Join(cerr, l.s.failure())
	}
	l.s.db = nil
	if err != nil {
		return fmt.Errorf("store: load: %w", err)
	}
	return syncDir(l.s.dir)
}
