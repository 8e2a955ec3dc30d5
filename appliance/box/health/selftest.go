package health

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pillarbox/appliance/box/health/drive"
	"pillarbox/appliance/config/atomicfile"
)

const (
	// testDay and testHour are when disks test themselves: a short test each
	// week, on the month's first such day a long one, which reads every block
	// and takes until the morning.
	testDay  = time.Sunday
	testHour = 1
	longDays = 7
)

// selfTests starts the disks' own tests when it is time, one night for all of
// them: a mirror's halves are slow together rather than twice as long.
func (m *Monitor) selfTests(_ context.Context, now time.Time) {
	local := now.Local()
	if local.Weekday() != testDay || local.Hour() != testHour {
		return
	}
	path, day := filepath.Join(m.dir, "self-test"), local.Format(time.DateOnly)
	last, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || strings.TrimSpace(string(last)) == day {
		return
	}
	// Written first: what cannot be written must not test disks every ten minutes.
	if err := atomicfile.Write(path, []byte(day+"\n"), 0o600); err != nil {
		m.cfg.Log.Warn("the disks are not tested", "error", err)
		return
	}
	names, err := drive.List(m.path("sys"))
	if err != nil {
		return // a machine without disks
	}
	long := local.Day() <= longDays
	for _, name := range names {
		switch err := m.cfg.TestDrive(m.path("sys"), name, long); {
		case err == nil:
			m.cfg.Log.Info("the disk tests itself", "disk", name, "long", long)
		case !errors.Is(err, drive.ErrSilent):
			m.cfg.Log.Warn("the disk does not test itself", "error", err)
		}
	}
}
