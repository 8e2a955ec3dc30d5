package machine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/appliance/api/mailapi"
)

func TestCertificateOnAStick(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  mailapi.CertificateChoice
		err   string
	}{
		{"two files", map[string]string{"certificate.pem": "c", "key.pem": "k"}, mailapi.CertificateChoice{CertificatePEM: "c", KeyPEM: "k"}, ""},
		{"one file", map[string]string{"certificate.pem": "c and k"}, mailapi.CertificateChoice{CertificatePEM: "c and k"}, ""},
		{"a key alone", map[string]string{"key.pem": "k"}, mailapi.CertificateChoice{}, fs.ErrNotExist.Error()},
		{"too large", map[string]string{"certificate.pem": "c", "key.pem": strings.Repeat("k", maxCertificate+1)}, mailapi.CertificateChoice{}, "too large"},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var got mailapi.CertificateChoice
		err := readCertificate(dir, &got)
		switch {
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%s: %+v, %v", c.name, got, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) && !errors.Is(err, fs.ErrNotExist)):
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
}
