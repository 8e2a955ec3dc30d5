package maild

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"pillarbox/appliance/api/mailapi"
)

// The log outlives a restart; who reads events out of it finds them by a mark.
func TestEventsAreMarkedInTheLog(t *testing.T) {
	var log bytes.Buffer
	e := &events{log: slog.New(slog.NewTextHandler(&log, nil))}
	e.add(mailapi.LevelInfo, "domain example.org was added")
	e.add(mailapi.LevelAlert, "stopped")
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], ` msg="domain example.org was added" event=info`) || !strings.HasSuffix(lines[1], " msg=stopped event=alert") {
		t.Errorf("the log has %q", lines)
	}
}
