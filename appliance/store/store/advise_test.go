package store

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// randomFlags tells of each mapped file of a log whether it is mapped
// without readahead ("rr" among its flags, proc_pid_smaps(5)).
func randomFlags(t *testing.T, dir, kind string) map[string]bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	file := ""
	for line := range strings.Lines(string(b)) {
		if !strings.Contains(strings.Fields(line)[0], ":") || strings.Contains(line, "/") {
			_, _, path, ok := parseMapping(line)
			if file = ""; ok && filepath.Dir(path) == dir && filepath.Ext(path) == kind {
				file = filepath.Base(path)
			}
			continue
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && file != "" {
			out[file] = strings.Contains(flags, " rr")
		}
	}
	return out
}

func TestLogsAreWrittenWithoutReadahead(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir, Options{})
	acct := newAccount(t, s)
	check := func(kind string, files int) {
		t.Helper()
		flags := randomFlags(t, dir, kind)
		if len(flags) < files {
			t.Fatalf("%d files of %s: %v", len(flags), kind, flags)
		}
		newest := ""
		for f := range flags {
			newest = max(newest, f)
		}
		for f, random := range flags {
			if random != (f == newest) {
				t.Errorf("%s without readahead: %v (%v)", f, random, flags)
			}
		}
	}
	check(".vlog", 1)
	check(".mem", 1)
	body := make([]byte, 2<<20) // no compression makes it shorter; 8 MiB go to a file
	rand.NewChaCha8([32]byte{}).Read(body)
	for range 12 {
		deliver(t, s, body, Placement{Account: acct})
	}
	check(".vlog", 3)
	if err := s.Reclaim(context.Background()); err != nil {
		t.Fatal(err)
	}
	check(".vlog", 2)
	check(".mem", 1)
}
