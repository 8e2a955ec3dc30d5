package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what the process has used of its processors.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// written is what the process has had written to disks, bytes.
func written(b *testing.B) int64 {
	io, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(io)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// BenchmarkDeliver delivers to one of 50 accounts each, durably, from so many
// sessions at once.
func BenchmarkDeliver(b *testing.B) {
	for _, size := range []int{4 << 10, 100 << 10} {
		for _, sessions := range []int{1, 10, 50, 200} {
			b.Run(fmt.Sprintf("size=%dKiB/sessions=%d", size>>10, sessions), func(b *testing.B) { benchDeliver(b, Options{}, size, sessions) })
		}
	}
}

func benchDeliver(b *testing.B, o Options, size, sessions int) {
	ctx := context.Background()
	s, err := Open(ctx, b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var accounts []AccountID
	for range 50 {
		accounts = append(accounts, newAccount(b, s))
	}
	bodies := make([][]byte, 64)
	for i := range bodies {
		bodies[i] = message(i, size)
	}
	index := bytes.Repeat([]byte("structure "), 12)
	var next, failed atomic.Int64
	cpu, disk := cpuTime(b), written(b)
	b.SetBytes(int64(size))
	b.ResetTimer()
	done := make(chan error, sessions)
	for range sessions {
		go func() {
			for {
				n := int(next.Add(1))
				if n > b.N {
					done <- nil
					return
				}
				if err := benchOne(ctx, s, n, bodies[n%len(bodies)], index, accounts[n%len(accounts)]); err != nil {
					failed.Add(1)
					done <- err
					return
				}
			}
		}()
	}
	for range sessions {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/msg")
	b.ReportMetric(float64(written(b)-disk)/float64(b.N), "written-B/msg")
}

func benchOne(ctx context.Context, s *Store, n int, body, index []byte, to AccountID) error {
	sp, err := s.Spool(ctx)
	if err != nil {
		return err
	}
	defer sp.Abort()
	// What makes each message another one, as the trace header does.
	if _, err := fmt.Fprintf(sp, "Received: from bench by store with number %d\r\n", n); err != nil {
		return err
	}
	if _, err := sp.Write(body); err != nil {
		return err
	}
	head := body[:bytes.Index(body, []byte("\r\n\r\n"))+4]
	_, err = s.Deliver(ctx, Delivery{Body: sp, Placements: []Placement{{Account: to}}, Facts: Facts{
		Size: sp.Size(), MessageID: fmt.Sprintf("%d@bench.example", n), Subject: fmt.Sprintf("number %d", n%1000),
		Sent: time.Unix(1.7e9, 0), Header: head, Index: index, Preview: "line of words and figures in the beginning of the message",
	}})
	return err
}

// BenchmarkHuge delivers messages of 50 MB from four sessions and tells
// the most memory the process had of its own.
func BenchmarkHuge(b *testing.B) {
	ctx := context.Background()
	s, err := Open(ctx, b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	acct := newAccount(b, s)
	part := message(1, 64<<10)
	const parts, sessions = 50_000_000 / (64 << 10), 4
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				peak <- most
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, int64(m.Sys-m.HeapReleased))
			}
		}
	}()
	b.SetBytes(sessions * parts * int64(len(part)))
	for b.Loop() {
		done := make(chan error, sessions)
		for range sessions {
			go func() {
				sp, err := s.Spool(ctx)
				if err != nil {
					done <- err
					return
				}
				defer sp.Abort()
				for range parts {
					if _, err := sp.Write(part); err != nil {
						done <- err
						return
					}
				}
				_, err = s.Deliver(ctx, Delivery{Body: sp, Placements: []Placement{{Account: acct}}})
				done <- err
			}()
		}
		for range sessions {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	}
	close(stop)
	b.ReportMetric(float64(<-peak)/1e6, "MB-peak")
}

// BenchmarkEncrypted is BenchmarkDeliver at 50 sessions with encryption at rest.
func BenchmarkEncrypted(b *testing.B) {
	for _, size := range []int{4 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("size=%dKiB/sessions=50", size>>10), func(b *testing.B) {
			benchDeliver(b, Options{EncryptionKey: bytes.Repeat([]byte{1}, 32)}, size, 50)
		})
	}
}
