package store

import (
	"errors"
	"fmt"
	"strings"
)

// badgerLog passes Badger's log on and listens for what Badger logs where it
// should have failed: an msync of the value log that goes wrong is only
// logged, and the commit still answers that all is well.
type badgerLog struct{ s *Store }

func (l badgerLog) Errorf(format string, args ...any) {
	msg := strings.TrimSpace(fmt.Sprintf(format, args...))
	l.s.log.Error("badger: " + msg)
	if fatalText(msg) {
		l.s.fail(errors.New(msg))
	}
}

// fatalText tells whether Badger reports that data may not be on the disk.
func fatalText(msg string) bool {
	m := strings.ToLower(msg)
	for _, t := range []string{"sync", "flush", "while writing", "writerequests"} {
		if strings.Contains(m, t) {
			return true
		}
	}
	return false
}

func (l badgerLog) Warningf(format string, args ...any) {
	l.s.log.Warn("badger: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l badgerLog) Infof(format string, args ...any) {
	l.s.log.Debug("badger: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l badgerLog) Debugf(string, ...any) {}
