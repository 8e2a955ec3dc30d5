package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Badger writes to its value log through a mapping, and the kernel fills a
// mapping's page cache by its readahead, in folios that grow to megabytes. A
// write marks the whole folio dirty, so that each sync of a few KiB wrote
// more than a MiB to the disk (measured: 1.3 MB for a message of 100 KiB, 39 KB
// without readahead; ext4, Linux 6.18). So readahead is turned off for the one
// file of the value log that is written to. The others are only read, and a
// body read from a cold disk is the better for it.

// valueLog knows which file of the value log is written to.
type valueLog struct{ next string } // the file that will follow it

// valueLogName is the name Badger gives the files of its value log.
func valueLogName(n uint64) string { return fmt.Sprintf("%06d.vlog", n) }

// advise tells the kernel about a file of the value log that is new. It costs
// one stat(2) where there is none. What goes wrong costs speed alone.
func (s *Store) advise() {
	if s.vlog.next != "" {
		if _, err := os.Lstat(s.vlog.next); err != nil {
			return
		}
	}
	if err := s.adviseMappings(); err != nil {
		s.log.Warn("the value log is written with readahead, which is slow", "error", err)
	}
}

func (s *Store) adviseMappings() error {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var newest uint64
	for _, f := range files {
		if n, err := strconv.ParseUint(strings.TrimSuffix(f.Name(), ".vlog"), 10, 32); err == nil && f.Name() == valueLogName(n) {
			newest = max(newest, n)
		}
	}
	s.vlog.next = filepath.Join(dir, valueLogName(newest+1))
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for line := range strings.Lines(string(maps)) {
		lo, hi, path, ok := parseMapping(line)
		if !ok || filepath.Dir(path) != dir || filepath.Ext(path) != ".vlog" {
			continue
		}
		advice := unix.MADV_NORMAL
		if filepath.Base(path) == valueLogName(newest) {
			advice = unix.MADV_RANDOM
		}
		// The mapping is Badger's, of which there is an address only. One that
		// is gone meanwhile answers ENOMEM.
		_, _, e := unix.Syscall(unix.SYS_MADVISE, uintptr(lo), uintptr(hi-lo), uintptr(advice))
		if e != 0 && e != unix.ENOMEM {
			return fmt.Errorf("store: madvise: %w", e)
		}
	}
	return nil
}

// parseMapping reads a line of /proc/PID/maps (proc_pid_maps(5)); ok where it
// is of a file.
func parseMapping(line string) (lo, hi uint64, path string, ok bool) {
	i := strings.IndexByte(line, '/')
	if i < 0 {
		return 0, 0, "", false
	}
	addresses, _, _ := strings.Cut(line, " ")
	from, to, _ := strings.Cut(addresses, "-")
	lo, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return 0, 0, "", false
	}
	if hi, err = strconv.ParseUint(to, 16, 64); err != nil {
		return 0, 0, "", false
	}
	return lo, hi, strings.TrimRight(line[i:], "\n"), true
}
