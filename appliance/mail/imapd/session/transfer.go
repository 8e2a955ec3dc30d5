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

// maxBlanks bounds the run of blanks that is held until it is known whether a
// line ends behind it. No encoder makes one so long.
const maxBlanks = 1 << 10

// quotedReader decodes quoted-printable, lines of any length.
type quotedReader struct {
	src  *bufio.Reader
	held []byte
	out  []byte // of held, to be given out
	err  error
}

func (q *quotedReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(q.out) > 0 {
			k := copy(p[n:], q.out)
			q.out = q.out[k:]
			n += k
			continue
		}
		if q.err != nil {
			break
		}
		if k := q.plain(p[n:]); k > 0 {
			n += k
			continue
		}
		c, err := q.src.ReadByte()
		if err != nil {
			q.err = err
			break
		}
		switch c {
		case '=':
			if b, ok := q.encoded(); ok {
				c = b
				break
			}
			q.hold(c)
			continue
		case ' ', '\t':
			q.hold(c)
			continue
		}
		p[n] = c
		n++
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, q.err
}

// plain copies what is in memory of bytes that stand for themselves: up to an
// equals sign, or blanks behind which the line may end.
func (q *quotedReader) plain(p []byte) int {
	next, _ := q.src.Peek(min(q.src.Buffered(), len(p)))
	n := 0
scan:
	for i, c := range next {
		switch c {
		case '=':
			break scan
		case ' ', '\t':
			continue
		case '\r', '\n':
			if n < i {
				break scan
			}
		}
		n = i + 1
	}
	copy(p, next[:n])
	_, _ = q.src.Discard(n)
	return n
}

// encoded takes the two digits behind an equals sign.
func (q *quotedReader) encoded() (b byte, ok bool) {
	digits, err := q.src.Peek(2)
	if err != nil {
		return 0, false
	}
	hi, ok1 := hexDigit(digits[0])
	lo, ok2 := hexDigit(digits[1])
	if !ok1 || !ok2 {
		return 0, false
	}
	_, _ = q.src.Discard(2)
	return hi<<4 | lo, true
}

// hold takes c, a blank or an equals sign that encodes no byte, and the blanks
// behind it. Blanks at the end of a line were added on the way (RFC 2045
// section 6.7, rule 3), and an equals sign there joins it to the next (rule 5).
func (q *quotedReader) hold(c byte) {
	q.held = append(q.held[:0], c)
	for len(q.held) < maxBlanks {
		next, err := q.src.Peek(1)
		if err != nil || next[0] != ' ' && next[0] != '\t' {
			break
		}
		q.held = append(q.held, next[0])
		_, _ = q.src.Discard(1)
	}
	switch eol := q.lineEnd(); {
	case eol == 0:
		q.out = q.held
	case c == '=':
		_, _ = q.src.Discard(eol)
	}
}

// lineEnd is the length of the line end that comes next, 0 where none does.
func (q *quotedReader) lineEnd() int {
	next, _ := q.src.Peek(2)
	switch {
	case len(next) > 0 && next[0] == '\n':
		return 1
	case len(next) > 1 && next[0] == '\r' && next[1] == '\n':
		return 2
	}
	return 0
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
