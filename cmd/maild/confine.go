package main

import (
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"

	"pillarbox/appliance/mail/maild"
)

// confine takes from the process, for good, all files but those it works with.
// Where the kernel offers less, as much is taken as it offers.
func confine(cfg maild.Config) error {
	return landlock.V3.BestEffort().RestrictPaths(
		landlock.RWDirs(cfg.Data, cfg.State, filepath.Dir(cfg.Socket)),
		landlock.RODirs("/etc", "/usr/share/zoneinfo", "/proc", "/sys").IgnoreIfMissing(),
		landlock.RWFiles("/dev/null", "/dev/urandom").IgnoreIfMissing(),
	)
}
