package mimeindex

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// decodeTransfer undoes a transfer encoding (RFC 2045 section 6). It never
// fails: what does not fit is skipped or left as it is. The result may share
// memory with b.
func decodeTransfer(encoding string, b []byte) []byte {
	switch strings.ToLower(encoding) {
	case "base64":
		return decodeBase64(b)
	case "quoted-printable":
		return decodeQuotedPrintable(b)
	}
	return b
}

// decodeBase64 skips what is not of the alphabet and stops at the padding.
func decodeBase64(b []byte) []byte {
	clean := make([]byte, 0, len(b))
	for _, c := range b {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '+', c == '/':
			clean = append(clean, c)
		case c == '=' && len(clean)%4 != 0:
			// Padding ends a piece; several pieces may have been put together.
			for len(clean)%4 != 0 {
				clean = append(clean, '=')
			}
		}
	}
	out := make([]byte, 0, len(clean)/4*3+3)
	var piece [3]byte
	for len(clean) >= 4 {
		n, err := base64.StdEncoding.Decode(piece[:], clean[:4])
		if err == nil {
			out = append(out, piece[:n]...)
		}
		clean = clean[4:]
	}
	if len(clean) > 1 {
		n, err := base64.RawStdEncoding.Decode(piece[:], clean)
		if err == nil {
			out = append(out, piece[:n]...)
		}
	}
	return out
}

// decodeQuotedPrintable leaves an equals sign that begins nothing as it is
// (RFC 2045 section 6.7, notes on robust decoders).
func decodeQuotedPrintable(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		line := b[:lineEnd(b)]
		b = b[len(line):]
		text := bytes.TrimRight(trimEOL(line), " \t")
		soft := bytes.HasSuffix(text, []byte{'='})
		if soft {
			text = text[:len(text)-1]
		}
		for i := 0; i < len(text); i++ {
			if text[i] == '=' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]) {
				out = append(out, unhex(text[i+1])<<4|unhex(text[i+2]))
				i += 2
				continue
			}
			out = append(out, text[i])
		}
		if !soft && line[len(line)-1] == '\n' {
			out = append(out, '\r', '\n')
		}
	}
	return out
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
