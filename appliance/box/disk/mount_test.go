package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Two programs write the boot volume when the box first serves mail: init, that
// the version is good, and boxd, that the provisioning file is applied.
func TestWritableByOneAtATime(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("test", dir, "tmpfs", unix.MS_RDONLY|dataFlags, "size=4m"); errors.Is(err, unix.EPERM) {
		t.Skip("mounting is not allowed here: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	var all sync.WaitGroup
	for who := range 4 {
		all.Go(func() {
			err := Writable(dir, func() error {
				// Long enough for the others to begin.
				for i := range 500 {
					if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(who)+"-"+strconv.Itoa(i)), nil, 0o600); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := os.WriteFile(filepath.Join(dir, "later"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("afterwards: %v", err)
	}
	if err := Writable(filepath.Join(dir, "none"), func() error { return nil }); !errors.Is(err, unix.ENOENT) {
		t.Errorf("nothing there: %v", err)
	}
}

// mount(2) says in two ways that a disk takes no writes.
func TestUnwritable(t *testing.T) {
	for err, want := range map[error]error{unix.EACCES: ErrReadOnly, unix.EROFS: ErrReadOnly, unix.EIO: unix.EIO} {
		if got := unwritable(&os.PathError{Op: "mount", Path: "/state", Err: err}); !errors.Is(got, want) {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
	if err := unwritable(nil); err != nil {
		t.Error(err)
	}
}
