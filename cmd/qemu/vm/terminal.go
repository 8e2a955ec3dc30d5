package vm

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// passThrough has a terminal take what is written as it is. QEMU, which puts the
// terminal back when it ends, leaves it to make CR LF of each LF, as a printer
// wants: a screen that is drawn by LF alone, which keeps the column, falls apart.
func passThrough(f *os.File) error {
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if errors.Is(err, unix.ENOTTY) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	t.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	return nil
}
