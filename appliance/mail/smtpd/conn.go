package smtpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"pillarbox/appliance/mail/delivery"
	"pillarbox/appliance/mail/guard"
)

// conn is the connection that the engine reads commands from and writes
// replies to. All but Interrupt, Cut and endOnce runs on the session's goroutine.
type conn struct {
	server  *Server
	session *session
	ctx     context.Context // of the session; ends when the connection is cut
	cancel  context.CancelFunc
	remote  netip.Addr
	closed  sync.Once

	tcp net.Conn             // below TLS; what other goroutines use
	net net.Conn             // what the bytes go over now: tcp, or TLS on it
	tls *tls.ConnectionState // nil on a plain connection

	// Input: buf[r:w] has been received and not been used.
	buf  []byte
	r, w int
	// feed is what the engine reads next; held is a command to look at before
	// any that is still to come.
	feed []byte
	held []byte
	// ended makes the engine see the end of the connection; final does so
	// after the next reply.
	ended, final bool

	out     []byte // replies not yet sent
	partial []byte // of the reply line the engine is writing
	expect  expect // what is done with the engine's next reply
	verb    verb   // of the command being answered
	// greeting is the argument of an EHLO or HELO that has no reply yet.
	greeting string
	code     int // of the last reply
	errors   int // since a message was delivered
	idle     int // commands that did nothing, likewise

	mu      sync.Mutex
	waiting bool  // for a command: may be told to go
	leaving error // why it is told to go, or about to be; else nil
}

var inputBuffers = sync.Pool{New: func() any { return new([inputBuffer]byte) }}

func newConn(ctx context.Context, s *Server, raw net.Conn) *conn {
	c := &conn{
		server: s, tcp: raw, net: raw, remote: guard.RemoteAddr(raw),
		buf: inputBuffers.Get().(*[inputBuffer]byte)[:], out: make([]byte, 0, 512),
		expect: expectGreeting,
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	if t, ok := raw.(*tls.Conn); ok {
		state := t.ConnectionState()
		c.tls = &state
		c.tcp = t.NetConn() // closing t would wait for the client to take the farewell
	}
	c.session = &session{conn: c}
	return c
}

// Read gives the engine its next command line, and at most that.
func (c *conn) Read(p []byte) (int, error) {
	for len(c.feed) == 0 {
		if c.ended {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			c.end(err)
		}
	}
	n := copy(p, c.feed)
	c.feed = c.feed[n:]
	return n, nil
}

// next takes a line from the client and sets feed where the engine is to see it.
func (c *conn) next() error {
	if c.code == 334 { // within an AUTH exchange (RFC 4954 section 4)
		line, err := c.readLine(maxAuthLine)
		if err == nil {
			c.feed = append(c.feed[:0], line...)
			c.feed = append(c.feed, "\r\n"...)
		} else if errors.Is(err, errLine) {
			c.feed = append(c.feed[:0], "*\r\n"...) // the engine ends the exchange with 501
			return nil
		}
		return err
	}
	line := c.held
	c.held = nil
	if line == nil {
		var err error
		if line, err = c.readLine(maxCommand); errors.Is(err, errLine) {
			c.verb = ""
			c.reply(500, "5.5.2 "+err.Error())
			return nil
		} else if err != nil {
			return err
		}
	}
	return c.command(line)
}

// errLine are lines that cannot be read as a command; the connection goes on.
var errLine = errors.New("not a command line")

type lineError string

func (e lineError) Error() string   { return string(e) }
func (e lineError) Is(t error) bool { return t == errLine }

// readLine waits for a line of at most limit bytes and returns it without its
// line end. It is valid until the next read.
func (c *conn) readLine(limit int) ([]byte, error) {
	if err := c.wait(); err != nil {
		return nil, err
	}
	defer c.waited()
	skipped := 0
	for searched := c.r; ; {
		if i := bytes.IndexByte(c.buf[searched:c.w], '\n'); i >= 0 {
			end := searched + i
			line := c.buf[c.r:end]
			c.r = end + 1
			return checkLine(line, skipped, limit)
		}
		if c.w-c.r > maxAuthLine { // longer than any line may be: read over it
			if skipped += c.w - c.r; skipped > maxSkipped {
				return nil, errNotSMTP
			}
			c.r, c.w = 0, 0
		}
		searched = c.w - c.r
		if err := c.fill(); err != nil {
			return nil, err
		}
		searched += c.r
	}
}

// checkLine refuses what is no command line: RFC 5321 section 2.3.8 knows no
// line end but CRLF, and no control characters appear in commands.
func checkLine(line []byte, skipped, limit int) ([]byte, error) {
	if limit == maxCommand && len(line) > 5 && strings.EqualFold(string(line[:5]), "AUTH ") {
		limit = maxAuthLine // with the initial response (RFC 4954 section 4)
	}
	if skipped+len(line)+1 > limit {
		return nil, lineError("Line too long")
	}
	line, ok := bytes.CutSuffix(line, []byte("\r"))
	if !ok {
		return nil, lineError("Lines have to end with CR LF")
	}
	for _, b := range line {
		if b < ' ' || b == 0x7f {
			return nil, lineError("Control characters are not allowed")
		}
	}
	return line, nil
}

// fill reads more input, after sending what the client has to see first.
func (c *conn) fill() error {
	if err := c.flush(); err != nil {
		return err
	}
	if c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	n, err := c.net.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// wait allows for a command, unless the connection is to end.
func (c *conn) wait() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving != nil {
		return c.leaving
	}
	c.waiting = true
	_ = c.net.SetReadDeadline(time.Now().Add(commandWait)) // fails only where Read will
	return nil
}

func (c *conn) waited() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
}

