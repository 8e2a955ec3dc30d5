package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, content := range []string{"one", "", "three"} {
		if err := Write(path, []byte(content), 0o640, Owner(os.Getuid(), os.Getgid())); err != nil {
			t.Fatal(err)
		}
		expect(t, path, content)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode() != 0o640 {
		t.Fatalf("got mode %v, %v", fi.Mode(), err)
	}
}

// Whatever step fails, the name holds the old content or the new.
func TestFailureAtEachStep(t *testing.T) {
	fault := errors.New("disk on fire")
	for _, step := range []string{StepCreate, StepWrite, StepSync, StepRename, StepSyncDir} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if err := Write(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Write(path, []byte("new"), 0o600, Hook(func(s string) error {
				if s == step {
					return fault
				}
				return nil
			}))
			if !errors.Is(err, fault) {
				t.Fatalf("got %v", err)
			}
			want := "old"
			if step == StepSyncDir {
				want = "new"
			}
			expect(t, path, want)
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if err := Write(path, []byte("newer"), 0o600); err != nil {
				t.Fatal(err)
			}
			expect(t, path, "newer")
		})
	}
}

// What a crash left of an earlier attempt, with whatever mode, is no hindrance.
func TestLeftoverIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".f.new"), []byte("half of it and more"), 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, path, "x")
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o600 {
		t.Fatalf("got %v, %v", fi.Mode(), err)
	}
}

func TestNoFolder(t *testing.T) {
	err := Write(filepath.Join(t.TempDir(), "none", "f"), nil, 0o600)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
}

func expect(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}
