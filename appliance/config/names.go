package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

const (
	// maxDomain and maxLabel are the DNS's own limits, in octets (RFC 1035
	// section 2.3.4).
	maxDomain = 253
	maxLabel  = 63
	// maxLocal is what every mail server in the world takes (RFC 5321 section
	// 4.5.3.1.1), in octets.
	maxLocal = 64
	// maxName bounds a person's name, in octets: what fits a header line.
	maxName = 200
)

// Hostname checks the full name of the box and gives it in lower-case ASCII
// form. It needs a dot: other servers refuse a greeting by a bare name.
func Hostname(s string) (string, error) {
	errForm := errors.New("must be a full name such as mail.example.org")
	name, err := asciiName(s)
	if err != nil || !strings.Contains(name, ".") {
		return "", errForm
	}
	if last := name[strings.LastIndexByte(name, '.')+1:]; isDigits(last) {
		return "", errForm // an IP address, or what looks like one
	}
	return name, nil
}

// DomainName checks the name of a mail domain, in ASCII or Unicode, and gives it
// in lower-case ASCII form (A-labels, RFC 5890).
func DomainName(s string) (string, error) {
	name, err := asciiName(s)
	if err != nil || !strings.Contains(name, ".") || isDigits(name[strings.LastIndexByte(name, '.')+1:]) {
		return "", errors.New("must be a domain such as example.org")
	}
	return name, nil
}

// Shown is a domain or an address in normal form as people write it, its domain
// in Unicode. Names that do not convert are shown as they are.
func Shown(s string) string {
	at := strings.LastIndexByte(s, '@') + 1
	if !strings.Contains(s[at:], "xn--") {
		return s
	}
	domain, err := idna.Display.ToUnicode(s[at:])
	if err != nil {
		return s
	}
	return s[:at] + domain
}

// asciiName checks a domain name of any number of labels (RFC 1123 section 2.1).
func asciiName(s string) (string, error) {
	name := strings.TrimSuffix(strings.TrimSpace(s), ".")
	if !isASCII(name) {
		profile := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(true))
		a, err := profile.ToASCII(name)
		if err != nil {
			return "", err
		}
		name = a
	}
	name = strings.ToLower(name)
	if name == "" || len(name) > maxDomain {
		return "", errors.New("must be at most 253 characters long")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return "", fmt.Errorf("has the label %q, which is not valid", label)
		}
		for i := range len(label) {
			if c := label[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
				return "", fmt.Errorf("must not contain %q", rune(c))
			}
		}
		if strings.HasPrefix(label, "xn--") {
			if _, err := idna.Lookup.ToUnicode(label); err != nil {
				return "", err
			}
		}
	}
	return name, nil
}

// Address checks a mail address that a mailbox, an alias or a group of this
// box may have, and gives it in normal form: lower case, local part in Unicode
// form NFC, domain in ASCII form. It is stricter than what mail from elsewhere
// may use: no quoted local parts, no "+", which separates details (RFC 5233),
// and no longer than every server takes.
func Address(s string) (string, error) {
	local, domain, err := splitAddress(s)
	if err != nil {
		return "", err
	}
	if strings.Contains(local, "+") {
		return "", errors.New(`must not contain "+", which separates details in addresses`)
	}
	return norm.NFC.String(strings.ToLower(norm.NFC.String(local))) + "@" + domain, nil
}

// Member checks an address that mail may be sent on to, of this box or
// elsewhere. The local part stays as it is: case may matter to its owner.
func Member(s string) (string, error) {
	local, domain, err := splitAddress(s)
	if err != nil {
		return "", err
	}
	return local + "@" + domain, nil
}

func splitAddress(s string) (local, domain string, err error) {
	errForm := errors.New("must be an address such as ann@example.org")
	s = strings.TrimSpace(s)
	i := strings.LastIndexByte(s, '@')
	if i <= 0 || !utf8.ValidString(s) {
		return "", "", errForm
	}
	local = s[:i]
	if domain, err = DomainName(s[i+1:]); err != nil {
		return "", "", errForm
	}
	if len(local) > maxLocal {
		return "", "", fmt.Errorf("must have at most %d characters before the @", maxLocal)
	}
	if local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return "", "", errForm
	}
	for _, r := range local {
		// atext of RFC 5322 section 3.2.3 and RFC 6531 section 3.3, and the dot
		ok := r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' ||
			strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r) ||
			r >= utf8.RuneSelf && !unicode.IsControl(r) && !unicode.IsSpace(r)
		if !ok {
			return "", "", fmt.Errorf("must be an address such as ann@example.org, without %q", r)
		}
	}
	return local, domain, nil
}

