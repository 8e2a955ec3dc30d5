// Package guard stands between the network and the mail servers. Listener
// counts connections, refuses those beyond the limits and does the TLS
// handshake of implicit TLS under a deadline; Logins slows down whoever
// guesses passwords. Both know no protocol: SMTP, IMAP, POP3 and the API use
// the same ones.
//
// Memory is bounded: a listener keeps one counter for each address that is
// connected now, Logins a fixed number of entries. Nothing is kept on disk; a
// restart forgets failures.
package guard

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Defaults for the fields of Limits that are zero.
const (
	// defaultPerIP lets an office of fifty people behind one address work with
	// five to ten connections each, and keeps one host from taking all of
	// Total.
	defaultPerIP = 500
	// defaultTotal is what a box of 2 GiB carries at some 100 KiB a connection.
	defaultTotal = 2000
	// defaultHandshake is long enough for a satellite link with lost packets
	// (two round trips); a client that sends nothing holds its slot no longer.
	defaultHandshake = 20 * time.Second
	// refusalWrite bounds the one line that tells a refused client why. It
	// goes into an empty socket buffer, so it does not wait in practice.
	refusalWrite = time.Second
	// acceptBackoff and acceptBackoffMax space out attempts to accept while
	// the process has no file descriptors left.
	acceptBackoff    = 5 * time.Millisecond
	acceptBackoffMax = time.Second
)

// Limits bound what a listener lets in. Zero fields take the defaults above,
// negative ones mean no limit.
type Limits struct {
	// PerIP is the number of connections from one IPv4 address or one IPv6
	// /64 network at a time. Loopback, which is the box itself, is only
	// counted in Total.
	PerIP int
	// Total is the number of connections at a time.
	Total int
	// Handshake is the time a TLS handshake may take.
	Handshake time.Duration
	// Refusal is sent to a client that is refused, in the words of the
	// protocol, as "421 4.7.0 Too many connections\r\n". A client of implicit
	// TLS is only disconnected.
	Refusal string
}

// Listener is a net.Listener that holds its connections to Limits. Its Accept
// fails only when it is closed or broken for good; shortages are waited out.
type Listener struct {
	net.Listener
	limits Limits
	log    *slog.Logger
	now    func() time.Time
	closed chan struct{}
	once   sync.Once
	quiet  bool // implicit TLS: no refusal in plain text

	mu      sync.Mutex
	total   int
	perIP   map[netip.Addr]int
	refused refusals
}

// refusals sums up refusals, so that a flood does not fill the log.
type refusals struct {
	count int64
	last  time.Time
}

// refusalLog is the shortest time between two log lines about refusals.
const refusalLog = 10 * time.Second

// Listen puts limits on l. log may be nil.
func Listen(l net.Listener, limits Limits, log *slog.Logger) *Listener {
	if limits.PerIP == 0 {
		limits.PerIP = defaultPerIP
	}
	if limits.Total == 0 {
		limits.Total = defaultTotal
	}
	if limits.Handshake == 0 {
		limits.Handshake = defaultHandshake
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Listener{
		Listener: l, limits: limits, log: log, now: time.Now,
		closed: make(chan struct{}), perIP: make(map[netip.Addr]int),
	}
}

// Accept waits for a connection within the limits.
func (l *Listener) Accept() (net.Conn, error) {
	backoff := acceptBackoff
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			// Temporary is the only sign a listener gives of a shortage of
			// file descriptors and of peers gone before they were accepted.
			var ne interface{ Temporary() bool }
			if !errors.As(err, &ne) || !ne.Temporary() {
				return nil, err
			}
			l.log.Warn("cannot accept connections", "address", l.Addr(), "error", err, "retry", backoff)
			select {
			case <-time.After(backoff):
			case <-l.closed:
				return nil, net.ErrClosed
			}
			backoff = min(2*backoff, acceptBackoffMax)
			continue
		}
		key := network(RemoteAddr(c))
		if l.enter(key) {
			return &conn{Conn: c, release: func() { l.leave(key) }}, nil
		}
		l.refuse(c)
	}
}

// Close stops accepting. Connections that are open stay.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Open is the number of connections open now.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// enter counts a connection in, unless that exceeds a limit.
func (l *Listener) enter(key netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits.Total > 0 && l.total >= l.limits.Total {
		return false
	}
	counted := key.IsValid() && !key.IsLoopback()
	if counted && l.limits.PerIP > 0 && l.perIP[key] >= l.limits.PerIP {
		return false
	}
	l.total++
	if counted {
		l.perIP[key]++
	}
	return true
}

func (l *Listener) leave(key netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if n := l.perIP[key]; n > 1 {
		l.perIP[key] = n - 1
	} else {
		delete(l.perIP, key)
	}
}

// refuse tells a client that it is one too many and disconnects it.
func (l *Listener) refuse(c net.Conn) {
	l.mu.Lock()
	l.refused.count++
	count, tell := l.refused.count, l.now().Sub(l.refused.last) >= refusalLog
	if tell {
		l.refused = refusals{last: l.now()}
	}
	l.mu.Unlock()
	if tell {
		l.log.Warn("refused connections beyond the limit", "address", l.Addr(), "remote", c.RemoteAddr(), "count", count)
	}
	if l.limits.Refusal != "" && !l.quiet {
		// What fails here fails for a client that is being sent away.
		_ = c.SetWriteDeadline(time.Now().Add(refusalWrite))
		_, _ = c.Write([]byte(l.limits.Refusal))
	}
	_ = c.Close()
}

// conn leaves the count of its listener once, when it is closed.
type conn struct {
	net.Conn
	once    sync.Once
	release func()
}

// NetConn is the connection that is counted, for socket options.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}

// RemoteAddr is the peer's IP address, without zone and with IPv4 in its own
// form; the zero Addr where the connection has none (tests in memory).
func RemoteAddr(c net.Conn) netip.Addr {
	a := c.RemoteAddr()
	if a == nil {
		return netip.Addr{}
	}
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// network is what is counted as one peer: an IPv4 address, or an IPv6 /64,
// which is what one customer gets at least.
func network(a netip.Addr) netip.Addr {
	if !a.Is6() || a.Is4In6() || a.IsLoopback() {
		return a.Unmap()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}
