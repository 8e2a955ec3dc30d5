package smtpclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Timeouts bound each wait of a conversation. The defaults are those of RFC
// 5321 section 4.5.3.2, which were made for servers that do much before they
// answer; a queue of ours must not give up before an honest one does.
type Timeouts struct {
	Greeting time.Duration
	Command  time.Duration // EHLO, AUTH, MAIL, RCPT, RSET, and writing each
	TLS      time.Duration // the whole handshake
	Data     time.Duration // DATA until 354
	Block    time.Duration // writing each block of the body
	End      time.Duration // the reply to the body: the server may scan it first
	Quit     time.Duration // short: nothing depends on it any more
}

// DefaultTimeouts are used for the fields that Options.Timeouts leaves zero.
var DefaultTimeouts = Timeouts{
	Greeting: 5 * time.Minute,
	Command:  5 * time.Minute,
	TLS:      time.Minute,
	Data:     2 * time.Minute,
	Block:    3 * time.Minute,
	End:      10 * time.Minute,
	Quit:     2 * time.Second,
}

func (t Timeouts) orDefaults() Timeouts {
	or := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	or(&t.Greeting, DefaultTimeouts.Greeting)
	or(&t.Command, DefaultTimeouts.Command)
	or(&t.TLS, DefaultTimeouts.TLS)
	or(&t.Data, DefaultTimeouts.Data)
	or(&t.Block, DefaultTimeouts.Block)
	or(&t.End, DefaultTimeouts.End)
	or(&t.Quit, DefaultTimeouts.Quit)
	return t
}

// TLSMode says what is asked of the channel.
type TLSMode uint8

const (
	// TLSOpportunistic uses STARTTLS where it is offered and any certificate;
	// a server without it gets the mail in the clear (RFC 7435).
	TLSOpportunistic TLSMode = iota
	// TLSNone does not try: the second attempt where a handshake failed.
	TLSNone
	// TLSRequired takes any certificate but never sends in the clear.
	TLSRequired
	// TLSVerified demands a certificate that proves the name, too.
	TLSVerified
)

// TLSPolicy is what a connection must satisfy before mail is sent over it.
type TLSPolicy struct {
	Mode TLSMode
	// Immediate begins with the handshake (RFC 8314 section 3.3), as on port 465.
	Immediate bool
	// Roots are the trusted authorities of TLSVerified; those of the system where nil.
	Roots *x509.CertPool
	// Verify, where set, judges the handshake in place of Roots, under
	// TLSVerified: a policy such as DANE (RFC 7672).
	Verify func(tls.ConnectionState) error
}

func (p TLSPolicy) config(host string) *tls.Config {
	c := &tls.Config{ServerName: strings.TrimSuffix(host, "."), MinVersion: tls.VersionTLS12, RootCAs: p.Roots}
	switch {
	case p.Mode != TLSVerified:
		c.InsecureSkipVerify = true // any certificate beats none (RFC 7435)
	case p.Verify != nil:
		c.InsecureSkipVerify = true // Verify judges instead
		c.VerifyConnection = p.Verify
	}
	return c
}

// Options set up a conversation.
type Options struct {
	Hostname string // our name, for EHLO
	Host     string // the server's name: for SNI, for the certificate, in errors
	TLS      TLSPolicy
	Auth     *Credentials // nil: no AUTH
	Timeouts Timeouts     // zero fields: DefaultTimeouts
}

// Client is one open conversation. It is not for concurrent use.
type Client struct {
	o     Options
	raw   net.Conn // below TLS; closing it ends every wait
	conn  net.Conn
	br    *bufio.Reader
	ext   map[string]string // EHLO keywords in capitals, with their parameters
	tls   *tls.ConnectionState
	dirty bool // a transaction was left open: RSET before the next
	dead  bool
}

// New begins a conversation on an open connection: greeting, EHLO, STARTTLS
// and AUTH as the options ask. It owns conn; on error, an *Error, conn is
// closed. When ctx ends, the wait under way ends.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	o.Timeouts = o.Timeouts.orDefaults()
	c := &Client{o: o, raw: conn}
	c.use(conn)
	defer c.watch(ctx)()
	if err := c.open(ctx); err != nil {
		c.drop()
		return nil, err
	}
	return c, nil
}

func (c *Client) open(ctx context.Context) *Error {
	if c.o.TLS.Immediate {
		if err := c.handshake(ctx); err != nil {
			return err
		}
	}
	greeting, err := c.read(ctx, PhaseGreeting, c.o.Timeouts.Greeting)
	if err != nil {
		return err
	}
	if greeting.Code != 220 {
		return replyError(PhaseGreeting, c.o.Host, greeting)
	}
	if err := c.hello(ctx); err != nil {
		return err
	}
	if !c.o.TLS.Immediate && c.o.TLS.Mode != TLSNone {
		if err := c.startTLS(ctx); err != nil {
			return err
		}
	}
	if c.o.Auth != nil {
		return c.authenticate(ctx)
	}
	return nil
}

// hello says EHLO, and HELO to a server that knows no EHLO (RFC 5321 section 3.2).
func (c *Client) hello(ctx context.Context) *Error {
	c.ext = map[string]string{}
	r, err := c.command(ctx, PhaseHello, "EHLO "+c.o.Hostname)
	if err != nil {
		return err
	}
	if r.positive() {
		for _, line := range r.Lines[1:] {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			word = strings.ToUpper(word)
			if mech, ok := strings.CutPrefix(word, "AUTH="); ok { // as servers wrote it before RFC 2554
				word, rest = "AUTH", mech+" "+rest
			}
			if old, ok := c.ext[word]; ok {
				rest = old + " " + rest
			}
			c.ext[word] = rest
		}
		return nil
	}
	if r.Code < 500 {
		return replyError(PhaseHello, c.o.Host, r)
	}
	if r, err = c.command(ctx, PhaseHello, "HELO "+c.o.Hostname); err != nil {
		return err
	}
	if !r.positive() {
		return replyError(PhaseHello, c.o.Host, r)
	}
	return nil
}

