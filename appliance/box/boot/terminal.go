package boot

import (
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether a terminal answers at path. A serial port that the
// machine does not have has a node all the same, and fails when asked.
func isTerminal(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
