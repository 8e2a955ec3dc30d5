package imapwire

import (
	"bytes"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

const (
	// writeSize is the buffer responses are gathered in: two TLS records.
	writeSize = 32 << 10
	// quotedLimit is the longest string sent in quotes; clients have had
	// limits on lines.
	quotedLimit = 1000
)

var writeBuffers = sync.Pool{New: func() any { return new([writeSize]byte) }}

// Encoder writes responses. Its methods keep the first error of the
// destination and then only drop what they are given.
type Encoder struct {
	// UTF8 says that strings and mailbox names go out as UTF-8 (RFC 6855,
	// RFC 9051), not as literals and modified UTF-7.
	UTF8 bool

	dst  io.Writer
	buf  []byte
	base *[writeSize]byte
	err  error
}

// NewEncoder writes responses to dst.
func NewEncoder(dst io.Writer) *Encoder { return &Encoder{dst: dst} }

// SetDestination changes the destination after a Flush (STARTTLS, COMPRESS).
func (e *Encoder) SetDestination(dst io.Writer) { e.dst = dst }

// Err is the destination's first error.
func (e *Encoder) Err() error { return e.err }

// Buffered is the number of bytes not handed on yet.
func (e *Encoder) Buffered() int { return len(e.buf) }

// Flush hands all on to the destination and gives the buffer back.
func (e *Encoder) Flush() error {
	e.handOn()
	if e.base != nil {
		writeBuffers.Put(e.base)
		e.base, e.buf = nil, nil
	}
	return e.err
}

func (e *Encoder) handOn() {
	if len(e.buf) > 0 && e.err == nil {
		_, e.err = e.dst.Write(e.buf)
	}
	e.buf = e.buf[:0]
	if cap(e.buf) > writeSize && e.base != nil {
		e.buf = e.base[:0] // a long response made it grow
	}
}

// room makes sure that there is a buffer.
func (e *Encoder) room() {
	if e.base == nil {
		e.base = writeBuffers.Get().(*[writeSize]byte)
		e.buf = append(e.base[:0], e.buf...)
	}
}

// Raw writes s as it is.
func (e *Encoder) Raw(s string) *Encoder {
	e.room()
	e.buf = append(e.buf, s...)
	return e
}

// Byte writes one byte.
func (e *Encoder) Byte(c byte) *Encoder {
	e.room()
	e.buf = append(e.buf, c)
	return e
}

// SP writes a space.
func (e *Encoder) SP() *Encoder { return e.Byte(' ') }

// Num writes a number.
func (e *Encoder) Num(n uint64) *Encoder {
	e.room()
	e.buf = strconv.AppendUint(e.buf, n, 10)
	return e
}

// Num32 writes a number.
func (e *Encoder) Num32(n uint32) *Encoder { return e.Num(uint64(n)) }

// End ends the line. A buffer that is nearly full is handed on.
func (e *Encoder) End() {
	e.room()
	e.buf = append(e.buf, '\r', '\n')
	if len(e.buf) > writeSize*3/4 {
		e.handOn()
	}
}

// DateTime writes a date-time in quotes.
func (e *Encoder) DateTime(t time.Time) *Encoder {
	e.room()
	e.buf = AppendDateTime(e.buf, t)
	return e
}

// Nil writes NIL.
func (e *Encoder) Nil() *Encoder { return e.Raw("NIL") }

// quotable reports whether s can stand in quotes.
func (e *Encoder) quotable(s string) bool {
	if len(s) > quotedLimit {
		return false
	}
	ascii := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == 0 || c == '\r' || c == '\n' {
			return false
		}
		if c >= 0x80 {
			ascii = false
		}
	}
	return ascii || e.UTF8 && utf8.ValidString(s)
}

// String writes a string: in quotes where it can stand there, else as a literal.
func (e *Encoder) String(s string) *Encoder {
	e.room()
	if !e.quotable(s) {
		e.buf = append(e.buf, '{')
		e.buf = strconv.AppendInt(e.buf, int64(len(s)), 10)
		e.buf = append(e.buf, '}', '\r', '\n')
		at := len(e.buf)
		e.buf = append(e.buf, s...)
		hideNUL(e.buf[at:])
		return e
	}
	e.buf = append(e.buf, '"')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '"' || c == '\\' {
			e.buf = append(e.buf, '\\')
		}
		e.buf = append(e.buf, c)
	}
	e.buf = append(e.buf, '"')
	return e
}

// NString writes NIL for "" and else a string.
func (e *Encoder) NString(s string) *Encoder {
	if s == "" {
		return e.Nil()
	}
	return e.String(s)
}

