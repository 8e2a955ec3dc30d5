// Package reset takes a box back to the day it was flashed: no settings, no
// mail, the questions of the first start.
//
// It is asked for by a mark on the state volume, and done by init at the next
// start, before any service has a file open: first the volumes are emptied, that of
// another disk that mail is kept on before anything forgets which it is; the mark
// goes last. A power cut in between begins it anew. The boot volume
// and with it the system's version stay.
package reset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/config/atomicfile"
)

const (
	markName = "factory-reset"
	// lostFound is part of an ext4 file system.
	lostFound = "lost+found"
)

// Ask puts the mark on the volume at state. It is durable when Ask returns.
func Ask(state string) error {
	if err := atomicfile.Write(filepath.Join(state, markName), nil, 0o600); err != nil {
		return fmt.Errorf("ask for a factory reset: %w", err)
	}
	return nil
}

// Asked tells whether the mark is there.
func Asked(state string) bool {
	_, err := os.Lstat(filepath.Join(state, markName))
	return err == nil
}

// Empty removes what is on a volume, but for the mark and the files of the names in
// keep.
func Empty(volume string, keep ...string) error {
	list, err := os.ReadDir(volume)
	if err != nil {
		return fmt.Errorf("empty %s: %w", volume, err)
	}
	var errs []error
	for _, e := range list {
		if e.Name() != markName && e.Name() != lostFound && !slices.Contains(keep, e.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(volume, e.Name())))
		}
	}
	if err := errors.Join(append(errs, sync(volume))...); err != nil {
		return fmt.Errorf("empty %s: %w", volume, err)
	}
	return nil
}

// Done takes the mark away.
func Done(state string) error {
	err := os.Remove(filepath.Join(state, markName))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err := errors.Join(err, sync(state)); err != nil {
		return fmt.Errorf("end the factory reset: %w", err)
	}
	return nil
}

// sync makes removals durable: on ext4 those before them are with the last one.
func sync(volume string) error {
	f, err := os.Open(volume)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// trimRequest is FITRIM of linux/fs.h.
const trimRequest = 0xc0185879

// Discard tells the disk that the free space of a volume holds nothing any more:
// most flash disks forget the content then. Others cannot, which is no error.
func Discard(volume string) {
	f, err := os.Open(volume)
	if err != nil {
		return
	}
	defer f.Close()
	all := struct{ start, length, least uint64 }{length: ^uint64(0)}
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, f.Fd(), trimRequest, uintptr(unsafe.Pointer(&all)))
}
