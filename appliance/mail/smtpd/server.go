// Package smtpd is the SMTP server of the box, for mail from other servers
// (port 25) and for submission by people (ports 587 and 465).
//
// The protocol engine is go-smtp: it parses commands and their parameters,
// runs the AUTH dialogue and keeps the state of a session. It never sees the
// network. A conn stands between it and the peer and feeds it one checked
// command line at a time; all that goes over many lines or needs the byte
// stream is done in the conn: line ends and lengths, the time limits, STARTTLS,
// the content of messages (DATA and BDAT), the EHLO reply, error limits,
// shutdown. So the engine cannot take a part of a message for commands, and
// the conn decides alone when a peer has had enough.
//
// Invariants:
//   - A session runs on one goroutine; nothing but the shutdown state is shared.
//   - Lines end in CRLF. A command with a bare CR or LF is refused, and so is a
//     message, before anything of it is stored: two servers that see different
//     line ends see different messages (SMTP smuggling).
//   - After an error while a message is read the connection is closed; its
//     rest is never read as commands.
//   - 250 after a message means that delivery has committed it.
//   - Peers get generic text. Causes go to the log, with the session's ID.
//
// Serve answers after Shutdown when the listener is closed; Shutdown tells
// idle clients 421 at once and lets messages in transfer finish while its
// context allows.
package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"

	"github.com/emersion/go-smtp"

	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/mail/delivery"
	"pillarbox/appliance/mail/sessions"
)

// Mode says whom a server serves.
type Mode uint8

// The modes.
const (
	// Exchange takes mail from anybody for the hosted domains (port 25).
	// Nobody can log in.
	Exchange Mode = iota
	// Submission takes mail from people of the box for anywhere, after they
	// logged in (RFC 6409; ports 587 and 465).
	Submission
)

// Pipeline takes messages; delivery.Pipeline is one.
type Pipeline interface {
	Begin(ctx context.Context, e *delivery.Envelope) error
	AddRecipient(ctx context.Context, e *delivery.Envelope, to address.Address) error
	Accept(ctx context.Context, e *delivery.Envelope, body io.Reader) (delivery.Receipt, error)
	MaxSize() int64
}

// Authenticate checks a login. Its errors are ErrBadCredentials, ErrThrottled,
// ErrBusy, or a fault of the box's.
type Authenticate func(ctx context.Context, login, password string, remote netip.Addr) (Person, error)

// Person is somebody who has logged in.
type Person struct {
	Address string
	// Revoked is closed when the login is not good any more: the session ends
	// then, after the message under way. Nil is never.
	Revoked <-chan struct{}
}

// Errors of Authenticate.
var (
	ErrBadCredentials = errors.New("smtpd: wrong name or password")
	ErrThrottled      = errors.New("smtpd: too many failed logins")
	ErrBusy           = errors.New("smtpd: too many logins at once")
)

// Config is what a Server works with. Mode, Pipeline and Hostname are
// required, Authenticate for Submission.
type Config struct {
	Mode         Mode
	Pipeline     Pipeline
	Authenticate Authenticate
	// TLS enables STARTTLS; nil leaves it out.
	TLS *tls.Config
	// AllowPlaintext reports whether logins without TLS are allowed now.
	AllowPlaintext func() bool
	// Hostname is the box's name at this moment.
	Hostname func() string
	// MaxRecipients of one message; 1000 where 0 (RFC 5321 section 4.5.3.1.8 asks for 100).
	MaxRecipients int
	Log           *slog.Logger
}

const defaultMaxRecipients = 1000

// Server is an SMTP server. It is safe for concurrent use.
type Server struct {
	cfg      Config
	engine   *smtp.Server
	sessions sessions.Set
}

// New makes a server.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxRecipients == 0 {
		cfg.MaxRecipients = defaultMaxRecipients
	}
	if cfg.AllowPlaintext == nil {
		cfg.AllowPlaintext = func() bool { return false }
	}
	s := &Server{cfg: cfg}
	s.engine = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return c.Conn().(*conn).session, nil
	}))
	s.engine.MaxLineLength = 0 // the conn has its own limits
	s.engine.MaxRecipients = cfg.MaxRecipients
	s.engine.AllowInsecureAuth = true // the conn decides
	s.engine.EnableSMTPUTF8 = true
	s.engine.ErrorLog = engineLog{cfg.Log}
	return s
}

// Serve takes connections from l, plain ones or *tls.Conn with the handshake
// done, until l fails, or ctx ends or Shutdown is called (sessions.ErrClosed).
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.sessions.Serve(ctx, l, func() error {
		return s.engine.Serve(listener{Listener: l, server: s, ctx: context.WithoutCancel(ctx)})
	})
}

// listener makes a conn of every connection, for the engine to serve.
type listener struct {
	net.Listener
	server *Server
	ctx    context.Context
}

func (l listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := newConn(l.ctx, l.server, raw); l.server.sessions.Add(c) {
			return c, nil
		}
		_ = raw.Close()
	}
}

// Shutdown stops taking connections, tells idle clients 421 and waits for the
// commands and messages under way. When ctx ends it cuts the connections that
// are left, and returns ctx's error once their sessions have ended.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.sessions.Shutdown(ctx)
	// The engine's goroutines have a few lines to go, logs of faults among them.
	_ = s.engine.Shutdown(ctx) // it closes the listeners again, which fails
	return err
}

// engineLog passes on what go-smtp logs: panics of a session, with the stack.
type engineLog struct{ log *slog.Logger }

func (l engineLog) Printf(format string, v ...any) {
	l.log.Error("SMTP engine: " + fmt.Sprintf(format, v...))
}
func (l engineLog) Println(v ...any) { l.log.Error("SMTP engine: " + fmt.Sprint(v...)) }
