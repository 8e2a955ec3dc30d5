// Package clock keeps the time: it makes a clock that is plainly wrong at boot
// plausible, and follows time servers after that.
package clock

import (
	"io/fs"
	"path/filepath"
	"time"
)

// maxLook bounds how many files Newest looks at; STATE holds some dozens.
const maxLook = 10000

// future is how far after the build files and the clock may be before they are
// taken for an error of the clock rather than for the time: no image is in use
// for so long, and a clock that was never set may as well begin in 2099.
const future = 10 * 365 * 24 * time.Hour

// Sane returns the time that a clock showing now should be set to, given times
// that have passed for certain, that of the build first (zero ones do not count).
// ok is true when now is not before any of them, and not long after the build: the
// clock may stay as it is.
//
// A battery that is empty, or an RTC that was never set, lets a machine begin
// in 1970 or 2000: certificates are then not valid yet, and messages carry
// dates that sort before everything else. One that is far ahead finds every
// certificate run out, and its dates sort after everything that ever comes.
func Sane(now time.Time, passed ...time.Time) (set time.Time, ok bool) {
	var base, newest time.Time
	for i, t := range passed {
		if i == 0 {
			base = t
		}
		if t.After(newest) && (base.IsZero() || t.Sub(base) < future) {
			newest = t
		}
	}
	if now.Before(newest) || !base.IsZero() && now.Sub(base) >= future {
		return newest, false
	}
	return now, true
}

// Newest returns the newest modification time of the files under dir: a time
// that the box has seen. It is zero when there is none.
func Newest(dir string) time.Time {
	var newest time.Time
	seen := 0
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if seen++; seen > maxLook {
			return fs.SkipAll
		}
		if err != nil {
			return nil
		}
		if fi, err := d.Info(); err == nil && fi.ModTime().After(newest) {
			newest = fi.ModTime()
		}
		return nil
	})
	return newest
}
