package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"pillarbox/appliance/store/blob"
)

// formatVersion is the version of the whole layout. A store with a higher one
// is refused.
const formatVersion = 1

// valueThreshold is the size from which a value goes to the value log. Lists
// and facts stay below it, so that reading them touches the tree alone; bodies
// above it are not rewritten with each compaction.
const valueThreshold = 2 << 10

// endWait is what Badger gets to close once the store has failed.
const endWait = time.Second

// Options sets up a store. The zero value of each field is a sound default.
type Options struct {
	Log *slog.Logger
	// Now is the clock; time.Now where nil.
	Now func() time.Time
	// MinFree is the free space in bytes below which no mail is accepted;
	// where 0, a tenth of the disk, but no less than 512 MiB and no more than 10 GiB.
	MinFree int64
	// Reserve is the size in bytes of the file that keeps room for Badger to
	// open on a full disk; 0 means none (tests).
	Reserve int64
	// UndeleteFor is how long expunged mail stays restorable; 14 days where 0, none where negative.
	UndeleteFor time.Duration
	// ChangesFor is how long the change log is kept; 60 days where 0.
	ChangesFor time.Duration
	// EncryptionKey, 16, 24 or 32 bytes, encrypts the store at rest (AES-CTR,
	// under data keys that change every 30 days): who takes the disk away
	// cannot read it. It does not notice who changes it. It is chosen when the
	// store is made; with any other key, or none, Open answers ErrBadKey.
	EncryptionKey []byte
	// Statfs tells the size of the disk and its free space in bytes; the file
	// system is asked where nil (tests fill the disk by it).
	Statfs func() (total, free int64, err error)
	// Small takes buffers and files of a test's size instead of a box's.
	Small bool
}

// Store is the mail store. Its methods are safe for concurrent use.
type Store struct {
	dir   string
	o     Options
	log   *slog.Logger
	now   func() time.Time
	codec *blob.Codec

	dbMu sync.RWMutex // held to read by whoever uses db, to write by who replaces it
	db   *badger.DB

	// tables is held by a pause and by who reads all tables at one go: for a
	// pause that waited for that reader in dbMu, everybody would wait.
	tables sync.Mutex

	snaps     snapshots
	hub       hub
	committer *committer
	actors    atomic.Uint64
	lastBlob  atomic.Uint64
	lastAcct  atomic.Uint64
	broken    atomic.Pointer[error] // why the store is read-only
	noReserve atomic.Bool           // the reserve was given up, or could not be made
	zone      atomic.Pointer[time.Location]
	undelete  atomic.Int64 // how long expunged mail stays restorable, nanoseconds
	lastMail  atomic.Int64 // when a delivery was last made durable, nanoseconds
	abandoned abandoned    // spooled bodies the keeper is to drop
	garbage   atomic.Int64 // bytes of bodies removed since space was last given back
	reclaimed time.Time    // when the keeper last gave space back

	nextLogs []string // files Badger's logs will go on in; the committer's, from start on

	// step, set by tests, is called where a crash would be most unwelcome.
	stepHook func(name string)

	closing sync.RWMutex
	closed  bool
	keeper  keeper
}

// Open opens the store in dir, making it where there is none. ErrNewerStore.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o.defaults()
	s := &Store{dir: dir, o: o, log: o.Log, now: o.Now}
	s.KeepDeleted(o.UndeleteFor)
	s.SetZone(time.Local)
	s.snaps.active = map[uint64]int{}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := s.keepReserve(); err != nil { // before Badger needs the room
		s.log.Error("no reserve on the disk", "error", err)
	}
	var err error
	if s.codec, err = blob.NewCodec(); err != nil {
		return nil, err
	}
	if err := s.openDB(); err != nil {
		s.codec.Close()
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		_ = s.db.Close()
		s.codec.Close()
		return nil, err
	}
	return s, nil
}

func (o *Options) defaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.UndeleteFor == 0 {
		o.UndeleteFor = 14 * 24 * time.Hour
	}
	if o.ChangesFor == 0 {
		o.ChangesFor = 60 * 24 * time.Hour
	}
}

// badgerOptions is how Badger is run: measured on a box of 2 GiB.
func (s *Store) badgerOptions() badger.Options {
	o := badger.DefaultOptions(s.dir).
		WithSyncWrites(true).
		WithDetectConflicts(false). // the committer is the only writer
		WithVerifyValueChecksum(true).
		WithValueThreshold(valueThreshold).
		// What is long is compressed before it comes here. While much mail
		// came in, zstd took a third of the processor for 3 in 100 of the disk.
		WithCompression(options.Snappy).
		WithNumCompactors(2).
		// One table on level 0 starts a compaction: the value log's garbage
		// is only known once compaction has met it.
		WithNumLevelZeroTables(1).WithNumLevelZeroTablesStall(6).WithCompactL0OnClose(true).
		// Badger keeps eight buffers for writing tables, each three times as
		// long as this: they are most of the memory of a busy box.
		WithMemTableSize(8 << 20).WithNumMemtables(2).
		WithBlockCacheSize(32 << 20).WithIndexCacheSize(16 << 20).
		WithValueLogFileSize(128 << 20).
		WithMetricsEnabled(false).
		WithLogger(badgerLog{s})
	if s.o.Small {
		o = o.WithMemTableSize(4 << 20).WithValueLogFileSize(8 << 20).
			WithBlockCacheSize(2 << 20).WithIndexCacheSize(2 << 20)
	}
	if len(s.o.EncryptionKey) > 0 {
		o = o.WithEncryptionKey(s.o.EncryptionKey).WithEncryptionKeyRotationDuration(30 * 24 * time.Hour)
	}
	return o
}

