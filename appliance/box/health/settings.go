package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
)

// Settings are what the owner decides about the monitor.
type Settings struct {
	Webhook string `json:"webhook,omitempty"` // URL; empty: none
	NoMail  bool   `json:"no_mail,omitempty"` // no mail to the postmaster
	Weekly  bool   `json:"weekly,omitempty"`  // a mail each Monday though all is well
	Light   bool   `json:"light,omitempty"`   // the server's identify light burns while something is bad
	UPS     string `json:"ups,omitempty"`     // NAME@HOST of a NUT server; empty: none
}

// Check says what is wrong with s.
func (s Settings) Check() error {
	if s.Webhook != "" {
		u, err := url.Parse(s.Webhook)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return errors.New("webhook: must be a URL such as https://chat.example.org/hook")
		}
	}
	if name, host, ok := strings.Cut(s.UPS, "@"); s.UPS != "" && (!ok || name == "" || host == "" || strings.ContainsAny(s.UPS, " \"\r\n")) {
		return errors.New("ups: must be the name of a UPS and its server such as rack@192.0.2.7")
	}
	return nil
}

// LoadSettings reads the settings; a file that is not there gives none.
func LoadSettings(path string) (s Settings, err error) {
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
	return s, s.Check()
}
