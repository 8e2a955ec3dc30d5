package session

import (
	"bufio"
	"encoding/base64"
	"io"
	"strings"
)

// Decoded gives the bytes of a part without their transfer encoding
// (RFC 3516). It is as lenient as mail programs are: what is not of the
// encoding's alphabet is passed over, what is cut off gives what there is. ok
// is false where the encoding is unknown.
func Decoded(r io.Reader, encoding string) (_ io.Reader, ok bool) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
		return r, true
	case "base64":
		return &base64Reader{src: bufio.NewReaderSize(r, 8<<10)}, true
	case "quoted-printable":
		return &quotedReader{src: bufio.NewReaderSize(r, 8<<10)}, true
	}
	return nil, false
}

// base64Reader decodes base64 and passes over all that is none.
type base64Reader struct {
	src  *bufio.Reader
	bits uint32
	n    int // bits that wait
	err  error
}

var base64Value = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	var all [64]byte
	for i := range all {
		all[i] = byte(i << 2)
		c := base64.RawStdEncoding.EncodeToString(all[i : i+1])[0]
		t[c] = int8(i)
	}
	return t
}()

func (b *base64Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && b.err == nil {
		c, err := b.src.ReadByte()
		if err != nil {
			b.err = err
			break
		}
		v := base64Value[c]
		if v < 0 {
			if c == '=' { // what follows begins anew, as where two encodings were put together
				b.n, b.bits = 0, 0
			}
			continue
		}
		b.bits = b.bits<<6 | uint32(v)
		if b.n += 6; b.n >= 8 {
			b.n -= 8
			p[n] = byte(b.bits >> b.n)
			n++
		}
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, b.err
}

// quotedReader decodes quoted-printable.
type quotedReader struct {
	src  *bufio.Reader
	line []byte // decoded, to be given out
	buf  []byte
	err  error
}

func (q *quotedReader) Read(p []byte) (int, error) {
	for len(q.line) == 0 {
		if q.err != nil {
			return 0, q.err
		}
		raw, err := q.src.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			// A line longer than any encoder makes: taken in pieces, but not
			// in the middle of an encoded byte.
			if k := len(raw); raw[k-1] == '=' || raw[k-2] == '=' {
				q.buf = append(q.buf[:0], raw...)
				extra, _ := q.src.Peek(2)
				q.buf = append(q.buf, extra...)
				q.src.Discard(len(extra))
				raw = q.buf
			}
		} else if err != nil {
			q.err = err
		}
		q.line = unquote(raw)
	}
	n := copy(p, q.line)
	q.line = q.line[n:]
	return n, nil
}

// unquote decodes a line, in place.
func unquote(line []byte) []byte {
	end := len(line)
	eol := 0
	if end > 0 && line[end-1] == '\n' {
		eol = 1
		if end > 1 && line[end-2] == '\r' {
			eol = 2
		}
	}
	text, ending := line[:end-eol], line[end-eol:]
	if eol > 0 {
		// Blanks at the end of a line were added on the way (RFC 2045 section 6.7).
		for len(text) > 0 && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
			text = text[:len(text)-1]
		}
		if len(text) > 0 && text[len(text)-1] == '=' {
			text, ending = text[:len(text)-1], nil
		}
	}
	out := line[:0]
	for i := 0; i < len(text); i++ {
		if text[i] == '=' && i+2 < len(text) {
			hi, ok1 := hexDigit(text[i+1])
			lo, ok2 := hexDigit(text[i+2])
			if ok1 && ok2 {
				out = append(out, hi<<4|lo)
				i += 2
				continue
			}
		}
		out = append(out, text[i])
	}
	return append(out, ending...)
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
