package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/mail/conntest"
	"pillarbox/appliance/mail/delivery"
	"pillarbox/appliance/mail/sessions"
)

// fakePipeline stands in for delivery where a test is about the protocol:
// example.org is hosted with ann, bob, full and postmaster; messages are kept
// in memory and are at most maxSize long.
type fakePipeline struct {
	mu       sync.Mutex
	messages []string // content, in order of acceptance
	hold     chan struct{}
	spoolErr error
}

const fakeMaxSize = 2_000_000

// delivery.Envelope keeps its recipients to itself, so the fake resolves them
// with a real Pipeline over a directory of its own.
type fakeDirectory struct{}

func (fakeDirectory) Resolve(_ context.Context, addr string) (delivery.Resolution, error) {
	a, err := address.Parse(addr)
	if strings.EqualFold(addr, "postmaster") {
		a, err = address.Address{Local: "postmaster", Domain: "example.org"}, nil
	}
	if err != nil {
		return delivery.Resolution{}, err
	}
	if a.Domain != "example.org" {
		return delivery.Resolution{}, nil
	}
	r := delivery.Resolution{Hosted: true}
	base, _ := a.SplitDetail('+')
	switch base.Key() {
	case "ann@example.org", "bob@example.org", "postmaster@example.org", "änn@example.org":
		r.Known, r.Mailboxes = true, []storeAccount{1}
	case "full@example.org":
		r.Known, r.Mailboxes = true, []storeAccount{fullAccount}
	case "broken@example.org":
		return r, errors.New("write /data/store/000001.vlog: input/output error")
	}
	return r, nil
}

func (fakeDirectory) SenderAllowed(_ context.Context, user, from string) (bool, error) {
	return from == user || from == "info@example.org", nil
}

func (f *fakePipeline) real() *delivery.Pipeline {
	return delivery.New(delivery.Config{
		Store: fakeStore{}, Directory: fakeDirectory{},
		Hostname: func() string { return "mail.example.org" }, MaxSize: f.MaxSize,
	})
}

func (f *fakePipeline) MaxSize() int64 { return fakeMaxSize }

func (f *fakePipeline) Begin(ctx context.Context, e *delivery.Envelope) error {
	return f.real().Begin(ctx, e)
}

func (f *fakePipeline) AddRecipient(ctx context.Context, e *delivery.Envelope, to address.Address) error {
	return f.real().AddRecipient(ctx, e, to)
}

func (f *fakePipeline) Accept(_ context.Context, e *delivery.Envelope, body io.Reader) (delivery.Receipt, error) {
	if f.hold != nil {
		<-f.hold
	}
	if f.spoolErr != nil {
		return delivery.Receipt{}, f.spoolErr
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(body, fakeMaxSize+1)); err != nil {
		return delivery.Receipt{}, err
	}
	if b.Len() > fakeMaxSize {
		return delivery.Receipt{}, &delivery.Error{Code: 552, Enhanced: [3]int{5, 3, 4}, Message: "Message is larger than the limit"}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages = append(f.messages, b.String())
	return delivery.Receipt{ID: e.ID, Size: int64(b.Len())}, nil
}

func (f *fakePipeline) accepted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.messages...)
}

// fakeLogin knows ann@example.org with the password "secret".
func fakeLogin(_ context.Context, login, password string, _ netip.Addr) (Person, error) {
	switch {
	case login == "busy@example.org":
		return Person{}, ErrThrottled
	case login == "crowd@example.org":
		return Person{}, ErrBusy
	case login == "broken@example.org":
		return Person{}, errors.New("read /data/store: input/output error")
	case strings.EqualFold(login, "ann@example.org") && password == "secret":
		return Person{Address: "ann@example.org"}, nil
	}
	return Person{}, ErrBadCredentials
}

// running is a server under test.
type running struct {
	*Server
	pipeline *fakePipeline
	listener *conntest.Listener
	served   chan error
}

func start(cfg Config) *running {
	r := &running{pipeline: &fakePipeline{}, listener: conntest.Listen(), served: make(chan error, 1)}
	if cfg.Pipeline == nil {
		cfg.Pipeline = r.pipeline
	}
	if cfg.Authenticate == nil {
		cfg.Authenticate = fakeLogin
	}
	cfg.Hostname = func() string { return "mail.example.org" }
	r.Server = New(cfg)
	go func() { r.served <- r.Serve(context.Background(), r.listener) }()
	return r
}

// stop ends the server and checks that nothing hangs.
func (r *running) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-r.served; !errors.Is(err, sessions.ErrClosed) {
		t.Errorf("serve: %v", err)
	}
}

// client is a peer that the test moves. A goroutine reads all the time, so
// that writes in memory do not block each other.
type client struct {
	net.Conn
	lines chan string
}

func (r *running) dial(t *testing.T, overTLS bool) *client {
	t.Helper()
	if overTLS {
		return newClient(r.listener.DialTLS(t, r.cfg.TLS))
	}
	return newClient(r.listener.Dial())
}

func newClient(c net.Conn) *client {
	cl := &client{Conn: c, lines: make(chan string, 10_000)}
	go cl.read()
	return cl
}

func (c *client) read() {
	defer close(c.lines)
	br := bufio.NewReader(c.Conn)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		c.lines <- strings.TrimSuffix(line, "\r\n")
		if strings.HasPrefix(line, "220 2.0.0 ") { // TLS comes next
			return
		}
	}
}

// line is the next line of the server's, "<closed>" at the end.
func (c *client) line() string {
	if l, ok := <-c.lines; ok {
		return l
	}
	return "<closed>"
}

// reply reads a whole reply and gives its last line.
func (c *client) reply() string {
	for {
		l := c.line()
		if len(l) < 4 || l[3] != '-' {
			return l
		}
	}
}

// say sends a line and gives the last line of the reply.
func (c *client) say(line string) string {
	c.send(line + "\r\n")
	return c.reply()
}

// send sends bytes. The server may have closed the connection, which shows in
// what it said.
func (c *client) send(s string) { _, _ = io.WriteString(c.Conn, s) }
