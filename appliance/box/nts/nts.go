// Package nts asks time servers by Network Time Security (RFC 8915): keys and
// cookies come over TLS, and each answer is authenticated by them.
//
// Invariants: an offset that Client returns is of an answer that the server whose
// name the certificate bears has sealed for that very question. There is no way
// back to an answer that is not. A cookie is used once (section 5.7); keys are
// asked for anew when cookies run out, when the server does not know them any
// more, or when answers stay out. What a peer sends is bounded in size and time.
//
// A certificate is valid for a time, and that is what the box does not know yet
// where its clock is not confirmed. It is judged then (section 8.5) by the time
// that the server itself tells, which must not be before Floor: a certificate
// that ran out before Floor, or names somebody else, or has another root, gives
// no time, and a wrong clock does not keep the box from the right one. What is
// left to an attacker is a stolen key whose certificate ended after Floor. Asking
// servers without NTS first would leave it to anybody.
package nts

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/beevik/ntp"
)

const (
	// askTimeout is for one question, exchangeTimeout for the exchange of keys,
	// which is a handful of round trips and a name to look up.
	askTimeout      = 3 * time.Second
	exchangeTimeout = 10 * time.Second

	// silent is after how many questions without an answer keys are asked for
	// anew: the server may have another address, or have lost its keys.
	silent = 2
)

// Client asks servers. Its zero value judges by the roots of the system.
type Client struct {
	// Roots are the authorities that may sign for servers; nil: the system's.
	Roots *x509.CertPool
	// Floor is a time that has passed for certain, such as that of the build.
	Floor time.Time
	// Dial connects; a net.Dialer where nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu       sync.Mutex
	sessions map[string]*session
}

// Offset asks server, "host" or "host:port" of its key establishment, and returns
// what is to be added to the clock. confirmed says that the clock was confirmed
// before, so that it is what certificates are judged by.
func (c *Client) Offset(ctx context.Context, server string, confirmed bool) (time.Duration, error) {
	s := c.session(server)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cookies) == 0 || s.failed >= silent {
		if err := c.exchange(ctx, s, confirmed); err != nil {
			return 0, fmt.Errorf("NTS key establishment: %w", err)
		}
	}
	s.failed++
	q := &question{session: s}
	r, err := ntp.QueryWithOptions(s.address, ntp.QueryOptions{
		Timeout: askTimeout, Extensions: []ntp.Extension{q},
		Dialer: func(_, address string) (net.Conn, error) { return c.dial(ctx, "udp", address) },
	})
	if errors.Is(err, errUnknownCookie) {
		s.cookies = nil
	}
	if err == nil && !q.proven {
		err = errUnproven // no answer was shown to us
	}
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return 0, err
	}
	if s.unjudged != nil {
		if err := c.judge(s.unjudged, s.host, time.Now().Add(r.ClockOffset)); err != nil {
			s.cookies = nil
			return 0, err
		}
		s.unjudged = nil
	}
	s.failed = 0
	return r.ClockOffset, nil
}

// session holds what was agreed with a server.
type session struct {
	mu       sync.Mutex
	server   string // as in the settings
	host     string // that the certificate has to name
	address  string // to ask
	cookies  [][]byte
	c2s, s2c *siv
	failed   int // questions without a good answer
	// unjudged is the certificate, and those it came with, that waits for a
	// time to be judged by; nil: it was judged.
	unjudged []*x509.Certificate
}

func (c *Client) session(server string) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions == nil {
		c.sessions = map[string]*session{}
	}
	if c.sessions[server] == nil {
		c.sessions[server] = &session{server: server}
	}
	return c.sessions[server]
}

func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// exchange fills s with new keys and cookies.
func (c *Client) exchange(ctx context.Context, s *session, confirmed bool) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(s.server)
	if err != nil {
		host, port = s.server, exchangePort
	}
	raw, err := c.dial(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	defer raw.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline); err != nil {
			return err
		}
	}
	conn := tls.Client(raw, &tls.Config{
		ServerName: host, RootCAs: c.Roots,
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocolName}, // RFC 8915 section 3
		// Judged by Offset before the first answer is believed.
		InsecureSkipVerify: !confirmed,
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != protocolName {
		return errors.New("the server does not speak it")
	}
	if _, err := conn.Write(request()); err != nil {
		return err
	}
	a, err := readAnswer(conn)
	if err != nil {
		return err
	}
	c2s, s2c, err := keys(&state)
	if err != nil {
		return err
	}
	if a.server == "" {
		// The server itself (section 4.1.7), at the address it was reached by.
		if a.server, _, err = net.SplitHostPort(raw.RemoteAddr().String()); err != nil {
			return err
		}
	}
	s.host, s.address, s.cookies, s.c2s, s.s2c, s.failed = host, net.JoinHostPort(a.server, fmt.Sprint(a.port)), a.cookies, c2s, s2c, 0
	s.unjudged = nil
	if !confirmed {
		s.unjudged = state.PeerCertificates
	}
	return nil
}

// judge verifies a chain at a time that a server told.
func (c *Client) judge(chain []*x509.Certificate, host string, at time.Time) error {
	if at.Before(c.Floor) {
		return fmt.Errorf("the server tells %s, which has passed for certain", at.UTC().Format(time.RFC3339))
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: c.Roots, Intermediates: between, CurrentTime: at})
	return err
}

// question is one question and its answer.
type question struct {
	session *session
	id      []byte
	proven  bool
}

var _ ntp.Extension = (*question)(nil)

// ProcessQuery seals the question.
func (q *question) ProcessQuery(buf *bytes.Buffer) error {
	s := q.session
	cookie := s.cookies[0]
	s.cookies = s.cookies[1:] // used, whatever becomes of it
	q.id = random(uniqueIDLength)
	writeField(buf, fieldUniqueID, q.id)
	writeField(buf, fieldCookie, cookie)
	// One cookie comes back for the one that is used, and one for each of these.
	for range jar - 1 - len(s.cookies) {
		writeField(buf, fieldPlaceholder, make([]byte, len(cookie)))
	}
	writeSealed(buf, s.c2s, nil)
	return nil
}

// ProcessResponse believes the answer or does not.
func (q *question) ProcessResponse(raw []byte) error {
	cookies, err := openAnswer(raw, q.id, q.session.s2c)
	if err != nil {
		return err
	}
	q.proven = true
	s := q.session
	s.cookies = append(s.cookies, cookies...)
	s.cookies = s.cookies[max(0, len(s.cookies)-jar):] // the newest
	return nil
}
