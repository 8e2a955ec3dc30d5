// Package address reads and writes the addresses of SMTP envelopes: one
// strict parser for all that comes from outside (SMTP commands, the
// administration API, settings), so that no two parts of the box disagree on
// where the local part ends or which two addresses are the same.
//
// The grammar is RFC 5321 section 4.1.2 with the internationalised forms of
// RFC 6531 section 3.3. Display names, comments and folding belong to message
// headers (RFC 5322) and are not read here.
//
// Invariants of an Address made by this package:
//   - Local is the content of the local part: quotes and backslashes of the
//     quoted form are gone, String puts them back where they are needed. So
//     `"a@b"@example.org` has the local part `a@b` and never turns into
//     another mailbox.
//   - Domain is lower case and in ASCII form (A-labels, RFC 5890), or an
//     address literal in brackets in its canonical form.
//   - Parse(a.String()) == a.
package address

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of RFC 5321 section 4.5.3.1, in octets.
const (
	// maxLocal is more than the 64 octets every server has to take (section
	// 4.5.3.1.1): senders that encode the recipient in the return path
	// exceed those, and the section asks for no limit where that is possible.
	maxLocal = 255
	// maxDomain is that of section 4.5.3.1.2 and of the DNS.
	maxDomain = 255
	// maxMailbox bounds a whole address.
	maxMailbox = maxLocal + 1 + maxDomain
)

// Errors that callers tell apart; all others mean a syntax error.
var (
	// ErrTooLong is an address or a part of it beyond the limits.
	ErrTooLong = errors.New("address: too long")
	// ErrNotUTF8 is an address with bytes that are not UTF-8.
	ErrNotUTF8 = errors.New("address: not UTF-8")
)

// Address is one mailbox. The zero value is the null address, "<>" on the wire.
type Address struct {
	// Local is the local part without quoting, as the sender wrote it.
	Local string
	// Domain is the domain in lower-case ASCII form, or an address literal
	// such as [192.0.2.1] or [IPv6:2001:db8::1]. It is empty for the null
	// address and for the bare postmaster of RFC 5321 section 4.1.1.3.
	Domain string
}

// Parse reads a whole mailbox: local part, "@" and domain or address literal.
func Parse(s string) (Address, error) {
	if len(s) > maxMailbox+2 { // two for the quotes
		return Address{}, ErrTooLong
	}
	a, rest, err := parseMailbox(s)
	switch {
	case err != nil:
		return Address{}, err
	case rest != "":
		return Address{}, fmt.Errorf("address: unexpected %q after the domain", rest)
	}
	return a, nil
}

// IsNull reports whether a is the null reverse-path.
func (a Address) IsNull() bool { return a.Local == "" && a.Domain == "" }

// IsBarePostmaster reports whether a is <Postmaster> without a domain, which
// every server has to take (RFC 5321 section 4.5.1).
func (a Address) IsBarePostmaster() bool {
	return a.Domain == "" && strings.EqualFold(a.Local, "postmaster")
}

// IsLiteral reports whether the domain is an address literal.
func (a Address) IsLiteral() bool { return strings.HasPrefix(a.Domain, "[") }

// NeedsUTF8 reports whether the address can only be sent with SMTPUTF8 (RFC
// 6531): its local part is not ASCII. A domain never needs it, since it has
// an ASCII form.
func (a Address) NeedsUTF8() bool { return !isASCII(a.Local) }

// String is the address as SMTP writes it, quoted where it has to be; "" for
// the null address.
func (a Address) String() string {
	if a.Domain == "" {
		return a.Local
	}
	if isDotString(a.Local) {
		return a.Local + "@" + a.Domain
	}
	return quote(a.Local) + "@" + a.Domain
}

// Key is the form in which two spellings of one mailbox are the same: local
// part in lower case and Unicode form NFC, domain as it is. RFC 5321 section
// 2.4 leaves the case of a local part to the host that owns it; on this box
// case does not distinguish people.
func (a Address) Key() string {
	k := Address{Local: a.Local, Domain: a.Domain}
	if !isLowerASCII(a.Local) {
		k.Local = norm.NFC.String(strings.ToLower(norm.NFC.String(a.Local)))
	}
	return k.String()
}

// SplitDetail separates the detail of a subaddress (RFC 5233): with separator
// '+' the local part "ann+lists" is "ann" with detail "lists". An address
// without one is returned as it is.
func (a Address) SplitDetail(separator byte) (base Address, detail string) {
	i := strings.IndexByte(a.Local, separator)
	if i <= 0 {
		return a, ""
	}
	return Address{Local: a.Local[:i], Domain: a.Domain}, a.Local[i+1:]
}

// parseMailbox reads a mailbox at the head of s and returns what follows it.
func parseMailbox(s string) (a Address, rest string, err error) {
	if s == "" {
		return Address{}, "", errors.New("address: empty")
	}
	if !utf8.ValidString(s) {
		return Address{}, "", ErrNotUTF8
	}
	local, rest, err := parseLocal(s)
	if err != nil {
		return Address{}, "", err
	}
	if len(local) > maxLocal {
		return Address{}, "", ErrTooLong
	}
	rest, ok := strings.CutPrefix(rest, "@")
	if !ok {
		return Address{}, "", errors.New("address: no @ after the local part")
	}
	domain, rest, err := parseDomain(rest)
	if err != nil {
		return Address{}, "", err
	}
	return Address{Local: local, Domain: domain}, rest, nil
}

// parseLocal reads a Dot-string or Quoted-string (RFC 5321 section 4.1.2).
func parseLocal(s string) (local, rest string, err error) {
	if s[0] == '"' {
		return parseQuoted(s)
	}
	end := len(s)
	for i, r := range s {
		if r != '.' && !isAtext(r) {
			end = i
			break
		}
	}
	local, rest = s[:end], s[end:]
	if !isDotString(local) {
		return "", "", errors.New("address: not a valid local part")
	}
	return local, rest, nil
}

// parseQuoted reads a Quoted-string and gives its content. Control characters
// are not part of it (qtextSMTP and quoted-pairSMTP begin at the space).
func parseQuoted(s string) (local, rest string, err error) {
	var b strings.Builder
	escaped := false
	for i, r := range s[1:] {
		switch {
		case r < ' ' || r == 0x7f || unicode.IsControl(r):
			return "", "", errors.New("address: control character in the local part")
		case escaped:
			if r > '~' { // quoted-pairSMTP is ASCII alone
				return "", "", errors.New("address: backslash before a character that is not ASCII")
			}
			b.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == '"':
			if b.Len() == 0 {
				return "", "", errors.New("address: empty local part")
			}
			return b.String(), s[1+i+1:], nil
		default:
			b.WriteRune(r)
		}
	}
	return "", "", errors.New("address: local part has no closing quote")
}

// isDotString reports whether s is atoms joined by single dots.
func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for _, r := range s {
		if r != '.' && !isAtext(r) {
			return false
		}
	}
	return true
}

// isAtext reports atext (RFC 5322 section 3.2.3) and the non-ASCII characters
// that RFC 6531 section 3.3 adds, without the C1 controls and those that
// break lines for a reader.
func isAtext(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	case r < utf8.RuneSelf:
		return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	default:
		return !unicode.IsControl(r) && !unicode.IsSpace(r) && r != utf8.RuneError
	}
}

// quote writes a local part as a Quoted-string.
func quote(local string) string {
	var b strings.Builder
	b.Grow(len(local) + 2)
	b.WriteByte('"')
	for i := range len(local) {
		if local[i] == '"' || local[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isLowerASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || 'A' <= s[i] && s[i] <= 'Z' {
			return false
		}
	}
	return true
}
