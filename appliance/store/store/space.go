package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Badger maps its files sparse, so a full disk shows as SIGBUS and ends the
// process, and again at every start. So the store never lets it come to that.
// It asks for the free space before every op, and as it shrinks refuses first
// what makes the store larger, then what does not make it smaller, then all:
//
//	free >= MinFree      everything
//	free >= MinFree/2    no new mail, copies, mailboxes or accounts
//	free >= MinFree/8    only what removes
//	below                nothing
//
// Beside the store lies the reserve file. It is given up when the second step
// is passed, or at a start that finds the disk full, so that there is room to
// open, to remove and to compact; it is made again once there is space. While
// it is given up, its size is not for mail: MinFree counts as so much more.
const (
	// minFreeLeast and minFreeMost bound MinFree where it is not set: below
	// the first Badger could not compact, above the second more is no use.
	minFreeLeast = 512 << 20
	minFreeMost  = 10 << 30
)

// spaceUse says what an op does to the disk.
type spaceUse int

const (
	spaceKeeps   spaceUse = iota // changes what is there: flags, names, retries
	spaceGrows                   // adds
	spaceShrinks                 // removes, and so must go on for longest
)

// sized is implemented by ops that do not just keep the size.
type sized interface{ space() spaceUse }

func (o deliverOp) space() spaceUse {
	if o.Blob != 0 {
		return spaceGrows
	}
	return spaceKeeps
}

func (o copyOp) space() spaceUse {
	if o.Move {
		return spaceKeeps
	}
	return spaceGrows
}

func (chunkOp) space() spaceUse         { return spaceGrows }
func (putIndexOp) space() spaceUse      { return spaceGrows }
func (createAccountOp) space() spaceUse { return spaceGrows }
func (createMailboxOp) space() spaceUse { return spaceGrows }
func (undeleteOp) space() spaceUse      { return spaceKeeps }
func (expungeOp) space() spaceUse       { return spaceShrinks }
func (deleteAccountOp) space() spaceUse { return spaceShrinks }
func (deleteMailboxOp) space() spaceUse { return spaceShrinks }
func (purgeOp) space() spaceUse         { return spaceShrinks }
func (dropRowsOp) space() spaceUse      { return spaceShrinks }
func (dropPendingOp) space() spaceUse   { return spaceShrinks }
func (dropExpungedOp) space() spaceUse  { return spaceShrinks }
func (dropDocsOp) space() spaceUse      { return spaceShrinks }
func (dropBodiesOp) space() spaceUse    { return spaceShrinks }
func (cutLogOp) space() spaceUse        { return spaceShrinks }
func (dropThreadsOp) space() spaceUse   { return spaceShrinks }

func (o queueOp) space() spaceUse {
	for _, c := range o.Changes {
		if c.Entry != nil {
			return spaceKeeps
		}
	}
	return spaceShrinks
}

// room reports ErrNoSpace where the disk is too full for an op of such use.
func (s *Store) room(u spaceUse) error {
	total, free, err := s.statfs()
	if err != nil {
		return err
	}
	need := s.minFree(total)
	switch u {
	case spaceGrows:
		if s.noReserve.Load() {
			need += s.o.Reserve
		}
	case spaceKeeps:
		need /= 2
	case spaceShrinks:
		need /= 8
	}
	if free < need {
		return fmt.Errorf("%w: %d MiB free, %d needed", ErrNoSpace, free>>20, need>>20)
	}
	return nil
}

// roomFor is room for an op.
func (s *Store) roomFor(o op) error {
	if z, ok := o.(sized); ok {
		return s.room(z.space())
	}
	return s.room(spaceKeeps)
}

// minFree is the free space below which nothing is added.
func (s *Store) minFree(total int64) int64 {
	if s.o.MinFree > 0 {
		return s.o.MinFree
	}
	return min(max(total/10, minFreeLeast), minFreeMost)
}

// Accepting reports whether mail can be stored now: nil, ErrNoSpace or
// ErrReadOnly. Servers ask it before they take a body.
func (s *Store) Accepting() error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.room(spaceGrows)
}

// statfs asks for the size of the store's disk and its free space in bytes.
func (s *Store) statfs() (total, free int64, err error) {
	if s.o.Statfs != nil {
		return s.o.Statfs()
	}
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, 0, fmt.Errorf("store: free space of %s: %w", s.dir, err)
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
}

// reservePath is where the reserve file lies: beside the store's folder.
func (s *Store) reservePath() string { return filepath.Join(filepath.Dir(s.dir), "reserve") }

// keepReserve makes the reserve file where there is room for it, and gives it
// up where the disk is nearly full.
func (s *Store) keepReserve() error {
	if s.o.Reserve <= 0 {
		return nil
	}
	total, free, err := s.statfs()
	if err != nil {
		return err
	}
	_, statErr := os.Stat(s.reservePath())
	there := statErr == nil
	s.noReserve.Store(!there)
	switch {
	case there && free < s.minFree(total)/2:
		s.log.Warn("the disk is nearly full: giving up the reserve", "free", free)
		if err := os.Remove(s.reservePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("store: reserve: %w", err)
		}
		s.noReserve.Store(true)
		return syncDir(filepath.Dir(s.dir))
	case !there && free >= s.minFree(total)+s.o.Reserve:
		if err := s.makeReserve(); err != nil {
			return err
		}
		s.noReserve.Store(false)
	}
	return nil
}

// makeReserve allots the reserve file's blocks under another name first, so
// that a half made one is never taken for it.
func (s *Store) makeReserve() (err error) {
	path := s.reservePath()
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("store: reserve: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			if rm := os.Remove(path + ".new"); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
				err = errors.Join(err, rm)
			}
		}
	}()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, s.o.Reserve); err != nil {
		return fmt.Errorf("store: reserve: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("store: reserve: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("store: reserve: %w", err)
	}
	return syncDir(filepath.Dir(s.dir))
}
