package transfer

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
)

// utf7Base64 is the alphabet of modified UTF-7 (RFC 3501 section 5.1.3).
func utf7Base64() *base64.Encoding {
	return base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)
}

var errNotUTF7 = errors.New("not modified UTF-7")

// decodeUTF7 decodes a mailbox name in modified UTF-7.
func decodeUTF7(s string) (string, error) {
	var out strings.Builder
	enc := utf7Base64()
	for s != "" {
		plain, rest, shifted := strings.Cut(s, "&")
		out.WriteString(plain)
		if !shifted {
			break
		}
		coded, after, ended := strings.Cut(rest, "-")
		if !ended {
			return "", errNotUTF7
		}
		s = after
		if coded == "" {
			out.WriteByte('&')
			continue
		}
		raw, err := enc.DecodeString(coded)
		if err != nil || len(raw)%2 != 0 {
			return "", errNotUTF7
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(raw[2*i:])
		}
		out.WriteString(string(utf16.Decode(units)))
	}
	return out.String(), nil
}

// encodeUTF7 encodes a mailbox name in modified UTF-7.
func encodeUTF7(s string) string {
	var out strings.Builder
	var shifted []rune
	flush := func() {
		if len(shifted) == 0 {
			return
		}
		var raw []byte
		for _, u := range utf16.Encode(shifted) {
			raw = binary.BigEndian.AppendUint16(raw, u)
		}
		out.WriteString("&" + utf7Base64().EncodeToString(raw) + "-")
		shifted = shifted[:0]
	}
	for _, r := range s {
		if r < 0x20 || r > 0x7e {
			shifted = append(shifted, r)
			continue
		}
		flush()
		out.WriteRune(r)
		if r == '&' {
			out.WriteByte('-')
		}
	}
	flush()
	return out.String()
}
