package health

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/config/atomicfile"
)

// weeklyHour is when the mail of a Monday is sent, by the box's own time: it is
// there when people begin to work.
const weeklyHour = 6

// weekly sends the report that was asked for, once each Monday. One that fails
// is tried again with the next step, that day.
func (m *Monitor) weekly(ctx context.Context, now time.Time) {
	local := now.Local()
	if !m.present().Weekly || local.Weekday() != time.Monday || local.Hour() < weeklyHour || now.Sub(m.weeklyTried) < retryEvery {
		return
	}
	m.weeklyTried = now
	path := filepath.Join(m.dir, "weekly")
	day := local.Format(time.DateOnly)
	sent, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || strings.TrimSpace(string(sent)) == day {
		return
	}
	s, err := m.Status(ctx)
	if err == nil {
		subject, body := weeklyText(m.name(), s)
		err = m.messenger.report(ctx, now, subject, body)
	}
	if err == nil {
		err = atomicfile.Write(path, []byte(day+"\n"), 0o600)
	}
	if err != nil {
		m.cfg.Log.Warn("the weekly mail is tried again", "error", err)
	}
}

// weeklyText is the report: what is not well, then what people ask about.
func weeklyText(host string, s *healthapi.Status) (subject, body string) {
	subject = host + ": all is well"
	var b strings.Builder
	look := 0
	for _, st := range s.States {
		if !st.Known {
			look++
		}
	}
	if look > 0 {
		subject = fmt.Sprintf("%s: %s to look at", host, plural(look, "thing", "things"))
	}
	if len(s.States) > 0 {
		var changes []Change
		for _, st := range s.States {
			changes = append(changes, Change{State: st})
		}
		b.WriteString(text(changes))
	} else {
		b.WriteString("All is well.\n")
	}
	b.WriteString("\n")
	for _, r := range s.Readings {
		switch {
		case r.Kind == healthapi.Temperature, strings.HasPrefix(r.ID, "space/"), strings.HasSuffix(r.ID, "/wear"),
			strings.HasPrefix(r.ID, "mail/"), r.ID == "ups/charge":
			fmt.Fprintf(&b, "  %-50s %s\n", capital(r.Name), r.Text())
		}
	}
	return subject, b.String()
}
