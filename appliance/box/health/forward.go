package health

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/box/syslog"
)

// logRetry is the pause before init is asked for its log again.
const logRetry = 5 * time.Second

// forward sends the logs of all services where the settings say, until ctx ends.
func (m *Monitor) forward(ctx context.Context) {
	for ctx.Err() == nil {
		s := m.present()
		session, cancel := context.WithCancel(ctx)
		var all sync.WaitGroup
		if s.Syslog != "" {
			target, err := syslog.Parse(s.Syslog, s.SyslogFingerprint)
			if err != nil {
				m.cfg.Log.Error("the log is not sent", "error", err) // settings are checked before they are kept
			} else {
				sender := syslog.New(target, m.name, m.cfg.Log)
				m.setSender(sender)
				all.Go(func() { sender.Run(session) })
				all.Go(func() { m.feed(session, sender) })
			}
		}
		m.awaitChange(ctx, m.syslogChanged, func(now healthapi.Settings) bool {
			return now.Syslog != s.Syslog || now.SyslogFingerprint != s.SyslogFingerprint
		})
		m.setSender(nil)
		cancel()
		all.Wait()
	}
}

// awaitChange waits until the settings differ from what is in force, by what
// differs says of them.
func (m *Monitor) awaitChange(ctx context.Context, changed <-chan struct{}, differs func(healthapi.Settings) bool) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			if differs(m.present()) {
				return
			}
		}
	}
}

// feed follows the log for sender. The lines from before are sent once a start
// of the box, so that how it came up is seen elsewhere too.
func (m *Monitor) feed(ctx context.Context, sender *syslog.Sender) {
	marker := m.path("run/healthd.syslog")
	q := initapi.LogQuery{Follow: true}
	if _, err := os.Stat(marker); err == nil {
		q.Since = time.Now()
	} else if !errors.Is(err, fs.ErrNotExist) || os.WriteFile(marker, nil, 0o600) != nil {
		q.Since = time.Now() // rather too little than all of it each time
	}
	for {
		err := m.cfg.Init.StreamLog(ctx, q, func(i initapi.LogItem) error {
			if i.Missed > 0 {
				sender.Missed(i.Missed)
				return nil
			}
			q.Since = i.Time
			sender.Add(syslog.Line{Time: i.Time, Service: i.Service, Text: i.Text})
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		m.cfg.Log.Debug("the log cannot be followed", "error", err)
		if !wait(ctx, logRetry) {
			return
		}
	}
}

func (m *Monitor) setSender(s *syslog.Sender) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sender, m.senderFault = s, time.Time{}
}

// syslogSilence is how long a log server may be away: it too is restarted at times.
const syslogSilence = 15 * time.Minute

// readSyslog is the finding about the log's server.
func (m *Monitor) readSyslog(now time.Time) (found []finding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sender == nil {
		return nil
	}
	f := finding{id: "syslog"}
	err := m.sender.Fault()
	switch {
	case err == nil:
		m.senderFault = time.Time{}
	case m.senderFault.IsZero():
		m.senderFault = now
	case now.Sub(m.senderFault) >= syslogSilence:
		f.level = healthapi.Watch
		f.what = "The log server does not take the logs: " + err.Error() + "."
		f.means = "Some megabytes of log lines wait; the oldest are dropped then. The logs on the box are whole."
		f.do = "Look at the log server, and at its address in the settings."
	}
	return []finding{f}
}
