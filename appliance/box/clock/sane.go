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

// future is how far files may be ahead of the clock before they are taken for
// an earlier error of the clock itself rather than for proof of the time.
const future = 10 * 365 * 24 * time.Hour

// Sane returns the time that a clock showing now should be set to, given times
// that have passed for certain (zero ones do not count). ok is true when now is
// not before any of them: the clock may stay as it is.
//
// A battery that is empty, or an RTC that was never set, lets a machine begin
// in 1970 or 2000: certificates are then not valid yet, and messages carry
// dates that sort before everything else.
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
	if now.Before(newest) {
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
