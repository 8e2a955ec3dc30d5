// Package pop3d is the POP3 server of the box (RFC 1939), for port 110 with
// STLS and, behind a listener of implicit TLS, port 995.
//
// The maildrop is the account's INBOX. RFC 1939 section 4 wants it locked for
// one session; here it is not, since the same INBOX is in use over IMAP and
// the web. What takes the place of the lock:
//
//   - A session sees INBOX as it was at login: message numbers, sizes and ids
//     stay, mail that arrives later shows at the next login. Any number of
//     sessions up to maxSessions may be open at once.
//   - A message that somebody else has expunged meanwhile keeps its number.
//     RETR and TOP of it answer -ERR [SYS/TEMP]; LIST and UIDL still name it,
//     DELE of it succeeds, for it is what the client wants.
//   - Deletions happen at QUIT alone, in one call to the store, by UID. UIDs
//     are never used twice, so nothing else can be hit. Messages gone already
//     are passed over. A session that ends otherwise (lost connection, idle,
//     shutdown, password changed) deletes nothing.
//   - Flags are neither looked at nor changed: fetching mail over POP3 does
//     not mark it as read elsewhere.
//
// The unique id (UIDL) is UIDVALIDITY "." UID of INBOX, so it outlives
// restarts, and a backup that keeps these keeps clients from fetching all
// their mail again.
//
// Sizes are those of the stored message, which is what goes over the wire
// before dot-stuffing where it has CRLF throughout, as everything does that
// came over SMTP. A message that a client appended with other line ends or
// none at its end is sent with CRLF, so by those bytes longer than announced;
// so is the surrogate of a message with UTF-8 in its header that a client gets
// that has not asked for UTF8 (see downgrade).
//
// A session runs on one goroutine; after login another waits for the password
// to change. Memory of a session is bounded by its buffers and 16 bytes a
// message in INBOX. Peers get generic text, causes go to the log.
package pop3d

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"

	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/sessions"
	"pillarbox/appliance/store/store"
)

// Authenticator checks logins; account.Directory is one.
type Authenticator interface {
	// Authenticate gives account.ErrBadCredentials, account.ErrThrottled,
	// account.ErrBusy, or a fault of the box's.
	Authenticate(ctx context.Context, login, password string, remote netip.Addr) (*account.User, error)
}

// Store is what the server needs of store.Store.
type Store interface {
	MailboxByName(ctx context.Context, id store.AccountID, name string) (store.Mailbox, error)
	Entries(ctx context.Context, id store.MailboxID, lo, hi store.UID, fn func(store.Entry) error) (store.Mailbox, error)
	EntriesOf(ctx context.Context, id store.MailboxID, uids []store.UID) ([]store.Entry, error)
	OpenBody(ctx context.Context, id store.BlobID) (store.Body, error)
	Expunge(ctx context.Context, id store.MailboxID, uids []store.UID, onlyDeleted bool) ([]store.UID, store.ModSeq, error)
}

// Config is what a Server works with. Store and Accounts are required.
type Config struct {
	Store    Store
	Accounts Authenticator
	// TLS enables STLS; nil leaves it out.
	TLS *tls.Config
	// AllowPlaintext reports whether logins without TLS are allowed now; nil means never.
	AllowPlaintext func() bool
	Log            *slog.Logger
}

// Server is a POP3 server. It is safe for concurrent use.
type Server struct {
	cfg      Config
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
	return &Server{cfg: cfg}
}

// Serve takes connections from l, plain ones or *tls.Conn with the handshake
// done, until l fails, or ctx ends or Shutdown is called (sessions.ErrClosed).
// Sessions that are open then go on until Shutdown.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.sessions.Serve(ctx, l, func() error {
		for {
			raw, err := l.Accept()
			if err != nil {
				return err
			}
			c := newConn(context.WithoutCancel(ctx), s, raw)
			if !s.sessions.Add(c) {
				c.Cut()
				continue
			}
			go func() {
				defer s.sessions.Remove(c)
				defer c.close()
				s.serve(c)
			}()
		}
	})
}

// serve runs a session. A fault in one must not end the others: it is logged
// with its place, and this session ends.
func (s *Server) serve(c *conn) {
	ss := &session{conn: c, server: s, log: s.cfg.Log}
	defer func() {
		if p := recover(); p != nil {
			ss.log.Error("POP3 session failed", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	defer ss.leave()
	ss.run()
}

// Shutdown stops taking connections, ends idle sessions and waits for the
// commands under way. When ctx ends it cuts the connections that are left, and
// returns ctx's error once their sessions have ended.
func (s *Server) Shutdown(ctx context.Context) error { return s.sessions.Shutdown(ctx) }
