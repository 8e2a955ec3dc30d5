package health

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/healthapi"
)

// Shares of a volume that is used, in percent.
const (
	spaceWatchPercent = 85
	spaceBadPercent   = 95
	memoryWatch       = 92 // of memory that is in use and cannot be freed
	memoryBad         = 98
)

// space reads how full a volume is.
func space(id, name, path string) []healthapi.Reading {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil || st.Blocks == 0 {
		return nil
	}
	block := float64(st.Bsize)
	used := float64(st.Blocks-st.Bfree) / float64(st.Blocks-st.Bfree+st.Bavail) * 100
	all := []healthapi.Reading{
		{ID: "space/" + id, Kind: healthapi.Percent, Name: "used space of the " + name + " volume", Value: used, WatchHigh: ptr(float64(spaceWatchPercent)), BadHigh: ptr(float64(spaceBadPercent))},
		{ID: "space/" + id + "/free", Kind: healthapi.Octets, Name: "free space of the " + name + " volume", Value: float64(st.Bavail) * block},
	}
	if st.Files > 0 { // some file systems have no fixed number of files
		used := float64(st.Files-st.Ffree) / float64(st.Files) * 100
		all = append(all, healthapi.Reading{ID: "space/" + id + "/files", Kind: healthapi.Percent, Name: "used inodes of the " + name + " volume", Value: used, WatchHigh: ptr(float64(spaceWatchPercent)), BadHigh: ptr(float64(spaceBadPercent))})
	}
	return all
}

// machine reads memory and load from the proc file system at proc.
func machine(proc string) []healthapi.Reading {
	var all []healthapi.Reading
	info := fields(filepath.Join(proc, "meminfo"))
	if total, avail := info["MemTotal"], info["MemAvailable"]; total > 0 {
		all = append(all, healthapi.Reading{ID: "system/memory", Kind: healthapi.Percent, Name: "memory in use", Value: (1 - avail/total) * 100, WatchHigh: ptr(float64(memoryWatch)), BadHigh: ptr(float64(memoryBad))})
	}
	if first, _, ok := strings.Cut(line(filepath.Join(proc, "loadavg")), " "); ok {
		if v, err := strconv.ParseFloat(first, 64); err == nil {
			all = append(all, healthapi.Reading{ID: "system/load", Kind: healthapi.Load, Name: "load", Value: v})
		}
	}
	return all
}

// fields reads lines such as "MemTotal:  1013032 kB".
func fields(path string) map[string]float64 {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	all := map[string]float64{}
	for s := bufio.NewScanner(f); s.Scan(); {
		key, rest, ok := strings.Cut(s.Text(), ":")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if v, err := strconv.ParseFloat(number, 64); err == nil {
			all[key] = v
		}
	}
	return all
}

// maxCrashFiles bounds what is kept of them: a dozen for each end.
const maxCrashFiles = 64

// lastWords collects what the kernel left behind when it ended badly, moves
// it to dir and says so once.
func lastWords(pstore, dir string) (finding, error) {
	f := finding{id: "system/crash"}
	entries, err := os.ReadDir(pstore)
	if err != nil || len(entries) == 0 {
		return f, nil // no pstore on this machine, or nothing in it
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return f, fmt.Errorf("keep the kernel's last words: %w", err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(pstore, e.Name()))
		if err != nil {
			return f, fmt.Errorf("keep the kernel's last words: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), raw, 0o600); err != nil {
			return f, fmt.Errorf("keep the kernel's last words: %w", err)
		}
		// The firmware's memory is small: a full one keeps nothing next time.
		if err := os.Remove(filepath.Join(pstore, e.Name())); err != nil {
			return f, fmt.Errorf("free the firmware's memory: %w", err)
		}
	}
	if err := keepNewest(dir, maxCrashFiles); err != nil {
		return f, fmt.Errorf("remove old last words of the kernel: %w", err)
	}
	f.level = healthapi.Watch
	f.what = "The system ended with an error before this start."
	f.means = "A driver or the hardware may be at fault. Mail that was accepted is safe."
	f.do = "If it comes again, make a support bundle: the kernel's last words are in it."
	return f, nil
}

// keepNewest removes the files of dir but the n that were written last.
func keepNewest(dir string, n int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	written := map[string]time.Time{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			written[e.Name()] = info.ModTime()
		}
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return written[b.Name()].Compare(written[a.Name()]) })
	for _, e := range entries[min(n, len(entries)):] {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// uptime is how long the machine has been running by the proc file system at proc.
func uptime(proc string) time.Duration {
	first, _, _ := strings.Cut(line(filepath.Join(proc, "uptime")), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}
