package boot

import (
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/initapi"
)

// The log outlives a restart; who reads events out of it finds them by a mark.
func TestEventsAreMarkedInTheLog(t *testing.T) {
	s := newSystem(Config{})
	s.out.quiet = true // no test writes on the screens of its machine
	s.tell(initapi.Event{Time: time.Now(), Level: initapi.LevelInfo, Text: "maild runs again"})
	s.tell(initapi.Event{Time: time.Now(), Level: initapi.LevelAlert, Text: "stopped"})
	lines, _ := s.book.Lines("init", 0)
	if len(lines) != 2 || !strings.HasSuffix(lines[0].Text, `msg="maild runs again" event=info`) || !strings.HasSuffix(lines[1].Text, "msg=stopped event=alert") {
		t.Errorf("the log has %q", lines)
	}
}
