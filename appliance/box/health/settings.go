package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/syslog"
	"pillarbox/appliance/config/atomicfile"
)

// checkSettings says what is wrong with s; its errors are Invalid.
func checkSettings(s healthapi.Settings) error {
	if s.Webhook != "" {
		u, err := url.Parse(s.Webhook)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return wire.Invalid("webhook", "must be a URL such as https://chat.example.org/hook")
		}
	}
	if name, host, ok := strings.Cut(s.UPS, "@"); s.UPS != "" && (!ok || name == "" || host == "" || strings.ContainsAny(s.UPS, " \"\r\n")) {
		return wire.Invalid("ups", "must be the name of a UPS and its server such as rack@192.0.2.7")
	}
	if s.Syslog == "" && s.SyslogFingerprint != "" {
		return wire.Invalid("syslog_fingerprint", "needs a syslog server")
	}
	if s.Syslog != "" {
		if _, err := syslog.Parse(s.Syslog, s.SyslogFingerprint); err != nil {
			return wire.Invalid("syslog", "%v", err)
		}
	}
	return nil
}

// loadSettings reads the settings; a file that is not there gives none.
func loadSettings(path string) (s healthapi.Settings, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, checkSettings(s)
}

// Settings implements healthapi.Service.
func (m *Monitor) Settings(context.Context) (*healthapi.Settings, error) {
	s := m.present()
	return &s, nil
}

// SetSettings implements healthapi.Service.
func (m *Monitor) SetSettings(_ context.Context, s healthapi.Settings) (*healthapi.Settings, error) {
	if err := checkSettings(s); err != nil {
		return nil, err
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	// The file first: what is in force is what a restart finds.
	if err := atomicfile.Write(m.settingsFile(), raw, 0o600); err != nil {
		return nil, fmt.Errorf("keep the settings of the health monitor: %w", err)
	}
	m.mu.Lock()
	m.settings = s
	m.mu.Unlock()
	select {
	case m.changed <- struct{}{}:
	default: // it is about to look anyway
	}
	return &s, nil
}
