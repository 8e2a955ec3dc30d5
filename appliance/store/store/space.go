package store

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// minFreeLeast and minFreeMost bound the share of the disk that is kept
	// free: below the first Badger could not compact, above the second more
	// is no use.
	minFreeLeast = 512 << 20
	minFreeMost  = 10 << 30
)

// Accepting reports whether mail can be stored now: nil, ErrNoSpace or
// ErrReadOnly. Servers ask it before they take a body.
func (s *Store) Accepting() error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.growing()
}

// growing reports ErrNoSpace where the disk has no room for more.
func (s *Store) growing() error {
	total, free, err := s.statfs()
	if err != nil {
		return err
	}
	least := s.o.MinFree
	if least == 0 {
		least = min(max(total/10, minFreeLeast), minFreeMost)
	}
	if free < least {
		return fmt.Errorf("%w: %d MiB free, %d needed", ErrNoSpace, free>>20, least>>20)
	}
	return nil
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

func (s *Store) openReserve() {}
