package smtpd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"pillarbox/appliance/mail/delivery"
)

// content is how the content of the message under way is transferred.
type content struct {
	chunked bool  // by BDAT
	left    int64 // octets of the chunk that are still to come
	last    bool  // the chunk ends the message
}

// reader reads the content of one message from a conn: after DATA up to the
// line with a lone dot, with dots unstuffed (RFC 5321 section 4.5.2), or the
// chunks of BDAT with the commands between them (RFC 3030). Whatever ends it
// early is an error, never io.EOF.
type reader struct {
	c *conn
	content
	rules lineRules
	begun time.Time
	// since is when the transfer began whose rate is looked at: all of DATA, or
	// one chunk; bytes is what it has brought.
	since time.Time
	bytes int64
	// bol is set at the beginning of a line, where a dot has its meaning.
	bol bool
	// ready is how much of the input buffer has been examined and is content.
	ready int
	err   error // sticky
	// aborted is set where the client gave the message up: no reply is due.
	aborted bool
}

func newReader(c *conn) *reader {
	now := time.Now()
	return &reader{c: c, content: c.session.content, begun: now, since: now, bol: true}
}

// Errors of a message's content.
var (
	errBareLineEnd = &delivery.Error{Code: 550, Enhanced: [3]int{5, 6, 11}, Message: "Message has a line that does not end with CR LF"}
	errLongLine    = &delivery.Error{Code: 554, Enhanced: [3]int{5, 6, 0}, Message: "Message has a line that is too long"}
	errLost        = errors.New("smtpd: message broken off")
	errAborted     = errors.New("smtpd: client gave the message up")
)

// Read gives the next piece of the content.
func (r *reader) Read(p []byte) (int, error) {
	for r.err == nil && r.ready == 0 {
		r.err = r.advance()
		if r.err == nil && r.ready > 0 {
			// Checked before a byte of it is handed on.
			if err := r.rules.check(r.c.buf[r.c.r : r.c.r+r.ready]); err != nil {
				r.err = err
			}
		}
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.c.buf[r.c.r:r.c.r+r.ready])
	r.c.r += n
	r.ready -= n
	return n, nil
}

