package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/conntest"
	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
)

// expect reads a line and demands that it has a prefix.
func (c *client) expect(prefix string) {
	c.t.Helper()
	if l := c.line(); !strings.HasPrefix(l, prefix) {
		c.t.Fatalf("got %q, want %q", l, prefix)
	}
}

// expectClosed demands that the server closes the connection.
func (c *client) expectClosed() {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(patience))
	if l, err := c.r.ReadString('\n'); err == nil {
		c.t.Fatalf("not closed, but %q", l)
	}
}

// say sends what the server may stop reading.
func (c *client) say(s string) {
	go func() {
		c.nc.SetWriteDeadline(time.Now().Add(patience))
		_, _ = c.nc.Write([]byte(s))
	}()
}

func TestCommandLimits(t *testing.T) {
	b := newBench(t, nil)
	c := b.dial()
	c.line()
	// Before the login: 64 KiB, in literals or not.
	c.say("a1 LOGIN " + strings.Repeat("x", commandLimitBefore) + " y\r\na2 NOOP\r\n")
	c.expect("a1 BAD")
	c.expect("a2 OK")
	c.say("a3 LOGIN {70000}\r\n")
	c.expect("a3 BAD")
	c.say("a4 LOGIN {70000+}\r\n" + strings.Repeat("x", 70000) + " y\r\na5 NOOP\r\n")
	c.expect("a4 BAD")
	c.expect("a5 OK")
	c.ok("LOGIN ann@example.org secret")
	c.ok("SELECT INBOX")
	// After it: 1 MiB.
	set := strings.Repeat("1,", 500_000/2) + "1"
	c.ok("UID FETCH " + set + " FLAGS")
	c.say("b1 UID FETCH " + set + "," + set + "," + set + " FLAGS\r\nb2 NOOP\r\n")
	c.expect("b1 BAD")
	c.expect("b2 OK")
	c.say("b3 SEARCH " + strings.Repeat("(", 5000) + "\r\nb4 SEARCH " + strings.Repeat("NOT ", 20000) + "ALL\r\nb5 NOOP\r\n")
	c.expect("b3 BAD")
	c.expect("b4 BAD")
	c.expect("b5 OK")
}

func TestBadCommandLimits(t *testing.T) {
	b := newBench(t, nil)
	c := b.dial()
	c.line()
	for i := range badLimitBefore {
		c.send(fmt.Sprintf("a%d FOO\r\n", i))
		c.expect(fmt.Sprintf("a%d BAD", i))
	}
	c.expect("* BYE [CLIENTBUG]")
	c.expectClosed()
	c = b.dial()
	c.login("ann@example.org")
	for i := range badLimit {
		c.send(fmt.Sprintf("a%d FOO\r\n", i))
		c.expect(fmt.Sprintf("a%d BAD", i))
	}
	c.expect("* BYE [CLIENTBUG]")
	c.expectClosed()
}

func TestLoginLimit(t *testing.T) {
	b := newBench(t, nil)
	c := b.dial()
	c.line()
	for i := range loginLimit {
		c.send(fmt.Sprintf("a%d LOGIN ann@example.org wrong\r\n", i))
		c.expect(fmt.Sprintf("a%d NO [AUTHENTICATIONFAILED]", i))
	}
	c.expectClosed()
}

func TestConnectionsOfOnePerson(t *testing.T) {
	b := newBench(t, func(c *Config) { c.PerPerson = 2 })
	first := b.dial()
	first.login("ann@example.org")
	b.dial().login("ann@example.org")
	third := b.dial()
	third.line()
	third.send("a LOGIN ann@example.org secret\r\n")
	third.expect("a NO [LIMIT]")
	b.dial().login("bob@example.org")
	first.ok("UNAUTHENTICATE")
	third.ok("LOGIN ann@example.org secret")
}

