package pop3d

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// Errors of readLine that do not end the connection by themselves.
var (
	errLineTooLong = errors.New("pop3d: line too long")
	errInterrupted = errors.New("pop3d: interrupted")
)

// conn is a connection in lines. Output is buffered and goes out before the
// server waits for input, so that the answers to commands that came together
// leave together (RFC 2449 section 6.8, PIPELINING).
type conn struct {
	ctx    context.Context // of the session; ended by cut
	cancel context.CancelFunc
	in     *bufio.Reader
	out    *bufio.Writer

	tcp net.Conn // below TLS; what other goroutines use
	raw net.Conn // what the bytes go over now: tcp, or TLS on it

	mu          sync.Mutex
	interrupted bool
}

func newConn(ctx context.Context, s *Server, raw net.Conn) *conn {
	c := &conn{tcp: raw, raw: raw}
	if t, ok := raw.(*tls.Conn); ok {
		c.tcp = t.NetConn() // closing t would wait for the client to take the farewell
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.in = bufio.NewReaderSize(raw, inputBuffer)
	c.out = bufio.NewWriterSize(deadlineWriter{c}, outputBuffer)
	return c
}

// Cut ends the connection and what the session waits for.
func (c *conn) Cut() {
	c.cancel()
	_ = c.tcp.Close()
}

// close ends the connection at the session's end, with TLS's farewell.
func (c *conn) close() {
	_ = c.raw.Close() // a connection that fails to close is gone
	c.Cut()
}

// Interrupt makes readLine answer errInterrupted, now or when it is called next.
func (c *conn) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	_ = c.tcp.SetReadDeadline(time.Unix(1, 0))
}

// arm sets the time until which input is waited for.
func (c *conn) arm(until time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupted {
		return errInterrupted
	}
	return c.tcp.SetReadDeadline(until)
}

func (c *conn) isInterrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.interrupted
}

// readLine gives the next line without its line end, valid until the next
// call. It sends what is waiting to be sent unless there is input already.
// errLineTooLong leaves the connection at the start of the next line.
func (c *conn) readLine(until time.Time) ([]byte, error) {
	if c.in.Buffered() == 0 {
		if err := c.out.Flush(); err != nil {
			return nil, err
		}
	}
	if err := c.arm(until); err != nil {
		return nil, err
	}
	line, err := c.in.ReadSlice('\n')
	skipped := 0
	for errors.Is(err, bufio.ErrBufferFull) && skipped < maxSkipped {
		skipped += len(line)
		line, err = c.in.ReadSlice('\n')
	}
	switch {
	case err != nil && c.isInterrupted():
		return nil, errInterrupted
	case err != nil:
		return nil, err
	case skipped > 0:
		return nil, errLineTooLong
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// pause waits, or until the connection is cut.
func (c *conn) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
	}
}

// secure reports whether the connection is encrypted.
func (c *conn) secure() bool {
	_, ok := c.raw.(*tls.Conn)
	return ok
}

// startTLS does the handshake. Input that came in plain text after the STLS
// command is dropped: it may not be the peer's (RFC 2595 section 4).
func (c *conn) startTLS(config *tls.Config) error {
	if err := c.out.Flush(); err != nil {
		return err
	}
	if err := c.arm(time.Now().Add(handshakeWait)); err != nil {
		return err
	}
	t := tls.Server(c.tcp, config)
	ctx, cancel := context.WithTimeout(c.ctx, handshakeWait)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.raw = t
	c.in.Reset(t) // here it is dropped
	return nil
}

// deadlineWriter gives each write to the network its own time.
type deadlineWriter struct{ c *conn }

func (w deadlineWriter) Write(p []byte) (int, error) {
	if err := w.c.raw.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return 0, err
	}
	return w.c.raw.Write(p)
}
