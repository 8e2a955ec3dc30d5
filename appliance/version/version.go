// Package version says which Pillarbox a program is. Programs pass it on to
// the packages that show it; no library package asks for it.
package version

import (
	"runtime/debug"
	"time"
)

// These are set when an image is built, by the linker's -X: the release, and
// the time of its commit in RFC 3339.
var (
	number     string
	commitTime string
)

// String returns the release; of a program built by hand, the commit with a
// mark when the tree was changed; "devel" where even that is unknown.
func String() string {
	if number != "" {
		return number
	}
	revision, modified := setting("vcs.revision"), setting("vcs.modified")
	if revision == "" {
		return "devel"
	}
	s := "devel-" + revision[:min(12, len(revision))]
	if modified == "true" {
		s += "+changes"
	}
	return s
}

// Time returns when the program's commit was made, the zero time when unknown.
// No clock that is right shows an earlier one.
func Time() time.Time {
	for _, s := range []string{commitTime, setting("vcs.time")} {
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

func setting(key string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
