package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/initapi"
)

// stored are the lines of a service on disk.
func stored(t *testing.T, b *Book, service string) (lines []string) {
	t.Helper()
	if err := b.Stored(service, func(l initapi.LogLine) error { lines = append(lines, l.Text); return nil }); err != nil {
		t.Fatal(err)
	}
	return lines
}

// fill fills a pipe, so that who writes to it waits.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Write(func(fd uintptr) bool {
		for {
			if _, err := unix.Write(int(fd), make([]byte, 4096)); err != nil {
				return true
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// drain empties it again.
func drain(t *testing.T, pipe *os.File) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Read(func(fd uintptr) bool {
		for b := make([]byte, 64<<10); ; {
			if _, err := unix.Read(int(fd), b); err != nil {
				return true
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// A disk that hangs holds up nobody: neither who says something, nor who reads, nor
// the way off. Files of others are not written meanwhile, and the rings have all.
func TestDiskThatHangs(t *testing.T) {
	dir := t.TempDir()
	stuck := filepath.Join(dir, "stuck.log")
	if err := unix.Mkfifo(stuck, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(stuck, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, pipe)
	b := New(time.Now)
	if err := b.Persist(dir); err != nil {
		t.Fatal(err)
	}
	b.Add("stuck", "first")
	line := strings.Repeat("x", maxLine)
	for range 2 * maxQueued / maxLine { // more than may wait
		b.Add("talks", line)
	}
	b.Add("talks", "last")
	if got := texts(t, b, "talks", 1); got[0] != "talks:last" {
		t.Errorf("the last line is %.40q", got[0])
	}
	k := b.keeper
	if err := b.Close(); !errors.Is(err, errSlow) {
		t.Errorf("closed with %v", err)
	}
	b.Add("talks", "after the end")
	drain(t, pipe) // what hangs ends before the test, whose folder is removed then
	<-k.done
	pipe.Close()
}

// A volume that was full for a while gets what comes after, a line each.
func TestFileIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := New(time.Now)
		if err := os.Mkdir(filepath.Join(dir, "s.log"), 0o700); err != nil { // nothing can be written there
			t.Fatal(err)
		}
		if err := b.Persist(dir); err != nil {
			t.Fatal(err)
		}
		b.Add("s", "lost")
		synctest.Wait()
		if err := os.Remove(filepath.Join(dir, "s.log")); err != nil {
			t.Fatal(err)
		}
		b.Add("s", "too early")
		synctest.Wait()
		time.Sleep(tryAgain)
		b.Add("s", "kept")
		if got := strings.Join(stored(t, b, "s"), ","); got != "kept" {
			t.Errorf("on disk: %q", got)
		}
		if err := b.Close(); err == nil {
			t.Error("the fault went unreported")
		}
	})
}

// What a power cut leaves is read over: a line cut short is not the beginning of the
// next, and one without an end keeps nobody from the others.
func TestAfterAPowerCut(t *testing.T) {
	dir := t.TempDir()
	old := "2026-02-01T12:00:00.000Z whole\n" + strings.Repeat("\x00", 3*longest) + "\n2026-02-01T12:00:01.000Z cut sho"
	if err := os.WriteFile(filepath.Join(dir, "s.log"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	b := New(ticking())
	if err := b.Persist(dir); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.Add("s", "next")
	got := stored(t, b, "s")
	if n := len(got); n < 4 || got[0] != "whole" || got[n-2] != "cut sho" || got[n-1] != "next" {
		t.Errorf("%d lines: %.60q", n, got)
	}
	for _, l := range got {
		if strings.Contains(l, "\x00") {
			t.Errorf("a line that a terminal must not get: %.40q", l)
		}
	}
}

// A disk that is slow when the files are begun is no fault: what is to be there comes.
func TestSlowBeginning(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "slow.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(filepath.Join(dir, "slow.log"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, pipe)
	b := New(time.Now)
	b.Add("slow", "waits")
	b.Add("s", "comes later")
	if err := b.Persist(dir); err != nil {
		t.Error(err)
	}
	drain(t, pipe) // the disk goes on
	if got := stored(t, b, "s"); len(got) != 1 || got[0] != "comes later" {
		t.Errorf("on disk: %q", got)
	}
	b.Close()
}
