package vm

import (
	"os"
	"path/filepath"
	"testing"

	"pillarbox/appliance/console/ptytest"
)

func TestPassThrough(t *testing.T) {
	far, near := ptytest.Open(t)
	if err := passThrough(near); err != nil {
		t.Fatal(err)
	}
	if _, err := near.WriteString("a\nb"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 16)
	if n, err := far.Read(got); err != nil || string(got[:n]) != "a\nb" {
		t.Errorf("%q, %v", got[:n], err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := passThrough(file); err != nil {
		t.Errorf("of a file: %v", err)
	}
}
