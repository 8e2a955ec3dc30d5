// Package syslog sends log lines to another machine: RFC 5424 messages over
// TLS (RFC 5425), TCP (RFC 6587, octet counting) or UDP (RFC 5426).
//
// Nothing waits for it: Add puts a line into a queue of bounded size, from which
// the oldest go when the other machine does not take them; how many went is
// told in the stream when it does again. A connection that fails is made anew
// with growing pauses. What was written to a connection that then failed may be
// lost, since the protocols know no acknowledgement.
package syslog

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxQueued bounds the octets that wait, some ten thousand lines.
	maxQueued = 2 << 20
	lineCost  = 64 // of a line beside its text

	dialTimeout  = 15 * time.Second
	writeTimeout = 30 * time.Second // a receiver that takes nothing for so long is gone
	firstPause   = time.Second
	lastPause    = 2 * time.Minute
)

// Target is where lines go.
type Target struct {
	Network string // "tls", "tcp" or "udp"
	Address string // host:port
	// Fingerprint, where it is set, is the SHA-256 of the server's certificate,
	// which is trusted by it alone (RFC 5425 section 4.2.2).
	Fingerprint []byte
}

// Parse reads a target such as tls://logs.example.org:6514 and a fingerprint of
// hexadecimal digits, colons between them or not; "" for none. The port may be
// left out.
func Parse(target, fingerprint string) (t Target, err error) {
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		return t, errors.New("must be such as tls://logs.example.org:6514, tcp://HOST:PORT or udp://HOST:PORT")
	}
	ports := map[string]string{"tls": "6514", "tcp": "601", "udp": "514"} // RFC 5425, RFC 3195's, RFC 5426
	port := ports[u.Scheme]
	if port == "" {
		return t, errors.New("must begin with tls://, tcp:// or udp://")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return t, errors.New("has a port that is none")
		}
		port = p
	}
	t = Target{Network: u.Scheme, Address: net.JoinHostPort(u.Hostname(), port)}
	if fingerprint == "" {
		return t, nil
	}
	if u.Scheme != "tls" {
		return t, errors.New("has a fingerprint, which needs tls://")
	}
	t.Fingerprint, err = hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(fingerprint), ":", ""))
	if err != nil || len(t.Fingerprint) != sha256.Size {
		return t, errors.New("has a fingerprint that is not 64 hexadecimal digits")
	}
	return t, nil
}

// Sender sends lines to one target.
type Sender struct {
	target Target
	host   func() string
	log    *slog.Logger

	mu      sync.Mutex
	queue   []Line
	octets  int
	dropped int
	wake    chan struct{}
	fault   error // of the connection, nil while it works
}

// New makes a Sender; Run has to be called. host is the box's name as messages
// have it. What the sender itself logs is little: it may be sent too.
func New(t Target, host func() string, log *slog.Logger) *Sender {
	return &Sender{target: t, host: host, log: log, wake: make(chan struct{}, 1)}
}

// Add takes a line on. It never waits.
func (s *Sender) Add(l Line) {
	s.mu.Lock()
	s.queue = append(s.queue, l)
	s.octets += lineCost + len(l.Text)
	for s.octets > maxQueued {
		s.octets -= lineCost + len(s.queue[0].Text)
		s.queue = s.queue[1:]
		s.dropped++
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Missed counts lines that were lost before they came here.
func (s *Sender) Missed(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped += n
}

// Fault is why lines do not get through now; nil while they do.
func (s *Sender) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// next takes the next line; one about lines that were dropped comes first.
func (s *Sender) next() (l Line, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped > 0 {
		l = Line{time.Now(), "syslog", fmt.Sprintf("level=WARN %d lines were dropped: they came faster than they could be sent", s.dropped)}
		s.dropped = 0
		return l, true
	}
	if len(s.queue) == 0 {
		return l, false
	}
	l = s.queue[0]
	s.queue = s.queue[1:]
	s.octets -= lineCost + len(l.Text)
	return l, true
}

// back puts a line that was not sent before the others.
func (s *Sender) back(l Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append([]Line{l}, s.queue...)
	s.octets += lineCost + len(l.Text)
}

func (s *Sender) setFault(err error) {
	s.mu.Lock()
	changed := (s.fault == nil) != (err == nil)
	s.fault = err
	s.mu.Unlock()
	switch {
	case changed && err != nil:
		s.log.Warn("the log cannot be sent to its server; lines wait", "server", s.target.Address, "error", err)
	case changed:
		s.log.Info("the log is sent to its server again", "server", s.target.Address)
	}
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	pause := firstPause
	for {
		sent, err := s.session(ctx)
		if ctx.Err() != nil {
			return
		}
		s.setFault(err)
		if sent {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// session sends over one connection until that fails. sent tells that it was
// good for something.
func (s *Sender) session(ctx context.Context) (sent bool, err error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	// A server that closes the connection says so by the end of a read alone; a
	// write would still succeed once. Nothing else ever comes from it.
	gone := make(chan error, 1)
	if s.target.Network != "udp" {
		go func() {
			_, err := conn.Read(make([]byte, 1))
			gone <- err
		}()
	}
	for {
		l, ok := s.next()
		if !ok {
			select {
			case <-ctx.Done():
				return sent, nil
			case <-s.wake:
			case err := <-gone:
				return sent, fmt.Errorf("the server closed the connection: %w", err)
			}
			continue
		}
		if err := s.write(conn, l); err != nil {
			s.back(l)
			return sent, err
		}
		if !sent {
			sent = true
			s.setFault(nil)
		}
		if ctx.Err() != nil {
			return sent, nil
		}
	}
}

func (s *Sender) write(conn net.Conn, l Line) error {
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if s.target.Network == "udp" {
		_, err := conn.Write(format(l, s.host(), maxDatagram))
		return err
	}
	m := format(l, s.host(), maxMessage)
	frame := append(strconv.AppendInt(nil, int64(len(m)), 10), ' ') // RFC 5425 section 4.3
	_, err := conn.Write(append(frame, m...))
	return err
}

func (s *Sender) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if s.target.Network != "tls" {
		return new(net.Dialer).DialContext(ctx, s.target.Network, s.target.Address)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if want := s.target.Fingerprint; want != nil {
		c.InsecureSkipVerify = true // the fingerprint says more than a name
		c.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 {
				return errors.New("the server shows no certificate")
			}
			if got := sha256.Sum256(raw[0]); string(got[:]) != string(want) {
				return fmt.Errorf("the server's certificate has the fingerprint %x, which is not the one in the settings", got)
			}
			return nil
		}
	}
	return (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", s.target.Address)
}
