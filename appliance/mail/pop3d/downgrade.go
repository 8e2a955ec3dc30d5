package pop3d

import (
	"bytes"
	"mime"
	"net/mail"
	"strings"
	"unicode/utf8"
)

// internationalAddress stands for an address that cannot be written in ASCII
// (RFC 6858 section 3.1.1).
const internationalAddress = "invalid@internationalized-address.invalid"

// downgrade makes the surrogate of a header for clients that do not know
// UTF-8 (RFC 6858): display names, subjects and the like become encoded words,
// parameters of MIME fields those of RFC 2231, addresses that need UTF-8 a
// mark with the address in its display name. Fields in ASCII stay as they are.
func downgrade(header []byte) []byte {
	out := make([]byte, 0, len(header)+len(header)/2)
	for len(header) > 0 {
		n := fieldLength(header)
		field := header[:n]
		header = header[n:]
		if isASCII(field) {
			out = append(out, field...)
			continue
		}
		name, value, ok := strings.Cut(string(field), ":")
		if !ok || !isASCII([]byte(name)) {
			continue // not a field; no client could show it
		}
		out = append(out, name...)
		out = append(out, ": "...)
		out = append(out, downgradeValue(name, unfold(value))...)
		out = append(out, "\r\n"...)
	}
	return out
}

// fieldLength is the length of the field at the start of a header, its
// continuation lines counted in.
func fieldLength(header []byte) int {
	n := 0
	for n < len(header) {
		end := bytes.IndexByte(header[n:], '\n')
		if end < 0 {
			return len(header)
		}
		n += end + 1
		if n < len(header) && header[n] != ' ' && header[n] != '\t' {
			break
		}
	}
	return n
}

func unfold(value string) string {
	value = strings.NewReplacer("\r", "", "\n", "").Replace(value)
	return strings.Trim(value, " \t")
}

func downgradeValue(name, value string) string {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc":
		if list, err := mail.ParseAddressList(value); err == nil {
			return downgradeAddresses(list)
		}
	case "content-type", "content-disposition":
		if kind, params, err := mime.ParseMediaType(value); err == nil {
			if v := mime.FormatMediaType(kind, params); v != "" {
				return strings.ReplaceAll(v, "; ", ";\r\n\t")
			}
		}
	}
	return encodedWords(value)
}

func downgradeAddresses(list []*mail.Address) string {
	out := make([]string, len(list))
	for i, a := range list {
		switch {
		case !isASCII([]byte(a.Address)):
			name := strings.TrimSpace(a.Name + " <" + a.Address + ">")
			out[i] = encodedWords(name) + " <" + internationalAddress + ">"
		case isASCII([]byte(a.Name)):
			out[i] = a.String()
		default:
			out[i] = encodedWords(a.Name) + " <" + a.Address + ">"
		}
	}
	return strings.Join(out, ",\r\n\t")
}

// encodedWords writes text as encoded words, one a line (RFC 2047 section 2).
func encodedWords(text string) string {
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", text), "?= =?", "?=\r\n =?")
}

func isASCII(b []byte) bool {
	for i := range b {
		if b[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
