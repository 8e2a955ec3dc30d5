package mimeindex

import "strings"

// Decode makes text that people can read of a field's raw value: encoded words
// (RFC 2047) decoded, bytes above 127 taken for UTF-8, else for Windows-1252.
// It takes words as programs write them: inside of others or of quotes, with
// spaces in them, without padding, with a language (RFC 2231 section 5), and
// with characters cut in two between words, which RFC 2047 section 5 forbids.
// What is no encoded word stays as it is.
func Decode(s string) string {
	if !strings.Contains(s, "=?") {
		return toUTF8("", s)
	}
	var (
		out     strings.Builder
		charset string // of the words that are held
		held    []byte // the bytes of words next to each other
		words   bool
	)
	flush := func() {
		if words {
			out.WriteString(toUTF8(charset, string(held)))
			held, words = held[:0], false
		}
	}
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		w, n := encodedWord(s[i:])
		if n < 0 {
			break
		}
		if n == 0 {
			if n = strings.Index(s[i+2:], "=?"); n < 0 {
				break
			}
			flush()
			out.WriteString(toUTF8("", s[:i+2+n]))
			s = s[i+2+n:]
			continue
		}
		// RFC 2047 section 6.2: white space between encoded words is not shown.
		if gap := s[:i]; !words || strings.Trim(gap, " \t\r\n") != "" {
			flush()
			out.WriteString(toUTF8("", gap))
		} else if !strings.EqualFold(charset, w.charset) {
			flush()
		}
		charset, words = w.charset, true
		held = append(held, w.text...)
		s = s[i+n:]
	}
	flush()
	out.WriteString(toUTF8("", s))
	return out.String()
}

// word is an encoded word, its transfer encoding undone.
type word struct {
	charset string
	text    []byte
}

// maxCharset is the longest name of a charset, with a language, that is looked for.
const maxCharset = 64

// encodedWord reads the encoded word that s begins with, and its length: 0
// where there is none, -1 where none can end in all of s. A question mark may
// be in a word, though it must not.
func encodedWord(s string) (w word, n int) {
	head := s[2:min(len(s), 2+maxCharset)]
	i := strings.IndexByte(head, '?')
	if i <= 0 || strings.ContainsAny(head[:i], " \t=") {
		return w, 0
	}
	w.charset, _, _ = strings.Cut(head[:i], "*")
	rest := s[2+i+1:]
	if len(rest) < 2 || rest[1] != '?' {
		return w, 0
	}
	end := strings.Index(rest[2:], "?=")
	if end < 0 {
		return w, -1
	}
	text := rest[2 : 2+end]
	switch rest[0] {
	case 'q', 'Q':
		w.text = decodeQ(text)
	case 'b', 'B':
		if w.text = decodeBase64([]byte(text)); len(w.text) == 0 && text != "" {
			return w, 0
		}
	default:
		return w, 0
	}
	return w, 2 + i + 1 + 2 + end + 2
}

// decodeQ undoes the Q encoding (RFC 2047 section 4.2).
func decodeQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out
}