// AString writes an atom where s can be one, else a string.
func (e *Encoder) AString(s string) *Encoder {
	if s == "" || len(s) > quotedLimit || equalFold(s, "NIL") {
		return e.String(s)
	}
	for i := 0; i < len(s); i++ {
		if class[s[i]]&classAString == 0 {
			return e.String(s)
		}
	}
	return e.Raw(s)
}

func equalFold(a, b string) bool { return len(a) == len(b) && bytes.EqualFold([]byte(a), []byte(b)) }

// Mailbox writes a mailbox name in the form the connection asked for.
func (e *Encoder) Mailbox(name string) *Encoder {
	if e.UTF8 {
		return e.AString(name)
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c == '&' || c < 0x20 || c >= 0x7f {
			return e.AString(string(AppendUTF7(make([]byte, 0, 2*len(name)), name)))
		}
	}
	return e.AString(name)
}

// Bytes writes b as a literal, or as NIL where it is nil.
func (e *Encoder) Bytes(b []byte) *Encoder {
	e.BeginLiteral(int64(len(b)), false)
	e.Chunk(b)
	return e
}

// BeginLiteral announces a literal of size bytes; Chunk must follow with just
// as many. binary makes it a literal8, in which NUL stays NUL.
func (e *Encoder) BeginLiteral(size int64, binary bool) {
	e.room()
	if binary {
		e.buf = append(e.buf, '~')
	}
	e.buf = append(e.buf, '{')
	e.buf = strconv.AppendInt(e.buf, size, 10)
	e.buf = append(e.buf, '}', '\r', '\n')
}

// Chunk writes a part of a literal. NUL, which a literal cannot hold
// (RFC 9051 section 9, CHAR8), goes out as 0x80, as other servers do.
func (e *Encoder) Chunk(b []byte) { e.chunk(b, true) }

// BinaryChunk writes a part of a literal8 as it is.
func (e *Encoder) BinaryChunk(b []byte) { e.chunk(b, false) }

func (e *Encoder) chunk(b []byte, hide bool) {
	e.room()
	for len(b) > 0 {
		room := writeSize - len(e.buf)
		if room <= 0 {
			e.handOn()
			room = writeSize
		}
		n := min(room, len(b))
		at := len(e.buf)
		e.buf = append(e.buf, b[:n]...)
		if hide {
			hideNUL(e.buf[at:])
		}
		b = b[n:]
	}
}

func hideNUL(b []byte) {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return
		}
		b[i] = 0x80
		b = b[i+1:]
	}
}

// ReadChunks writes size bytes of a literal from r. Where r gives fewer, the
// literal is filled up with spaces, so that the stream stays readable, and the
// reader's error is returned.
func (e *Encoder) ReadChunks(r io.Reader, size int64, binary bool) error {
	e.room()
	var readErr error
	for size > 0 && e.err == nil {
		if writeSize-len(e.buf) < 4<<10 {
			e.handOn()
		}
		at := len(e.buf)
		room := int(min(size, int64(writeSize-at)))
		b := e.buf[at : at+room]
		var n int
		if readErr == nil {
			n, readErr = io.ReadFull(r, b)
			if readErr == io.EOF {
				readErr = io.ErrUnexpectedEOF
			}
		}
		if readErr != nil {
			for i := n; i < len(b); i++ {
				b[i] = ' '
			}
			n = len(b)
		}
		if !binary {
			hideNUL(b)
		}
		e.buf = e.buf[:at+n]
		size -= int64(n)
	}
	if e.err != nil {
		return e.err
	}
	return readErr
}

// Set writes UIDs or numbers as a sequence-set: runs of ascending numbers
// become ranges. It writes nothing for none.
func (e *Encoder) Set(n int, at func(int) uint32) *Encoder {
	e.room()
	for i := 0; i < n; {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		lo := at(i)
		hi := lo
		for i++; i < n && at(i) == hi+1; i++ {
			hi++
		}
		e.buf = strconv.AppendUint(e.buf, uint64(lo), 10)
		if hi > lo {
			e.buf = append(e.buf, ':')
			e.buf = strconv.AppendUint(e.buf, uint64(hi), 10)
		}
	}
	return e
}

// UIDSet writes a set.
func (e *Encoder) UIDSet(set imap.UIDSet) *Encoder {
	e.room()
	for i, r := range set {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = strconv.AppendUint(e.buf, uint64(r.Start), 10)
		if r.Stop != r.Start {
			e.buf = append(e.buf, ':')
			e.buf = strconv.AppendUint(e.buf, uint64(r.Stop), 10)
		}
	}
	return e
}
