package address

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxLabel is the longest label of a domain name, in octets (RFC 1035 section 2.3.4).
const maxLabel = 63

// ParseDomain reads a domain name, in ASCII or Unicode, and gives its one
// normal form: lower case, A-labels. Two spellings of one domain give the same
// string. Address literals are refused, and so is a trailing dot.
func ParseDomain(s string) (string, error) {
	if s == "" {
		return "", errors.New("address: empty domain")
	}
	if len(s) > 4*maxDomain { // room for UTF-8 that is shorter as A-labels
		return "", ErrTooLong
	}
	if isASCII(s) {
		return asciiDomain(s)
	}
	if !utf8.ValidString(s) {
		return "", ErrNotUTF8
	}
	// Made a call, not kept in a variable of the package: a Profile is a few
	// words, and international domains are rare beside what follows them.
	profile := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(true))
	a, err := profile.ToASCII(s)
	if err != nil {
		return "", fmt.Errorf("address: domain: %w", err)
	}
	return asciiDomain(a)
}

// asciiDomain checks and lower-cases a domain of letters, digits and hyphens
// (RFC 5321 section 4.1.2, "sub-domain").
func asciiDomain(s string) (string, error) {
	if len(s) > maxDomain {
		return "", ErrTooLong
	}
	label, lower, encoded := 0, true, false
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			if label == 0 || s[i-1] == '-' {
				return "", errors.New("address: domain has an empty label or one that ends in a hyphen")
			}
			label = 0
			continue
		case c == '-':
			if label == 0 {
				return "", errors.New("address: domain label begins with a hyphen")
			}
		case 'A' <= c && c <= 'Z':
			lower = false
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			return "", fmt.Errorf("address: domain contains %q", rune(c))
		}
		if label++; label > maxLabel {
			return "", ErrTooLong
		}
		encoded = encoded || label == 4 && strings.EqualFold(s[i-3:i+1], "xn--")
	}
	if label == 0 || s[len(s)-1] == '-' {
		return "", errors.New("address: domain ends in a dot or a hyphen")
	}
	if !lower {
		s = strings.ToLower(s)
	}
	if encoded { // an A-label has to be one that a Unicode name leads to (RFC 5891 section 5.4)
		if _, err := idna.Lookup.ToUnicode(s); err != nil {
			return "", fmt.Errorf("address: domain: %w", err)
		}
	}
	return s, nil
}

// parseDomain reads a domain or an address literal at the head of s. It ends
// at the first character that cannot belong to a domain.
func parseDomain(s string) (domain, rest string, err error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	end := strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r == '>' || r == ',' || r == ':' || r == '@' || unicode.IsSpace(r) || unicode.IsControl(r)
	})
	if end < 0 {
		end = len(s)
	}
	domain, err = ParseDomain(s[:end])
	return domain, s[end:], err
}

// parseLiteral reads an address literal (RFC 5321 section 4.1.3). Tagged
// forms other than IPv6 are not in use and refused.
func parseLiteral(s string) (domain, rest string, err error) {
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return "", "", errors.New("address: address literal has no closing bracket")
	}
	text, rest := s[1:end], s[end+1:]
	v6 := len(text) > 5 && strings.EqualFold(text[:5], "IPv6:")
	if v6 {
		text = text[5:]
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.Is6() != v6 {
		return "", "", errors.New("address: not an address literal")
	}
	if v6 {
		return "[IPv6:" + ip.String() + "]", rest, nil
	}
	return "[" + ip.String() + "]", rest, nil
}
