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
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/syslog"
	"pillarbox/appliance/config"
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
	if err := checkRelay(s); err != nil {
		return err
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

// checkRelay is about the mail elsewhere.
func checkRelay(s healthapi.Settings) error {
	switch {
	case s.MailTo == "" && s.SmartHost == "" && s.SmartHostUser == "":
		return nil
	case s.MailTo == "":
		return wire.Invalid("mail_to", "must be there: whom the smart host brings mail to")
	case s.SmartHost == "":
		return wire.Invalid("smart_host", "must be there: mail elsewhere does not go by the box's own mail")
	case s.SmartHostUser != "" && s.SmartHostPassword == "":
		return wire.Invalid("smart_host_password", "must be there: the smart host asks %s for it", s.SmartHostUser)
	}
	if _, err := config.Address(s.MailTo); err != nil {
		return wire.Invalid("mail_to", "%v", err)
	}
	if _, err := config.HostPort(s.SmartHost); err != nil {
		return wire.Invalid("smart_host", "%v", err)
	}
	return nil
}

// told are settings as they are shown: with no password.
func told(s healthapi.Settings) *healthapi.Settings {
	s.SmartHostPassword, s.SmartHostPasswordSet = "", s.SmartHostPassword != ""
	return &s
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
	return told(m.present()), nil
}

// Test implements healthapi.Service.
func (m *Monitor) Test(ctx context.Context) ([]healthapi.Told, error) {
	return m.messenger.Test(ctx, time.Now()), nil
}

// SetSettings implements healthapi.Service.
func (m *Monitor) SetSettings(_ context.Context, s healthapi.Settings) (*healthapi.Settings, error) {
	s.SmartHostPasswordSet = false
	if before := m.present(); s.SmartHostPassword == "" && s.SmartHost == before.SmartHost && s.SmartHostUser == before.SmartHostUser {
		s.SmartHostPassword = before.SmartHostPassword
	}
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
	for _, changed := range []chan struct{}{m.syslogChanged, m.metricsChanged} {
		select {
		case changed <- struct{}{}:
		default: // it is about to look anyway
		}
	}
	return told(s), nil
}