// advance finds the next piece of content in the input, or the end: io.EOF.
func (r *reader) advance() error {
	if r.chunked {
		return r.advanceChunk()
	}
	c := r.c
	for {
		in := c.buf[c.r:c.w]
		if r.bol && len(in) > 0 && in[0] == '.' {
			switch {
			case len(in) < 3 && (len(in) == 1 || in[1] == '\r'):
				if err := r.fill(); err != nil { // could be the end
					return err
				}
				continue
			case in[1] == '\r' && in[2] == '\n':
				c.r += 3
				return r.rules.end()
			}
			c.r++ // the dot that was put before a line's own
			in = in[1:]
		}
		if len(in) > 1 || len(in) == 1 && in[0] != '\r' {
			r.ready, r.bol = beforeDot(in)
			return nil
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// beforeDot is how much of the input can be taken as it is: up to the next
// line that begins with a dot, and without a CR at the end, which may be half
// of a line end. bol reports whether a line begins after it.
func beforeDot(in []byte) (n int, bol bool) {
	if i := bytes.Index(in, []byte("\r\n.")); i >= 0 {
		return i + 2, true
	}
	if n = len(in); in[n-1] == '\r' {
		n--
	}
	return n, bytes.HasSuffix(in[:n], []byte("\r\n"))
}

// advanceChunk goes on within the chunk, or on to the next one.
func (r *reader) advanceChunk() error {
	for r.left == 0 {
		if r.last {
			return r.rules.end()
		}
		if err := r.nextChunk(); err != nil {
			return err
		}
	}
	if r.c.r == r.c.w {
		if err := r.fill(); err != nil {
			return err
		}
	}
	r.ready = int(min(r.left, int64(r.c.w-r.c.r)))
	r.left -= int64(r.ready)
	return nil
}

// nextChunk confirms the chunk that is complete and reads commands up to the
// next BDAT. Those that end the transaction are held for the engine.
func (r *reader) nextChunk() error {
	c := r.c
	c.verb = "BDAT"
	c.reply(250, "2.0.0 Chunk received")
	for {
		line, err := c.readLine(maxCommand)
		if errors.Is(err, errLine) {
			c.reply(500, "5.5.2 "+err.Error())
			continue
		} else if err != nil {
			return r.broken(err)
		}
		name, arg, _ := bytes.Cut(line, []byte(" "))
		switch c.verb = verb(bytes.ToUpper(name)); c.verb {
		case "BDAT":
			size, last, ok := chunk(string(arg))
			if !ok {
				c.reply(501, "5.5.4 Syntax: BDAT size [LAST]")
				c.ended = true
				return errLost
			}
			r.left, r.last = size, last
			r.since, r.bytes = time.Now(), 0
			if r.since.Sub(r.begun) > bodyMax {
				return r.broken(os.ErrDeadlineExceeded)
			}
			return nil
		case "NOOP":
			c.reply(250, "2.0.0 Ok")
			c.passTime()
		case "RSET", "EHLO", "HELO", "QUIT":
			c.held = bytes.Clone(line)
			r.aborted = true
			return errAborted
		default: // RFC 3030 section 2: nothing but BDAT
			c.reply(503, "5.5.1 A message is under way")
		}
		if c.ended {
			return errLost
		}
	}
}

// fill reads more input within the time limits of a message.
func (r *reader) fill() error {
	c := r.c
	now := time.Now()
	deadline := now.Add(bodyIdle)
	kept := r.since.Add(bodyGrace + time.Duration(r.bytes/bodyRate)*time.Second)
	for _, d := range []time.Time{kept, r.begun.Add(bodyMax)} {
		if d.Before(deadline) {
			deadline = d
		}
	}
	_ = c.net.SetReadDeadline(deadline) // fails only where Read will
	had := c.w - c.r
	if err := c.fill(); err != nil {
		return r.broken(err)
	}
	r.bytes += int64(c.w - c.r - had)
	return nil
}

// broken ends the connection: what follows on it is the rest of a message.
func (r *reader) broken(err error) error {
	r.c.end(err)
	return fmt.Errorf("%w: %w", errLost, err)
}

// drain reads over what is left of a refused message. Where that takes too
// long the connection ends.
func (r *reader) drain() {
	if r.err == io.EOF || r.aborted || r.c.ended {
		return
	}
	drained := int64(0)
	for !r.c.ended {
		r.c.r += r.ready
		drained += int64(r.ready)
		r.ready = 0
		if drained > maxDrained {
			r.c.final = true
			return
		}
		if r.advance() != nil {
			return
		}
	}
}

// lineRules holds content to lines that end in CRLF and are not too long.
type lineRules struct {
	line int64 // length of the line so far
	cr   bool  // the last byte was a CR
}

// check looks at the next piece of the content.
func (l *lineRules) check(p []byte) error {
	if l.cr {
		if p[0] != '\n' {
			return errBareLineEnd
		}
		l.cr = false
		l.line = 0
		p = p[1:]
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			if j := bytes.IndexByte(p, '\r'); j >= 0 && j < len(p)-1 {
				return errBareLineEnd
			} else if j >= 0 {
				l.cr = true
			}
			if l.line += int64(len(p)); l.line > maxBodyLine {
				return errLongLine
			}
			return nil
		}
		if i == 0 || bytes.IndexByte(p[:i], '\r') != i-1 {
			return errBareLineEnd
		}
		if l.line+int64(i-1) > maxBodyLine {
			return errLongLine
		}
		l.line = 0
		p = p[i+1:]
	}
	return nil
}

// end is the verdict at the end of the content: io.EOF where all is well.
func (l *lineRules) end() error {
	if l.cr {
		return errBareLineEnd
	}
	return io.EOF
}
