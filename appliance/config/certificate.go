package config

import (
	"errors"
	"net/url"
	"strings"
)

// The modes of Certificate.
const (
	CertificateOwn  = "own"  // by the box's own authority
	CertificateACME = "acme" // by a public authority (RFC 8555)
)

// CertificateModes lists them.
func CertificateModes() []string { return []string{CertificateOwn, CertificateACME} }

// Check puts c in normal form and tells problem what is wrong with it.
func (c *Certificate) Check(problem func(field, message string)) {
	if c.Mode == "" {
		problem("mode", "is missing")
		return
	}
	for _, f := range []struct {
		name  string
		value *string
		check func(string) (string, error)
	}{
		{"mode", &c.Mode, func(s string) (string, error) { return oneOf(s, CertificateModes()) }},
		{"email", &c.Email, Member},
		{"directory", &c.Directory, Directory},
	} {
		if *f.value == "" {
			continue
		}
		v, err := f.check(*f.value)
		if err != nil {
			problem(f.name, err.Error())
			continue
		}
		*f.value = v
		if f.name != "mode" && c.Mode == CertificateOwn {
			problem(f.name, "is for a public authority, the mode acme, alone")
		}
	}
}

// Directory checks the address of an ACME authority. It is asked by HTTPS alone
// (RFC 8555 section 6.1).
func Directory(s string) (string, error) {
	s = strings.TrimSpace(s)
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return "", errors.New("must be the https address of an authority's directory")
	}
	return s, nil
}
