package mimeindex

import (
	"bytes"
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

// decodeBase64 skips what is not of the alphabet. Padding ends a piece; several
// pieces may have been put together. What is left of four characters at the end
// gives the whole bytes in it.
func decodeBase64(b []byte) []byte {
	out := make([]byte, 0, len(b)/4*3+3)
	var bits uint32
	have := 0 // characters in bits
	for _, c := range b {
		v := sixBits(c)
		if v < 64 {
			bits = bits<<6 | uint32(v)
			if have++; have == 4 {
				out = append(out, byte(bits>>16), byte(bits>>8), byte(bits))
				bits, have = 0, 0
			}
			continue
		}
		if c == '=' {
			out = appendRest(out, bits, have)
			bits, have = 0, 0
		}
	}
	return appendRest(out, bits, have)
}

// appendRest appends the whole bytes of less than four base64 characters.
func appendRest(out []byte, bits uint32, have int) []byte {
	switch have {
	case 2:
		return append(out, byte(bits>>4))
	case 3:
		return append(out, byte(bits>>10), byte(bits>>2))
	}
	return out
}

// sixBits is the value of a character of the base64 alphabet, 64 or more for
// others.
func sixBits(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c - 'A'
	case 'a' <= c && c <= 'z':
		return c - 'a' + 26
	case '0' <= c && c <= '9':
		return c - '0' + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return 64
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
