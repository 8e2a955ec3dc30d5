package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/sys/unix"

	"pillarbox/appliance/mail/imapd/imapwire"
	"pillarbox/appliance/mail/imapd/session"
)

// conn is one client's connection. One goroutine reads and answers its
// commands, one at a time; while it waits for input a second one may announce
// changes (see announcing). Nothing else touches it but interrupt.
type conn struct {
	srv    *Server
	nc     net.Conn
	tcp    net.Conn // nc, or what is below TLS
	remote netip.Addr
	log    *slog.Logger
	dec    *imapwire.Decoder
	enc    *imapwire.Encoder
	wire   *wire
	tls    *tls.ConnectionState // nil: in the clear

	compressed bool // RFC 4978

	user    *session.User
	revoked <-chan struct{} // closed when the person may not stay
	sel     *session.Selected
	on      enabled
	notify  *notify // nil: NOTIFY NONE
	// contexts are the searches in the selected mailbox that are kept up to date.
	contexts []*searchContext

	began   time.Time
	bad     int // bad commands, in a row after the login
	failed  int // failed logins
	leaving bool
	// identified says that the client told of itself (RFC 2971).
	identified bool
	waiting    atomic.Bool // between commands, or in IDLE: may be interrupted
	stopped    atomic.Bool // the server is shutting down
	roused     atomic.Bool // announcing failed: stop waiting
}

// enabled is what the client turned on (RFC 5161).
type enabled struct {
	condstore bool // RFC 7162
	qresync   bool // RFC 7162
	rev2      bool // RFC 9051
	utf8      bool // RFC 6855
	uidonly   bool // RFC 9586
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, tcp: nc, began: time.Now()}
	if t, ok := nc.(*tls.Conn); ok {
		c.tcp = t.NetConn() // closing t would wait for the client to take the farewell
	}
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		c.remote = a.Addr().Unmap()
	}
	c.log = s.log.With("remote", c.remote.String())
	if t, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		st := t.ConnectionState()
		c.tls = &st
	}
	c.wire = newWire(c, nc)
	c.dec = imapwire.NewDecoder(c.wire, commandLimitBefore, c.goAhead)
	c.enc = imapwire.NewEncoder(c.wire)
	return c
}

// wire is the connection with the deadlines of its state.
type wire struct {
	c   *conn
	nc  net.Conn
	tcp syscall.RawConn // nil where it is no TCP connection
}

func newWire(c *conn, nc net.Conn) *wire {
	w := &wire{c: c, nc: nc}
	for {
		switch t := nc.(type) {
		case *net.TCPConn:
			if raw, err := t.SyscallConn(); err == nil {
				w.tcp = raw
			}
			return w
		case interface{ NetConn() net.Conn }:
			nc = t.NetConn()
		default:
			return w
		}
	}
}

// acknowledge has TCP acknowledge at once what came. A client whose system
// holds small segments back until then (RFC 9293 section 3.7.4) and that sends
// a literal and the rest of its command apart would else wait for the 40 ms
// of a delayed acknowledgement with each APPEND.
func (w *wire) acknowledge() {
	if w.tcp != nil {
		// It is for speed alone: where it fails, nothing is lost.
		_ = w.tcp.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
		})
	}
}

func (w *wire) Read(p []byte) (int, error) {
	c := w.c
	limit := c.srv.wait.read
	if c.waiting.Load() {
		limit = c.srv.wait.idle
	} else {
		// In the middle of a command: the client may hold the rest back until
		// it has the answers to those before it.
		if err := c.flush(); err != nil {
			return 0, err
		}
		w.acknowledge()
	}
	deadline := time.Now().Add(limit)
	if c.user == nil {
		if last := c.began.Add(c.srv.wait.login); last.Before(deadline) {
			deadline = last
		}
	}
	if err := w.nc.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	if (c.stopped.Load() || c.roused.Load()) && c.waiting.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return w.nc.Read(p)
}

func (w *wire) Write(p []byte) (int, error) {
	if err := w.nc.SetWriteDeadline(time.Now().Add(w.c.srv.wait.write)); err != nil {
		return 0, err
	}
	return w.nc.Write(p)
}

// Interrupt ends the connection at its next waiting for input, or now if it
// waits; what is under way goes on.
func (c *conn) Interrupt() {
	c.stopped.Store(true)
	c.endWait()
}

// Cut ends the connection whatever it is doing.
func (c *conn) Cut() { _ = c.tcp.Close() } // a connection that fails to close is gone