// openDB opens Badger in managed mode: commits are numbered by the committer,
// so that reading never waits for a sync that is under way.
func (s *Store) openDB() error {
	if err := removeEmpty(s.dir); err != nil {
		return err
	}
	db, err := badger.OpenManaged(s.badgerOptions())
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return fmt.Errorf("%w: %s", ErrBadKey, s.dir)
	}
	if err != nil {
		return fmt.Errorf("store: open %s: %w", s.dir, err)
	}
	if err := syncDir(s.dir); err != nil { // Badger does not
		_ = db.Close()
		return err
	}
	s.db = db
	s.nextLogs = nil
	s.advise()
	return nil
}

// removeEmpty removes what a crash between making a file of Badger's and giving
// it its length leaves: Badger does not open with such a file, and nothing can
// be in it.
func removeEmpty(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for _, f := range files {
		if ext := filepath.Ext(f.Name()); ext != ".mem" && ext != ".vlog" {
			continue
		}
		info, err := f.Info()
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if info.Size() > 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}

// start reads the store's counters, or writes the first ones, and sets the
// committer going.
func (s *Store) start(ctx context.Context) error {
	c := newCommitter(s)
	s.committer = c
	c.lastTs = s.db.MaxVersion()
	c.maxRows, c.maxSize = s.db.MaxBatchCount(), s.db.MaxBatchSize()
	s.snaps.done = c.lastTs
	s.db.SetDiscardTs(c.lastTs)

	fresh, err := s.readFormat()
	if err != nil {
		return err
	}
	if !fresh {
		if c.global, err = s.readGlobal(); err != nil {
			return err
		}
	}
	if err := s.nextBlob(c.global.LastBlob); err != nil {
		return err
	}
	s.lastAcct.Store(uint64(c.global.LastAccount))
	if err := s.findAbandoned(); err != nil {
		return err
	}
	go c.run()
	if fresh {
		if _, err := s.submit(ctx, formatOp{formatVersion}); err != nil {
			s.stopCommitter()
			return err
		}
	}
	s.keeper.start(s)
	return nil
}

// formatOp writes the version of the layout into a new store.
type formatOp struct{ Version uint64 }

func (o formatOp) apply(st *stage) (any, error) {
	st.put(keyMeta(metaFormat), binary.AppendUvarint([]byte{recordVersion}, o.Version))
	return nil, nil
}

// readFormat tells whether the store is new, and refuses one of a newer program.
func (s *Store) readFormat() (fresh bool, err error) {
	v := s.view()
	defer v.close()
	err = v.get(keyMeta(metaFormat), func(val []byte) error {
		r := readRecord(val)
		n := r.uint()
		if err := r.end(); err != nil {
			return damaged("meta", metaFormat, err)
		}
		if n > formatVersion {
			return fmt.Errorf("%w: layout %d, this program knows %d", ErrNewerStore, n, formatVersion)
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	return false, err
}

func (s *Store) readGlobal() (g globalRec, err error) {
	v := s.view()
	defer v.close()
	err = v.get(keyMeta(metaGlobal), func(val []byte) (err error) {
		g, err = decodeGlobal(val)
		return damaged("meta", metaGlobal, err)
	})
	return g, err
}

// nextBlob makes body ids go on after the last one used, spooled bodies that
// were never delivered included.
func (s *Store) nextBlob(last BlobID) error {
	v := s.view()
	defer v.close()
	for _, t := range []byte{tablePending, tableBlob} {
		err := v.txn(func(t2 *badger.Txn) error {
			o := badger.DefaultIteratorOptions
			o.PrefetchValues, o.Reverse = false, true
			it := t2.NewIterator(o)
			defer it.Close()
			it.Seek([]byte{t + 1})
			for ; it.ValidForPrefix([]byte{t}); it.Next() {
				last = max(last, BlobID(id64(it.Item().Key(), 0)))
				break
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.lastBlob.Store(uint64(last))
	return nil
}

func (s *Store) step(name string) {
	if s.stepHook != nil {
		s.stepHook(name)
	}
}

// Close waits for work under way, then closes. Calls after it answer ErrClosed.
func (s *Store) Close() error {
	s.keeper.stop()
	s.closing.Lock()
	if s.closed {
		s.closing.Unlock()
		return nil
	}
	s.closed = true
	s.closing.Unlock()
	s.stopCommitter()
	s.hub.close()
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	err := s.failure()
	if s.db != nil { // else a pause has closed it, and could not open it again
		err = s.end(s.db.Close)
		s.db = nil
	}
	s.codec.Close()
	if err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

// end closes Badger by its method close. Badger tries for ever to write a table
// out that the disk does not take: so once the store has failed, it is given
// endWait, and then left to itself.
func (s *Store) end(close func() error) error {
	done := make(chan error, 1)
	go func() { done <- close() }()
	t := time.NewTicker(endWait)
	defer t.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-t.C:
			if err := s.failure(); err != nil {
				return err
			}
		}
	}
}

func (s *Store) stopCommitter() {
	close(s.committer.stop)
	<-s.committer.stopped
}

// fail makes the store read-only for good: after a failed sync nobody knows
// what is on the disk, and only opening anew finds out.
func (s *Store) fail(err error) {
	if s.broken.CompareAndSwap(nil, &err) {
		s.log.Error("store is read-only until it is opened anew", "cause", err)
	}
}

// failure tells why the store is read-only, nil where it is not.
func (s *Store) failure() error {
	if p := s.broken.Load(); p != nil {
		return fmt.Errorf("%w: %w", ErrReadOnly, *p)
	}
	return nil
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("store: sync %s: %w", dir, err)
	}
	return nil
}