// PersonName checks a person's name as it stands in a From header.
func PersonName(s string) (string, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxName {
		return "", fmt.Errorf("must be at most %d characters long", maxName)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", errors.New("must be text without control characters")
	}
	return norm.NFC.String(s), nil
}

// Timezone checks a name of the time zone database, such as Europe/Berlin.
func Timezone(s string) (string, error) {
	errForm := errors.New("must be a time zone such as Europe/Berlin or UTC")
	// LoadLocation reads the empty name as UTC and "Local" as the machine's.
	if s == "" || s == "Local" {
		return "", errForm
	}
	if _, err := time.LoadLocation(s); err != nil {
		return "", errForm
	}
	return s, nil
}

// Languages are those that the box speaks, by their ISO 639-1 codes.
func Languages() []string { return []string{"en", "de", "fr", "es"} }

// Keyboards are the layouts that the keyboard at the box's screen may have, by
// country.
func Keyboards() []string { return []string{"us", "uk", "de", "fr", "es", "ch"} }

// Language checks the code of a language.
func Language(s string) (string, error) { return oneOf(s, Languages()) }

// Keyboard checks the name of a keyboard layout.
func Keyboard(s string) (string, error) { return oneOf(s, Keyboards()) }

func oneOf(s string, list []string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if !slices.Contains(list, s) {
		return "", fmt.Errorf("must be one of %s", strings.Join(list, ", "))
	}
	return s, nil
}

// HostPort checks "host:port", where host is a name or an IP address (IPv6 in
// brackets), and gives it in normal form.
func HostPort(s string) (string, error) {
	errForm := errors.New(`must be a host and a port such as "smtp.example.net:587"`)
	host, port, err := net.SplitHostPort(strings.TrimSpace(s))
	if err != nil {
		return "", errForm
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", errForm
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		host = ip.String()
	} else if host, err = asciiName(host); err != nil || isDigits(host[strings.LastIndexByte(host, '.')+1:]) {
		return "", errForm
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// IP checks an IP address without a zone.
func IP(s string) (string, error) {
	ip, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return "", errors.New("must be an IP address such as 192.0.2.1")
	}
	return ip.Unmap().String(), nil
}

// InterfaceAddress checks an IP address with prefix length that a network
// interface may have.
func InterfaceAddress(s string) (string, error) {
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	if err != nil || p.Addr().IsUnspecified() || p.Addr().IsMulticast() || p.Bits() == 0 {
		return "", errors.New("must be an IP address with the length of its network such as 192.0.2.5/24")
	}
	return p.String(), nil
}

// Subnet checks a network, such as 192.0.2.0/24, or a single address, and gives
// it with its length and without bits beyond that.
func Subnet(s string) (string, error) {
	s = strings.TrimSpace(s)
	if ip, err := IP(s); err == nil {
		a := netip.MustParseAddr(ip)
		return netip.PrefixFrom(a.WithZone(""), a.BitLen()).String(), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return "", errors.New("must be a network such as 192.0.2.0/24, or an IP address")
	}
	return p.Masked().String(), nil
}

// NTS begins the name of a time server that has to prove its answers (RFC 8915).
const NTS = "nts://"

// TimeServer checks the name or address of a time server, with its port where
// that is not the usual one, and NTS before it where it has to prove its answers.
func TimeServer(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s, ok := strings.CutPrefix(s, NTS); ok {
		s, err := TimeServer(s)
		if err != nil || strings.HasPrefix(s, NTS) {
			return "", errors.New("must be a name after nts:// such as nts://ntp.example.org")
		}
		return NTS + s, nil
	}
	if host, err := ipOrName(s); err == nil {
		return host, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		host, err = ipOrName(host)
	}
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 {
		return "", errors.New("must be a name or an IP address such as ntp.example.org")
	}
	return net.JoinHostPort(host, port), nil
}

func ipOrName(s string) (string, error) {
	if ip, err := IP(s); err == nil {
		return ip, nil
	}
	return asciiName(s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