// startTLS turns the connection into TLS where policy and server agree (RFC 3207).
func (c *Client) startTLS(ctx context.Context) *Error {
	must := c.o.TLS.Mode != TLSOpportunistic
	if _, offered := c.ext["STARTTLS"]; !offered {
		if must {
			return c.refuse(PhaseTLS, Status{4, 7, 4}, "TLS is required and the server offers no STARTTLS")
		}
		return nil
	}
	r, err := c.command(ctx, PhaseTLS, "STARTTLS")
	if err != nil {
		return err
	}
	if r.Code != 220 {
		if must {
			return replyError(PhaseTLS, c.o.Host, r)
		}
		return nil // go on in the clear on this connection (RFC 3207 section 4)
	}
	if c.br.Buffered() > 0 { // somebody on the path put replies in ahead of the handshake
		return c.refuse(PhaseTLS, Status{4, 7, 0}, "bytes in the clear after the reply to STARTTLS")
	}
	if err := c.handshake(ctx); err != nil {
		return err
	}
	return c.hello(ctx) // what was said in the clear is forgotten (RFC 3207 section 4.2)
}

func (c *Client) handshake(ctx context.Context) *Error {
	t := tls.Client(c.raw, c.o.TLS.config(c.o.Host))
	if err := c.raw.SetDeadline(time.Now().Add(c.o.Timeouts.TLS)); err != nil {
		return c.broken(ctx, PhaseTLS, err)
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return c.broken(ctx, PhaseTLS, err)
	}
	if err := c.raw.SetDeadline(time.Time{}); err != nil {
		return c.broken(ctx, PhaseTLS, err)
	}
	state := t.ConnectionState()
	c.tls = &state
	c.use(t)
	return nil
}

func (c *Client) use(conn net.Conn) {
	c.conn, c.br = conn, bufio.NewReaderSize(conn, maxReplyLine)
}

// TLS describes the channel; nil where it is in the clear.
func (c *Client) TLS() *tls.ConnectionState { return c.tls }

// Close says QUIT where the conversation still stands and closes the
// connection. It waits Timeouts.Quit for the farewell, at most.
func (c *Client) Close(ctx context.Context) {
	if c.dead {
		return
	}
	defer c.watch(ctx)()
	if c.write(ctx, PhaseEnd, []byte("QUIT\r\n"), c.o.Timeouts.Quit) == nil {
		_, _ = c.read(ctx, PhaseEnd, c.o.Timeouts.Quit) // what it answers changes nothing
	}
	c.drop()
}

// command sends one line and reads its reply.
func (c *Client) command(ctx context.Context, p Phase, line string) (Reply, *Error) {
	if err := c.write(ctx, p, []byte(line+"\r\n"), c.o.Timeouts.Command); err != nil {
		return Reply{}, err
	}
	return c.read(ctx, p, c.o.Timeouts.Command)
}

func (c *Client) write(ctx context.Context, p Phase, b []byte, limit time.Duration) *Error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return c.broken(ctx, p, err)
	}
	if _, err := c.conn.Write(b); err != nil {
		return c.broken(ctx, p, err)
	}
	return nil
}

// read reads one reply, however many lines it has, within limit.
func (c *Client) read(ctx context.Context, p Phase, limit time.Duration) (Reply, *Error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return Reply{}, c.broken(ctx, p, err)
	}
	r, err := readReply(c.br)
	if err != nil {
		return Reply{}, c.broken(ctx, p, err)
	}
	return r, nil
}

// broken makes the Error of a connection that is of no more use, and drops it.
func (c *Client) broken(ctx context.Context, p Phase, err error) *Error {
	c.drop()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	var netErr net.Error
	e := &Error{Phase: p, Host: c.o.Host, Status: Status{4, 4, 2}, Cause: err}
	switch {
	case ctx.Err() == nil && errors.As(err, &netErr) && netErr.Timeout():
		e.Text = "no answer in time"
	case p == PhaseTLS:
		e.Status, e.Text = Status{4, 7, 5}, printable(fmt.Sprintf("TLS handshake failed: %v", err), maxText)
	case errors.Is(err, errReplySyntax), errors.Is(err, errReplyTooLong):
		e.Status, e.Text = Status{4, 5, 0}, printable(err.Error(), maxText)
	default:
		e.Text = printable(fmt.Sprintf("connection lost: %v", err), maxText)
	}
	return e
}

// refuse makes the Error of something we do not go along with.
func (c *Client) refuse(p Phase, s Status, text string) *Error {
	return &Error{Phase: p, Host: c.o.Host, Status: s, Text: text, Permanent: s[0] == 5}
}

// watch ends the waits under way when ctx ends. The raw connection is closed,
// since TLS would wait for its own farewell.
func (c *Client) watch(ctx context.Context) (stop func()) {
	unhook := context.AfterFunc(ctx, func() { c.raw.Close() })
	return func() { unhook() }
}

func (c *Client) drop() {
	c.dead = true
	c.raw.Close()
}

// Host is the server's name, as given in the options.
func (c *Client) Host() string { return c.o.Host }
