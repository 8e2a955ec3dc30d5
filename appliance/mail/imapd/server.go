package imapd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/mail/sessions"
	"pillarbox/appliance/store/store"
)

// Authenticator checks logins; account.Directory is one.
type Authenticator interface {
	// Authenticate gives account.ErrBadCredentials, account.ErrThrottled,
	// account.ErrBusy, or a fault of the box's.
	Authenticate(ctx context.Context, login, password string, remote netip.Addr) (*account.User, error)
	// Scram gives the keys for SCRAM-SHA-256 of each of the login's passwords,
	// one at least, of one salt; or account.ErrThrottled.
	Scram(login string, remote netip.Addr) ([]account.ScramOffer, error)
	// ScramResult counts the outcome of an exchange that Scram began; who is
	// nil where no password was proven.
	ScramResult(ctx context.Context, login string, remote netip.Addr, who *account.User)
}

// TokenVerifier checks OAuth 2.0 access tokens.
type TokenVerifier interface {
	// VerifyToken gives whom a token lets in; login is whom the client claims
	// to be, "" where it does not say. Errors are those of Authenticate.
	VerifyToken(ctx context.Context, login, token string, remote netip.Addr) (*account.User, error)
}

// Config sets a server up. Store and Accounts are needed; the zero value of
// each other field is a sound default.
type Config struct {
	Store    *store.Store
	Accounts Authenticator
	// Tokens offers OAUTHBEARER and XOAUTH2; nil: not offered.
	Tokens TokenVerifier
	// Sharing finds whose mailboxes are shared with whom; nil: none are.
	Sharing session.Sharing
	// Index answers searches for text; nil: all mail is read for each.
	Index session.Index
	// TLS offers STARTTLS; nil: not offered.
	TLS *tls.Config
	// AllowPlaintext reports whether passwords are taken without TLS; nil: never.
	AllowPlaintext func() bool
	// AppendLimit reports the size of the largest message taken, in bytes
	// (RFC 7889); nil: DefaultAppendLimit.
	AppendLimit func() int64
	// PerPerson is the most connections one person may have logged in; 0: DefaultPerPerson.
	PerPerson int
	// FactsMemory bounds the facts of messages kept in memory, bytes; it is the
	// largest thing the server keeps. Half as much again may go to the entries
	// of mailboxes. 0: DefaultFactsMemory.
	FactsMemory int
	// Version is told to clients that ask (RFC 2971).
	Version string
	Log     *slog.Logger
	// FailureDelay is how long the answer to a wrong password is held back; 0: failureDelay. Negative: not at all.
	FailureDelay time.Duration
}

const (
	// DefaultAppendLimit is the largest message taken: the SMTP server's default too.
	DefaultAppendLimit = 50 << 20
	// DefaultFactsMemory holds the facts of some 15,000 messages, and the
	// entries of 100,000.
	DefaultFactsMemory = 32 << 20
	// DefaultPerPerson bounds one person's connections. Clients open one for
	// each watched mailbox on each device; what is beyond this runs wild.
	DefaultPerPerson = 1024
)

// Timeouts. Each names who would be hurt by a shorter one and who by a longer one.
const (
	// loginTimeout is the whole time from the greeting to the login. A person
	// types no password here, so that a minute and a half serves the slowest
	// line; what stays longer only holds a connection.
	loginTimeout = 90 * time.Second
	// idleTimeout ends a connection on which nothing was said. RFC 9051
	// section 5.4 demands 30 minutes at least; clients renew IDLE after 29.
	idleTimeout = 35 * time.Minute
	// readTimeout is the longest pause within a command: a client on a bad
	// line may stall during a long APPEND, an attacker holds a goroutine.
	readTimeout = 5 * time.Minute
	// writeTimeout is the longest a client may take over one buffer of at
	// most 64 KiB: one that reads less is dead or wants to hold memory.
	writeTimeout = 3 * time.Minute
	// failureDelay holds back the answer to a wrong password, so that guessing is slow.
	failureDelay = 2 * time.Second
)

// timeouts are the above as a server keeps to them; tests have less patience.
type timeouts struct{ login, idle, read, write time.Duration }

// Limits on what a client may do wrong.
const (
	// commandLimitBefore is the longest command of one who has not logged in.
	commandLimitBefore = 64 << 10
	// commandLimit is the longest command, its literals included, but not
	// messages: clients send sets of many thousand UIDs.
	commandLimit = 1 << 20
	// badLimitBefore is the number of bad commands before the login after
	// which the connection is closed: no mail client, but a prober.
	badLimitBefore = 10
	// badLimit is the same after the login, for bad commands in a row.
	badLimit = 100
	// loginLimit is the number of failed logins after which the connection is closed.
	loginLimit = 5
)

// Server serves IMAP on any number of listeners.
type Server struct {
	cfg   Config
	log   *slog.Logger
	table map[string]*command
	base  *session.Base
	wait  timeouts

	ctx    context.Context // ends when the server is to stop at once
	cancel context.CancelFunc

	sessions sessions.Set
	people   sessions.Counter[store.AccountID]
}

// New makes a server.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.AllowPlaintext == nil {
		cfg.AllowPlaintext = func() bool { return false }
	}
	if cfg.AppendLimit == nil {
		cfg.AppendLimit = func() int64 { return DefaultAppendLimit }
	}
	if cfg.PerPerson == 0 {
		cfg.PerPerson = DefaultPerPerson
	}
	if cfg.FactsMemory == 0 {
		cfg.FactsMemory = DefaultFactsMemory
	}
	if cfg.FailureDelay == 0 {
		cfg.FailureDelay = failureDelay
	}
	s := &Server{
		cfg: cfg, log: cfg.Log, table: commands(),
		wait: timeouts{login: loginTimeout, idle: idleTimeout, read: readTimeout, write: writeTimeout},
		base: &session.Base{
			Store: cfg.Store, Facts: session.NewFactsCache(cfg.Store, cfg.FactsMemory),
			Entries: session.NewEntriesCache(cfg.Store, cfg.FactsMemory/2), Recents: session.NewRecents(time.Now()), Sharing: cfg.Sharing, Index: cfg.Index,
		},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve serves the connections of a listener until it fails or the server is
// shut down (sessions.ErrClosed). Connections that are TLS already (*tls.Conn,
// or anything with its ConnectionState) count as such.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.sessions.Serve(ctx, l, func() error {
		for {
			nc, err := l.Accept()
			if err != nil {
				return err
			}
			go s.ServeConn(nc)
		}
	})
}

// ServeConn serves one connection until it ends.
func (s *Server) ServeConn(nc net.Conn) {
	c := newConn(s, nc)
	if !s.sessions.Add(c) {
		c.Cut()
		return
	}
	defer s.sessions.Remove(c)
	c.serve()
}

// Shutdown tells all clients goodbye: at once where one waits, else after the
// command under way. When ctx ends first, commands are given up and
// connections cut. It returns when no session is left.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.cancel()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	return s.sessions.Shutdown(ctx)
}