// Interrupt makes the connection end with 421 as soon as no command is under way.
func (c *conn) Interrupt() { c.leave(errShutdown) }

func (c *conn) leave(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = why
	if c.waiting {
		_ = c.tcp.SetReadDeadline(time.Now())
	}
}

// endOnce ends the connection as Interrupt does once the login is revoked.
func (c *conn) endOnce(revoked <-chan struct{}) {
	select {
	case <-revoked:
		c.leave(errRevoked)
	case <-c.ctx.Done():
	}
}

// Cut ends the connection whatever it is doing.
func (c *conn) Cut() {
	c.cancel()
	_ = c.tcp.Close()
}

func (c *conn) whyLeaving() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving
}

// Why a connection ends; each has its last words in end.
var (
	errShutdown = errors.New("server is shutting down")
	errRevoked  = errors.New("login was revoked")
	errNotSMTP  = errors.New("client does not speak SMTP")
	errDesync   = errors.New("client does not wait for replies")
	errClose    = errors.New("replied for the last time")
)

// end ends the connection, with a last reply where the client can still be
// told why (RFC 5321 section 3.8).
func (c *conn) end(err error) {
	c.ended = true
	c.expect = expectNothing
	if why := c.whyLeaving(); why != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = why
	}
	switch {
	case errors.Is(err, errShutdown):
		c.say(421, "4.3.2 System is shutting down")
	case errors.Is(err, errRevoked):
		c.say(421, "4.7.0 Log in again")
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.say(421, "4.4.2 Timeout, closing the connection")
	case errors.Is(err, errNotSMTP):
		c.say(421, "4.7.0 This is an SMTP server")
	case errors.Is(err, errDesync):
		c.say(554, "5.5.0 Synchronisation error: wait for the reply")
	}
	if err != io.EOF {
		c.server.cfg.Log.Debug("SMTP connection ended", "remote", c.remote, "error", err)
	}
}

// flush sends the replies that are waiting.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_ = c.net.SetWriteDeadline(time.Now().Add(writeWait)) // fails only where Write will
	_, err := c.net.Write(c.out)
	c.out = c.out[:0]
	return err
}

// Close ends the connection; the engine calls it when a session is over.
func (c *conn) Close() error {
	c.closed.Do(func() {
		c.ended = true
		_ = c.flush() // the client may be gone
		_ = c.net.Close()
		_ = c.tcp.Close()
		c.cancel()
		buf := (*[inputBuffer]byte)(c.buf)
		c.buf, c.r, c.w = nil, 0, 0
		inputBuffers.Put(buf)
		c.server.sessions.Remove(c)
	})
	return nil
}

// startTLS answers STARTTLS and turns the connection into one of TLS. What
// the client sent in plain text beyond the command is thrown away: it was not
// protected, and must not count as if it were (RFC 3207 section 5).
func (c *conn) startTLS() error {
	c.reply(220, "2.0.0 Ready to start TLS")
	if err := c.flush(); err != nil {
		return err
	}
	c.r, c.w = 0, 0
	ctx, cancel := context.WithTimeout(c.ctx, handshakeWait)
	defer cancel()
	t := tls.Server(c.tcp, c.server.cfg.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		return &handshakeError{err}
	}
	c.mu.Lock()
	c.net = t
	c.mu.Unlock()
	state := t.ConnectionState()
	c.tls = &state
	c.session.forget()
	return nil
}

// handshakeError ends a connection without words: whatever is written now is
// neither TLS nor wanted.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }

// LocalAddr is that of the TCP connection.
func (c *conn) LocalAddr() net.Addr { return c.tcp.LocalAddr() }

// RemoteAddr is that of the TCP connection.
func (c *conn) RemoteAddr() net.Addr { return c.tcp.RemoteAddr() }

// SetDeadline does nothing: the conn sets its own deadlines.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// client is what goes into the envelope of a message.
func (c *conn) client() delivery.Client {
	return delivery.Client{Addr: c.remote, Hello: c.session.hello, Extended: c.session.extended, TLS: c.tls}
}
