package mimeindex

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// charsetOf finds the decoder of a charset; nil for UTF-8, ASCII and what is
// not known.
func charsetOf(name string) encoding.Encoding {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "ansi_x3.4-1968", "unknown-8bit", "default", "x-unknown":
		return nil
	case "utf-16": // big-endian without a mark (RFC 2781 section 4.3); browsers disagree
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "hz-gb-2312": // which browsers do not read
		return simplifiedchinese.HZGB2312
	}
	if e, err := htmlindex.Get(name); err == nil {
		return readable(e)
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil {
		return readable(e)
	}
	// Programs write cp1252, cp-850, win1251, iso8859-15.
	for _, p := range [][2]string{{"cp", "windows-"}, {"win", "windows-"}, {"iso8859-", "iso-8859-"}, {"iso8859_", "iso-8859-"}} {
		if rest, ok := strings.CutPrefix(name, p[0]); ok {
			if e, err := htmlindex.Get(p[1] + strings.TrimPrefix(rest, "-")); err == nil {
				return readable(e)
			}
		}
	}
	return nil
}

// readable is e unless it makes nothing of text: to browsers some charsets are
// too dangerous to read, but the ASCII in them is better than nothing.
func readable(e encoding.Encoding) encoding.Encoding {
	if e == encoding.Replacement {
		return nil
	}
	return e
}

// toUTF8 decodes bytes of a charset. Without a known charset they are UTF-8
// where they look like it, else Windows-1252, which has a character for every
// byte. The result is always valid UTF-8.
func toUTF8(charset, s string) string {
	if e := charsetOf(charset); e != nil {
		if out, err := e.NewDecoder().String(s); err == nil {
			return strings.ToValidUTF8(out, "\uFFFD")
		}
	}
	if utf8.ValidString(s) {
		return s
	}
	if looksUTF8(s) {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	out, err := charmap.Windows1252.NewDecoder().String(s)
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return out
}

// looksUTF8 tells UTF-8 with some damage, or cut within a character, from text
// of one byte a character, in which bytes hardly ever make UTF-8 by chance.
func looksUTF8(s string) bool {
	good, bad := 0, 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		if !utf8.FullRuneInString(s[i:]) {
			break
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			bad++
		} else {
			good++
		}
		i += n
	}
	return good > 0 && good >= bad
}
