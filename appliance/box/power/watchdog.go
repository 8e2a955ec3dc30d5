package power

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// magic is what a watchdog's device is closed with when its timer is to stop
// (Documentation/watchdog/watchdog-api.rst of the kernel); without it the timer runs
// on.
const magic = "V"

// Disarm closes the device of a watchdog and stops its timer.
func Disarm(device io.WriteCloser) error {
	_, err := io.WriteString(device, magic)
	return errors.Join(err, device.Close())
}

// DisarmAll stops the timers of all watchdogs that run. It is for a machine that is
// about to be off: some timers go on in the dark, and switch it on again. One that is
// about to be restarted keeps them, against a restart that hangs.
func DisarmAll(sys, dev string) error {
	paths, err := filepath.Glob(filepath.Join(sys, "class/watchdog/watchdog*"))
	errs := []error{err}
	for _, path := range paths {
		// To open one that does not run would start it.
		if state, err := os.ReadFile(filepath.Join(path, "state")); err != nil || strings.TrimSpace(string(state)) != "active" {
			continue
		}
		name := filepath.Base(path)
		f, err := os.OpenFile(filepath.Join(dev, name), os.O_WRONLY, 0)
		if err == nil {
			err = Disarm(f)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
