package address

import (
	"errors"
	"strings"
)

// ParseReversePath reads the reverse-path at the head of what follows "MAIL
// FROM:" (RFC 5321 section 4.1.2), "<>" included, and returns what follows it.
// Angle brackets are required; a source route is read over (appendix C).
func ParseReversePath(s string) (a Address, rest string, err error) {
	if rest, ok := strings.CutPrefix(s, "<>"); ok {
		return Address{}, rest, endOfPath(rest)
	}
	return parsePath(s)
}

// ParseForwardPath reads the forward-path at the head of what follows "RCPT
// TO:", with the bare <Postmaster> of RFC 5321 section 4.1.1.3, and returns
// what follows it.
func ParseForwardPath(s string) (a Address, rest string, err error) {
	const bare = "<postmaster>"
	if len(s) >= len(bare) && strings.EqualFold(s[:len(bare)], bare) {
		rest = s[len(bare):]
		return Address{Local: s[1 : len(bare)-1]}, rest, endOfPath(rest)
	}
	return parsePath(s)
}

func parsePath(s string) (a Address, rest string, err error) {
	s, ok := strings.CutPrefix(s, "<")
	if !ok {
		return Address{}, "", errors.New("address: path does not begin with <")
	}
	if strings.HasPrefix(s, "@") {
		if s, err = skipRoute(s); err != nil {
			return Address{}, "", err
		}
	}
	a, rest, err = parseMailbox(s)
	if err != nil {
		return Address{}, "", err
	}
	rest, ok = strings.CutPrefix(rest, ">")
	if !ok {
		return Address{}, "", errors.New("address: path does not end with >")
	}
	return a, rest, endOfPath(rest)
}

// skipRoute reads over a source route, which RFC 5321 section 4.1.1.3 wants
// accepted and ignored.
func skipRoute(s string) (string, error) {
	for {
		domain, ok := strings.CutPrefix(s, "@")
		if !ok {
			return "", errors.New("address: malformed source route")
		}
		_, rest, err := parseDomain(domain)
		if err != nil {
			return "", err
		}
		switch {
		case strings.HasPrefix(rest, ":"):
			return rest[1:], nil
		case strings.HasPrefix(rest, ","):
			s = rest[1:]
		default:
			return "", errors.New("address: malformed source route")
		}
	}
}

// endOfPath demands the end or a space after a path.
func endOfPath(rest string) error {
	if rest != "" && rest[0] != ' ' {
		return errors.New("address: unexpected character after the path")
	}
	return nil
}
