//go:build vm

package image_test

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"pillarbox/board"
	"pillarbox/image"
	"pillarbox/initramfs"
)

// TestReproducible builds one commit twice, the second time from a copy of the
// sources in another folder with nothing of the first build but the packages,
// and compares the bytes.
func TestReproducible(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(root, "build", "cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "elsewhere")
	if out, err := exec.Command("git", "clone", "-q", "--no-hardlinks", root, copied).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v: %s", err, out)
	}
	otherCache := filepath.Join(copied, "build", "cache")
	if err := os.MkdirAll(otherCache, 0o755); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(t.TempDir(), "first")
	if out, err := exec.Command("git", "clone", "-q", "--no-hardlinks", copied, first).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v: %s", err, out)
	}
	a := build(t, first, cache)
	if err := os.CopyFS(filepath.Join(otherCache, "debs"), os.DirFS(filepath.Join(cache, "debs"))); err != nil {
		t.Fatalf("packages of the first build: %v", err)
	}
	b := build(t, copied, otherCache)
	if a != b {
		t.Errorf("two builds of one commit differ: %x and %x", a, b)
	}
}

func build(t *testing.T, root, cache string) [32]byte {
	t.Helper()
	b, err := board.Load(root, "qemu-x86_64")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := board.LoadLock(root)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	when := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	archive := &board.Archive{Dir: cache, Sources: "/etc/apt", Lock: lock, Log: log}
	c := image.Config{
		Board: b, Archive: archive, Version: "1.2.3", Time: when, Log: log,
		Initramfs: &initramfs.Config{Root: root, Cache: cache, Board: b, Archive: archive, Version: "1.2.3", Time: when, Log: log},
	}
	path := filepath.Join(t.TempDir(), "test.img")
	if _, err := c.Build(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}
