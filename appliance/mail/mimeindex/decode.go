package mimeindex

import (
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// Decode makes text that people can read of a field's raw value: encoded words
// (RFC 2047) decoded, bytes above 127 taken for UTF-8, else for Windows-1252.
// What cannot be decoded stays as it is.
func Decode(s string) string {
	if !strings.Contains(s, "=?") {
		return toUTF8("", s)
	}
	dec := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		raw, err := io.ReadAll(r)
		return strings.NewReader(toUTF8(charset, string(raw))), err
	}}
	out, err := dec.DecodeHeader(toUTF8("", s))
	if err != nil {
		return toUTF8("", s)
	}
	return strings.ToValidUTF8(out, "\uFFFD")
}

// charsetOf finds the decoder of a charset; nil for UTF-8, ASCII and what is
// not known.
func charsetOf(name string) encoding.Encoding {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "ansi_x3.4-1968", "unknown-8bit", "default", "x-unknown":
		return nil
	}
	if e, err := htmlindex.Get(name); err == nil {
		return e
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil {
		return e
	}
	// Programs write cp1252, cp-850, win1251, iso8859-15.
	for prefix, proper := range map[string]string{"cp": "windows-", "win": "windows-", "win-": "windows-", "iso8859-": "iso-8859-", "iso8859_": "iso-8859-"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			if e, err := htmlindex.Get(proper + strings.TrimPrefix(rest, "-")); err == nil {
				return e
			}
		}
	}
	return nil
}

// toUTF8 decodes bytes of a charset. Without a known charset they are UTF-8
// where they can be, else Windows-1252, which has a character for every byte.
func toUTF8(charset, s string) string {
	if e := charsetOf(charset); e != nil {
		if out, err := e.NewDecoder().String(s); err == nil {
			return out
		}
	}
	if utf8.ValidString(s) {
		return s
	}
	out, err := charmap.Windows1252.NewDecoder().String(s)
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return out
}
