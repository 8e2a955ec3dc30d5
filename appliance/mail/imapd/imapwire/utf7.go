package imapwire

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7 is the base64 of modified UTF-7: "," for "/", no padding (RFC 3501 section 5.1.3).
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding).Strict()

// DecodeUTF7 decodes a mailbox name in modified UTF-7. It accepts only the one
// form each name has, so that no two spellings name one mailbox.
func DecodeUTF7(s string) (string, bool) {
	if strings.IndexByte(s, '&') < 0 {
		return s, true
	}
	var out strings.Builder
	shifted := false // the last thing was a shift sequence
	for s != "" {
		i := strings.IndexByte(s, '&')
		if i != 0 {
			if i < 0 {
				i = len(s)
			}
			out.WriteString(s[:i])
			s, shifted = s[i:], false
			continue
		}
		end := strings.IndexByte(s, '-')
		if end < 0 {
			return "", false
		}
		code := s[1:end]
		s = s[end+1:]
		if code == "" {
			out.WriteByte('&')
			shifted = false
			continue
		}
		if shifted {
			return "", false // two in a row are one written apart
		}
		shifted = true
		b, err := utf7.DecodeString(code)
		if err != nil || len(b)%2 != 0 {
			return "", false
		}
		for j := 0; j < len(b); j += 2 {
			r := rune(b[j])<<8 | rune(b[j+1])
			switch {
			case r >= 0x20 && r < 0x7f:
				return "", false // must be written as itself
			case utf16.IsSurrogate(r):
				if j += 2; j >= len(b) {
					return "", false
				}
				if r = utf16.DecodeRune(r, rune(b[j])<<8|rune(b[j+1])); r == utf8.RuneError {
					return "", false
				}
			}
			out.WriteRune(r)
		}
	}
	return out.String(), true
}

// AppendUTF7 writes a mailbox name in modified UTF-7.
func AppendUTF7(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f {
			b = append(b, c)
			if c == '&' {
				b = append(b, '-')
			}
			i++
			continue
		}
		var units []byte
		for i < len(s) && (s[i] < 0x20 || s[i] >= 0x7f) {
			r, n := utf8.DecodeRuneInString(s[i:])
			i += n
			if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
				units = append(units, byte(r1>>8), byte(r1), byte(r2>>8), byte(r2))
			} else {
				units = append(units, byte(r>>8), byte(r))
			}
		}
		b = append(b, '&')
		b = utf7.AppendEncode(b, units)
		b = append(b, '-')
	}
	return b
}
