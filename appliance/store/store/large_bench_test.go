package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// largeEnv is how many messages the large store has, largeDefault where it is
// not set.
const (
	largeEnv     = "PILLARBOX_BENCH_MESSAGES"
	largeDefault = 1_000_000
)

// fillLarge delivers n small messages to 20 accounts, the first of which has
// them all in INBOX, the others in several mailboxes.
func fillLarge(b *testing.B, s *Store, n int) (first MailboxID) {
	ctx := context.Background()
	var accounts []AccountID
	for range 20 {
		accounts = append(accounts, newAccount(b, s))
	}
	index := bytes.Repeat([]byte("structure "), 12)
	done := make(chan error, 2)
	for part := range 2 {
		go func() {
			var batch []Delivery
			for i := part; i < n; i += 2 {
				sp, err := s.Spool(ctx)
				if err != nil {
					done <- err
					return
				}
				body := message(i, 700)
				if _, err := sp.Write(body); err != nil {
					done <- err
					return
				}
				// Not in turns: each account's mail lies close together, as it
				// does after an import.
				a := i * len(accounts) / n
				name := inbox
				if a > 0 && i%3 > 0 {
					name = fmt.Sprintf("Lists/%d", i%30)
				}
				batch = append(batch, Delivery{Body: sp, Placements: []Placement{{Account: accounts[a], Name: name}}, Facts: Facts{
					MessageID: fmt.Sprintf("%d@bench.example", i), Subject: fmt.Sprintf("number %d", i%5000),
					Header: body[:bytes.Index(body, []byte("\r\n\r\n"))+4], Index: index, Preview: "line of words and figures at the beginning"}})
				if len(batch) == 200 {
					if _, err := s.DeliverAll(ctx, batch); err != nil {
						done <- err
						return
					}
					batch = batch[:0]
				}
			}
			_, err := s.DeliverAll(ctx, batch)
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	m, err := s.MailboxByName(ctx, accounts[0], inbox)
	if err != nil {
		b.Fatal(err)
	}
	return m.ID
}

// memory tells what the process has in memory, bytes: its own, and pages of files.
func memory(b *testing.B) (own, files int64) {
	runtime.GC()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		name, v, _ := strings.Cut(line, ":")
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
		switch {
		case err != nil:
		case name == "RssAnon":
			own = kb << 10
		case name == "RssFile":
			files = kb << 10
		}
	}
	return own, files
}

// copyLive copies a store's files while nothing is committed. Compaction goes
// on, so the list of tables comes first, and once more where one went meanwhile.
func copyLive(from, to string) error {
	for {
		err := os.RemoveAll(to)
		list, readErr := os.ReadFile(filepath.Join(from, "MANIFEST"))
		files, dirErr := os.ReadDir(from)
		if err := errors.Join(err, readErr, dirErr); err != nil {
			return err
		}
		err = image{"MANIFEST": list}.write(to)
		for _, f := range files {
			if err != nil || f.Name() == "MANIFEST" || f.Name() == "LOCK" {
				continue
			}
			var data []byte
			if data, err = os.ReadFile(filepath.Join(from, f.Name())); err == nil {
				err = image{f.Name(): data}.write(to)
			}
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
}

// BenchmarkLarge opens a store with a million messages, after it was closed
// and after a crash, and lists a mailbox in it.
func BenchmarkLarge(b *testing.B) {
	n := largeDefault
	if v := os.Getenv(largeEnv); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			b.Fatal(err)
		}
	}
	ctx := context.Background()
	dir, crashed := b.TempDir(), b.TempDir()
	s, err := Open(ctx, dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	inboxID := fillLarge(b, s, n)
	rate := float64(n) / time.Since(start).Seconds()
	own, files := memory(b)
	b.Logf("filled with %d messages at %.0f/s; then %d MB of its own in memory, %d MB of files", n, rate, own/1e6, files/1e6)
	// The files as they are now are what a crash leaves.
	if err := s.exclusive(func() error { return copyLive(dir, crashed) }); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ name, dir string }{{"Open/closed", dir}, {"Open/crashed", crashed}} {
		b.Run(c.name, func(b *testing.B) {
			var first time.Duration // the only one of a crashed store
			var own, files int64
			for b.Loop() {
				start := time.Now()
				s, err := Open(ctx, c.dir, Options{})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if first == 0 {
					first = time.Since(start)
					own, files = memory(b)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(first.Seconds(), "s-first")
			b.ReportMetric(float64(own)/1e6, "MB-own")
			b.ReportMetric(float64(files)/1e6, "MB-of-files")
		})
	}
	if s, err = Open(ctx, dir, Options{}); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.Run("List", func(b *testing.B) { benchList(b, s, inboxID) })
}

// benchList reads what a FETCH of FLAGS, ENVELOPE and BODYSTRUCTURE of 10,000
// messages reads.
func benchList(b *testing.B, s *Store, box MailboxID) {
	ctx := context.Background()
	n := 0
	for b.Loop() {
		var ids []BlobID
		_, err := s.Entries(ctx, box, 1, 10000, func(e Entry) error { ids = append(ids, e.Blob); return nil })
		if err != nil {
			b.Fatal(err)
		}
		n = 0
		if err := s.Facts(ctx, ids, WantIndex, func(int, *Facts) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
		if n == 0 {
			b.Fatal("nothing listed")
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	own, files := memory(b)
	b.ReportMetric(float64(own)/1e6, "MB-own")
	b.ReportMetric(float64(files)/1e6, "MB-of-files")
}