// endWait ends waiting for input. The flag that says why must be set before:
// Read looks at it after it has set its own deadline.
func (c *conn) endWait() {
	if c.waiting.Load() {
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// flush hands all responses on to the network.
func (c *conn) flush() error { return c.enc.Flush() }

// goAhead asks the client for a literal.
func (c *conn) goAhead() error {
	c.enc.Raw("+ OK").End()
	return c.flush()
}

// serve greets the client and answers its commands until it leaves.
func (c *conn) serve() {
	defer c.close()
	defer func() {
		if p := recover(); p != nil {
			c.logPanic(p)
			c.farewell(errPanic)
		}
	}()
	c.enc.Raw("* OK [CAPABILITY ").Raw(c.capabilities()).Raw("] Pillarbox ready").End()
	for !c.leaving {
		if err := c.next(); err != nil {
			c.farewell(err)
			return
		}
	}
	c.flush()
}

// errPanic means that a fault ended the session.
var errPanic = errors.New("imapd: session failed")

// logPanic logs a fault with its place. A fault in one session must not end the
// others, so that each goroutine of a session ends its panics by this.
func (c *conn) logPanic(p any) {
	c.log.Error("imap session failed", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}

// next waits for a command and answers it. Its error ends the connection.
func (c *conn) next() error {
	if c.stopped.Load() {
		return os.ErrDeadlineExceeded
	}
	if c.isRevoked() {
		return errRevoked
	}
	// Answers to commands that came together leave together.
	if c.dec.Buffered() == 0 {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.waiting.Store(true)
	err := c.announcing(c.dec.Wait)
	c.waiting.Store(false)
	if err != nil {
		return err
	}
	if c.isRevoked() {
		return errRevoked
	}
	if err := c.dec.Begin(); err != nil {
		return err
	}
	if err := c.command(); err != nil {
		return err
	}
	if err := c.dec.Skip(); err != nil {
		return err
	}
	return c.enc.Err()
}

// errRevoked means that the person's password was changed, or worse.
var errRevoked = errors.New("imapd: login revoked")

// isRevoked reports whether the login has lost its ground.
func (c *conn) isRevoked() bool {
	select {
	case <-c.revoked:
		return true
	default:
		return false
	}
}

// farewell says why the connection is closed, where that helps.
func (c *conn) farewell(err error) {
	c.nc.SetReadDeadline(time.Unix(1, 0))
	switch {
	case c.stopped.Load():
		c.enc.Raw("* BYE [UNAVAILABLE] Server is shutting down").End()
	case errors.Is(err, errPanic):
		c.enc.Raw("* BYE [SERVERBUG] Internal error").End()
	case errors.Is(err, errRevoked):
		c.enc.Raw("* BYE [EXPIRED] The password was changed, log in again").End() // RFC 5530 section 3
	case errors.Is(err, session.ErrGone):
		c.enc.Raw("* BYE [NONEXISTENT] The selected mailbox was deleted, or is shared no longer").End()
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.enc.Raw("* BYE Closed after a long silence").End()
	case errors.Is(err, errTooManyBad):
		c.enc.Raw("* BYE [CLIENTBUG] Too many bad commands").End()
	case errors.Is(err, imapwire.ErrAbandoned):
		c.enc.Raw("* BYE [CLIENTBUG] Command does not end").End()
	case errors.Is(err, errTLSLeftover):
		c.enc.Raw("* BYE [CLIENTBUG] Nothing may follow STARTTLS before TLS").End()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return
	default:
		c.log.Debug("imap connection failed", "error", err)
		return
	}
	c.flush()
}

func (c *conn) close() {
	c.unselect()
	c.logout()
	c.nc.Close()
	c.enc.SetDestination(io.Discard)
	c.enc.Flush()
	c.dec.Release()
}

// unselect leaves the selected mailbox.
func (c *conn) unselect() {
	if c.sel != nil {
		c.sel.Close()
		c.sel, c.contexts = nil, nil
	}
}

// logout forgets the person.
func (c *conn) logout() {
	c.endNotify()
	if c.user != nil {
		c.srv.people.Leave(c.user.Account)
		c.user, c.revoked = nil, nil
	}
	c.on = enabled{}
	c.dec.UTF8, c.enc.UTF8 = false, false
	c.dec.Limit = commandLimitBefore
}

// state is the connection's state (RFC 9051 section 3).
func (c *conn) state() imap.ConnState {
	switch {
	case c.leaving:
		return imap.ConnStateLogout
	case c.sel != nil:
		return imap.ConnStateSelected
	case c.user != nil:
		return imap.ConnStateAuthenticated
	}
	return imap.ConnStateNotAuthenticated
}

// context is that of a command: changes count as the session's own, and the
// end of the server ends it.
func (c *conn) context() context.Context {
	if c.user == nil {
		return c.srv.ctx
	}
	return c.user.Context(c.srv.ctx)
}
