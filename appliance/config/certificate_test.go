package config

import (
	"strings"
	"testing"
)

func TestCertificate(t *testing.T) {
	for in, want := range map[string]string{
		`mode = "own"`:  "",
		`mode = "ACME"`: "",
		"mode = \"acme\"\nemail = \"Ann@Elsewhere.example\"\ndirectory = \"https://ca.example.org/acme/directory\"": "",
		`email = "ann@example.org"`:                          "certificate.mode is missing",
		`mode = "file"`:                                      "line 2: certificate.mode must be one of own, acme",
		"mode = \"acme\"\nemail = \"ann\"":                   "line 3: certificate.email",
		"mode = \"acme\"\ndirectory = \"http://x.example/\"": "line 3: certificate.directory must be the https address of an authority's directory",
		"mode = \"own\"\nemail = \"ann@example.org\"":        "line 3: certificate.email is for a public authority",
		"mode = \"own\"\nkey = \"x\"":                        "line 3: certificate.key is not a setting of this file",
	} {
		p, err := ParseProvision([]byte("[certificate]\n" + in + "\n"))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", in, err)
		case want == "" && p.Certificate.Mode != strings.ToLower(p.Certificate.Mode):
			t.Errorf("%s: mode %q", in, p.Certificate.Mode)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}
