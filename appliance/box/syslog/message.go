package syslog

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Facilities and severities (RFC 5424 section 6.2.1).
const (
	facilityKernel = 0
	facilityMail   = 2
	facilityDaemon = 3

	severityError   = 3
	severityWarning = 4
	severityInfo    = 6
	severityDebug   = 7
)

// maxMessage bounds a message over a stream; receivers should take 8192 octets
// (RFC 5425 section 4.3.1).
const maxMessage = 8192

// maxDatagram bounds a message over UDP: receivers should take 2048 octets, and
// what is larger than the path's packets is lost with any of its pieces (RFC
// 5426 section 3.2 recommends to stay below).
const maxDatagram = 1180

// Line is what a service said.
type Line struct {
	Time    time.Time
	Service string
	Text    string
}

// format writes l as RFC 5424 section 6 has it, cut to limit octets.
func format(l Line, host string, limit int) []byte {
	text := l.Text
	if !ascii(text) {
		text = "\ufeff" + text // section 6.4: UTF-8 is marked
	}
	m := fmt.Appendf(nil, "<%d>1 %s %s %s - - - %s", facility(l.Service)<<3|severity(l.Text),
		l.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), field(host, 255), field(l.Service, 48), text)
	if len(m) > limit {
		m = m[:limit]
		for len(m) > 0 && !utf8.RuneStart(m[len(m)-1]) {
			m = m[:len(m)-1]
		}
		if n := len(m); n > 0 && m[n-1] >= utf8.RuneSelf {
			m = m[:n-1] // the first octet of a character that was cut
		}
	}
	return m
}

func facility(service string) int {
	switch service {
	case "kernel":
		return facilityKernel
	case "maild":
		return facilityMail
	}
	return facilityDaemon
}

// severity takes the level from a line of log/slog's text handler; what
// programs say otherwise is information.
func severity(text string) int {
	_, rest, ok := strings.Cut(text, "level=")
	if !ok {
		return severityInfo
	}
	switch {
	case strings.HasPrefix(rest, "ERROR"):
		return severityError
	case strings.HasPrefix(rest, "WARN"):
		return severityWarning
	case strings.HasPrefix(rest, "DEBUG"):
		return severityDebug
	}
	return severityInfo
}

// field makes s a field of the header: printable ASCII without spaces, not
// longer than n, "-" for none.
func field(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(n, len(s))]
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
