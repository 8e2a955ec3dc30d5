package pop3d

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"pillarbox/appliance/store/store"
)

// wholeMessage as a count of body lines means all of them.
const wholeMessage = -1

func (s *session) retr(arg string) error { return s.send(arg, wholeMessage) }

// top sends the header, the empty line and some lines of the body (RFC 1939 section 7).
func (s *session) top(arg string) error {
	msg, count, _ := strings.Cut(arg, " ")
	lines, ok := number(strings.Trim(count, " \t"))
	if !ok {
		return s.wrong("TOP needs a message and a number of lines")
	}
	return s.send(msg, lines)
}

var heads = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, headBuffer) }}

// send answers RETR and TOP.
func (s *session) send(arg string, lines int) error {
	m, _ := s.drop.find(arg)
	if m == nil {
		return s.wrong(noMessage)
	}
	body, err := s.open(m)
	if errors.Is(err, store.ErrNotFound) || err == nil && body == nil {
		return s.fail("SYS/TEMP", "The message has been removed meanwhile")
	}
	if err != nil {
		return s.unreadable(err)
	}
	defer body.Close()
	in := heads.Get().(*bufio.Reader)
	defer heads.Put(in)
	in.Reset(body)
	defer in.Reset(nil)
	// Read ahead before anything is promised: most damage shows here.
	head, err := in.Peek(headBuffer)
	if err != nil && err != io.EOF {
		return s.unreadable(err)
	}
	if lines == wholeMessage {
		err = s.ok("%d octets", m.size)
	} else {
		err = s.ok("")
	}
	if err != nil {
		return err
	}
	c := content{out: s.out, lines: lines}
	if n := headerLength(head); !s.utf8 && hasUTF8(head[:n]) {
		if err := c.copy(bufio.NewReader(bytes.NewReader(downgrade(head[:n])))); err != nil {
			return err
		}
		if _, err := in.Discard(n); err != nil {
			return err
		}
	}
	if err := c.copy(in); err != nil {
		// The client must not take what it has for the whole: no end is sent.
		return fmt.Errorf("pop3d: sending UID %d: %w", m.uid, err)
	}
	s.drop.fetched++
	s.drop.bytes += c.sent
	return c.end()
}

// unreadable answers for a message whose body cannot be read.
func (s *session) unreadable(err error) error {
	if !errors.Is(err, store.ErrDamaged) {
		return s.broken("read a message", err)
	}
	s.log.Error("POP3: a message is damaged", "user", s.user.Address, "error", err)
	return s.fail("SYS/PERM", "The message is damaged on the server")
}

// headerLength is the length of the header without the empty line that ends
// it; 0 where there is none within head.
func headerLength(head []byte) int {
	for at := 0; at < len(head); {
		end := bytes.IndexByte(head[at:], '\n')
		if end < 0 {
			return 0
		}
		if line := head[at : at+end]; len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return at
		}
		at += end + 1
	}
	return 0
}

// hasUTF8 reports whether b has characters beyond ASCII and is UTF-8.
// What is not is a matter of times before UTF-8, and passes.
func hasUTF8(b []byte) bool {
	for i := range b {
		if b[i] >= utf8.RuneSelf {
			return utf8.Valid(b)
		}
	}
	return false
}

// content sends a message in lines that end in CRLF, with a dot before each
// dot that starts one (RFC 1939 section 3). It takes the message in pieces.
type content struct {
	out   *bufio.Writer
	lines int   // of the body still to send; wholeMessage for all
	sent  int64 // bytes before dot-stuffing

	inLine bool // the line has begun
	cr     bool // its last byte so far is CR
	body   bool // the header is over
	done   bool // all the lines asked for are sent
}

// copy sends all of in, or until the lines asked for are sent.
func (c *content) copy(in *bufio.Reader) error {
	for !c.done {
		piece, err := in.ReadSlice('\n')
		if werr := c.piece(piece); werr != nil {
			return werr
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
	return nil
}

// piece sends a line or a part of one. bufio.Writer keeps its first error.
func (c *content) piece(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if c.body && !c.inLine && c.lines == 0 {
		c.done = true
		return nil
	}
	if !c.inLine && p[0] == '.' {
		_ = c.out.WriteByte('.')
	}
	last := len(p) - 1
	if p[last] != '\n' {
		c.inLine, c.cr = true, p[last] == '\r'
		c.sent += int64(len(p))
		_, err := c.out.Write(p)
		return err
	}
	text := p[:last]
	if last > 0 {
		c.cr = text[last-1] == '\r'
	}
	empty := !c.inLine && (last == 0 || last == 1 && c.cr)
	_, _ = c.out.Write(text)
	c.sent += int64(len(text))
	return c.endLine(empty)
}

func (c *content) endLine(empty bool) error {
	if !c.cr {
		_ = c.out.WriteByte('\r')
		c.sent++
	}
	c.inLine, c.cr = false, false
	c.sent++
	if c.body && c.lines > 0 {
		c.lines--
	}
	c.body = c.body || empty
	return c.out.WriteByte('\n')
}

// end sends the end of the message.
func (c *content) end() error {
	if c.inLine {
		if err := c.endLine(false); err != nil {
			return err
		}
	}
	_, err := c.out.WriteString(".\r\n")
	return err
}