// TestCutDoesNotWait: a client behind TLS that reads nothing does not hold up who
// cuts it.
func TestCutDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		secure := tls.Server(far, conntest.ServerTLS(t))
		met := make(chan error, 1)
		go func() { met <- tls.Client(near, conntest.ClientTLS()).Handshake() }()
		if err := errors.Join(secure.Handshake(), <-met); err != nil {
			t.Fatal(err)
		}
		c := newConn(New(Config{}), secure)
		defer c.dec.Release()
		begun := time.Now()
		c.Cut()
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// TestShutdown: clients are told goodbye, wherever they are.
func TestShutdown(t *testing.T) {
	b := newBench(t, nil)
	fresh, logged, idle, notified := b.dial(), b.dial(), b.dial(), b.dial()
	fresh.line()
	logged.login("ann@example.org")
	idle.login("ann@example.org")
	idle.ok("SELECT INBOX")
	idle.send("i IDLE\r\n")
	idle.expect("+ ")
	notified.login("ann@example.org")
	notified.ok("NOTIFY SET (personal (MessageNew MessageExpunge))")
	done := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done <- b.server.Shutdown(ctx)
	}()
	for _, c := range []*client{fresh, logged, idle, notified} {
		c.expect("* BYE [UNAVAILABLE]")
		c.expectClosed()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRevoked: who may not stay is told so, at once in IDLE, else at the next command.
func TestRevoked(t *testing.T) {
	b := newBench(t, nil)
	revoked := make(chan struct{})
	b.server.cfg.Accounts = revoking{b.people, revoked}
	idle, waiting := b.dial(), b.dial()
	idle.login("ann@example.org")
	idle.ok("SELECT INBOX")
	idle.send("i IDLE\r\n")
	idle.expect("+ ")
	waiting.login("ann@example.org")
	close(revoked)
	idle.expect("* BYE [EXPIRED]")
	idle.expectClosed()
	waiting.say("a NOOP\r\n")
	waiting.expect("* BYE [EXPIRED]")
	waiting.expectClosed()
}

// revoking makes users whose login can be revoked.
type revoking struct {
	*people
	revoked chan struct{}
}

func (r revoking) Authenticate(ctx context.Context, login, password string, remote netip.Addr) (*account.User, error) {
	u, err := r.people.Authenticate(ctx, login, password, remote)
	if err == nil {
		u.Revoked = r.revoked
	}
	return u, err
}

// TestDeletedMailbox: who has it selected is told that it is gone.
func TestDeletedMailbox(t *testing.T) {
	b := newBench(t, nil)
	c, other := b.dial(), b.dial()
	c.login("ann@example.org")
	c.ok("CREATE Gone")
	c.ok("SELECT Gone")
	other.login("ann@example.org")
	other.ok("DELETE Gone")
	c.say("a NOOP\r\n")
	c.expect("* BYE [NONEXISTENT]")
	c.expectClosed()
}

// TestTimeouts: whoever keeps the server waiting is let go, and told why where
// that can be.
func TestTimeouts(t *testing.T) {
	const short, long = 50 * time.Millisecond, time.Hour
	for name, c := range map[string]struct {
		wait timeouts
		do   func(*client)
	}{
		"no login": {timeouts{login: short, idle: long, read: long, write: long}, func(c *client) {
			c.line()
			c.expect("* BYE")
		}},
		"silence": {timeouts{login: long, idle: short, read: long, write: long}, func(c *client) {
			c.line()
			c.expect("* BYE")
		}},
		"half a command": {timeouts{login: long, idle: long, read: short, write: long}, func(c *client) {
			c.login("ann@example.org")
			c.send("a NO")
			c.expect("* BYE")
		}},
		"half a message": {timeouts{login: long, idle: long, read: short, write: long}, func(c *client) {
			c.login("ann@example.org")
			c.send("a APPEND INBOX {10+}\r\nabc")
			c.expect("* BYE")
		}},
		"nobody reads": {timeouts{login: long, idle: long, read: long, write: short}, func(c *client) {
			// The greeting has nowhere to go.
			c.nc.SetWriteDeadline(time.Now().Add(patience))
			for {
				if _, err := c.nc.Write([]byte("a NOOP\r\n")); err != nil {
					break
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.server.wait = c.wait
			cl := b.dialIn(t)
			c.do(cl)
			cl.expectClosed()
		})
	}
}

// TestMetadataLimit: with as many entries as there may be, one can still be changed.
func TestMetadataLimit(t *testing.T) {
	b := newBench(t, nil)
	c := b.dial()
	c.login("ann@example.org")
	for n := range 2 {
		var entries []string
		for k := range 100 {
			entries = append(entries, fmt.Sprintf(`/private/e%d.%d "x"`, n, k))
		}
		c.ok("SETMETADATA INBOX (" + strings.Join(entries, " ") + ")")
	}
	c.ok(`SETMETADATA INBOX (/private/e1.1 "y")`)
	c.ok(`SETMETADATA INBOX (/private/e1.1 NIL /private/e1.2 NIL /private/more "x" /private/e1.1 "z")`)
	c.ok(`SETMETADATA INBOX (/private/e1.3 NIL /private/twice "x" /private/twice "y")`)
	for _, more := range []string{`/private/evenmore "x"`, `/private/evenmore NIL /private/evenmore "x"`, `/private/e1.1 NIL /private/evenmore "x" /private/e1.1 "x"`} {
		if l := c.command("SETMETADATA INBOX (" + more + ")")[0]; !strings.Contains(l, "NO [METADATA TOOMANY]") {
			t.Error(more, l)
		}
	}
}

// record keeps a log.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) count(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.text.String(), what)
}

// TestIDInLog: a client that tells of itself again and again, or at length,
// fills no log.
func TestIDInLog(t *testing.T) {
	var log record
	b := newBench(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	c := b.dial()
	c.login("ann@example.org")
	c.ok("ID NIL")
	for range 3 {
		c.ok(`ID ("name" "chatterbox" "vendor" "` + strings.Repeat("x", 1000) + `")`)
	}
	if n := log.count("chatterbox"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if n := log.count("xxx"); n != 0 {
		t.Error("a field of 1,000 octets is logged")
	}
}

// TestNothingIsNotedForNoContext: what changes is noted for results that follow
// (RFC 5267), where there are any.
func TestNothingIsNotedForNoContext(t *testing.T) {
	ctx := t.Context()
	b := newBench(t, nil)
	u := session.NewUser(b.server.base, b.people.ids["ann@example.org"], "ann@example.org")
	sel, err := u.Select(ctx, "INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	defer sel.Close()
	other := b.dial()
	other.login("ann@example.org")
	other.append("INBOX", "", []byte("Subject: one\r\n\r\n"))
	if up, err := sel.Sync(ctx, true); err != nil || !up.Exists {
		t.Fatalf("%+v, %v", up, err)
	}
	if err := (&conn{sel: sel}).contextsFollow(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(sel.Touched()); n != 0 {
		t.Errorf("%d messages are noted", n)
	}
}

// TestPanicWhileAnnouncing: a fault while changes are announced ends its own
// session alone.
func TestPanicWhileAnnouncing(t *testing.T) {
	faulty := &faultyIndex{}
	b := newBench(t, func(c *Config) { c.Index = faulty })
	c, other := b.dial(), b.dial()
	c.login("ann@example.org")
	c.ok("SELECT INBOX")
	c.append("INBOX", "", []byte("Subject: one\r\n\r\n"))
	c.ok("SEARCH RETURN (UPDATE) SUBJECT one")
	c.send("i IDLE\r\n")
	c.expect("+ ")
	faulty.broken.Store(true)
	other.login("ann@example.org")
	other.append("INBOX", "", []byte("Subject: two\r\n\r\n"))
	for {
		if l := c.line(); l == "* BYE [SERVERBUG] Internal error" {
			break
		} else if !strings.HasPrefix(l, "* 2 ") {
			t.Fatal(l)
		}
	}
	c.expectClosed()
	other.ok("NOOP")
}

// faultyIndex is an index that knows nothing, and panics once it is broken.
type faultyIndex struct{ broken atomic.Bool }

func (x *faultyIndex) Search(context.Context, store.AccountID, string, search.Fields) (search.Hits, error) {
	if x.broken.Load() {
		panic("broken on purpose")
	}
	return search.Hits{}, nil
}
