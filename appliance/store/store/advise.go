package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Badger writes to its value log and its write-ahead log through mappings, and
// the kernel fills a mapping's page cache by its readahead, in folios that grow
// to megabytes. A write marks the whole folio dirty, so that each sync of a few
// KiB wrote more than a MiB to the disk (measured: 1.3 MB for a message of
// 100 KiB, 39 KB without readahead; ext4, Linux 6.18). So readahead is turned
// off for the files that are written to. The other files of the value log are
// only read, and a body read from a cold disk is the better for it.

// logKinds are Badger's logs, by the ending of their files.
var logKinds = [...]string{".vlog", ".mem"}

// logName is the name Badger gives a file of a log.
func logName(kind string, n uint64) string {
	if kind == ".mem" {
		return fmt.Sprintf("%05d.mem", n)
	}
	return fmt.Sprintf("%06d.vlog", n)
}

// advise tells the kernel about files of the logs that are new. It costs a few
// stat(2) where there are none. What goes wrong costs speed alone.
func (s *Store) advise() {
	fresh := s.nextLogs == nil
	for _, path := range s.nextLogs {
		if _, err := os.Lstat(path); err == nil {
			fresh = true
		}
	}
	if !fresh {
		return
	}
	if err := s.adviseMappings(); err != nil {
		s.log.Warn("the store's logs are written with readahead, which is slow", "error", err)
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
	s.nextLogs = s.nextLogs[:0]
	written := map[string]bool{}
	for _, kind := range logKinds {
		var newest uint64
		for _, f := range files {
			n, err := strconv.ParseUint(strings.TrimSuffix(f.Name(), kind), 10, 32)
			if err == nil && f.Name() == logName(kind, n) {
				newest = max(newest, n)
			}
		}
		written[filepath.Join(dir, logName(kind, newest))] = true
		s.nextLogs = append(s.nextLogs, filepath.Join(dir, logName(kind, newest+1)))
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for line := range strings.Lines(string(maps)) {
		lo, hi, path, ok := parseMapping(line)
		if !ok || filepath.Dir(path) != dir || !slices.Contains(logKinds[:], filepath.Ext(path)) {
			continue
		}
		advice := unix.MADV_NORMAL
		if written[path] {
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
