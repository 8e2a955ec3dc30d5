package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPassThrough(t *testing.T) {
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	n, err := unix.IoctlGetInt(int(far.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(far.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	near, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
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
