package queue

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"pillarbox/appliance/mail/route"
	"pillarbox/appliance/mail/smtpclient"
	"pillarbox/appliance/store/store"
)

const (
	// dialTimeout is what a host gets to take a connection.
	dialTimeout = 30 * time.Second
	// maxHosts is how many addresses one attempt tries (RFC 5321 section 5.1
	// asks for two at least).
	maxHosts = 5
	// maxRounds is how many transactions one attempt makes with a server that
	// takes only some recipients at a time.
	maxRounds = 10
)

// copyOf is one recipient's copy during an attempt.
type copyOf struct {
	entry store.QueueEntry
	rec   Record

	sent    bool
	failure *Failure // where not sent; nil where the attempt was cut off
	host    string   // that took it
	reply   string
	tls     string
}

// fail notes why the copy did not go. What a host said about itself does not
// replace a hope another host left.
func (c *copyOf) fail(f *Failure, ofHost bool) {
	if ofHost && f.Permanent && c.failure != nil && !c.failure.Permanent {
		return
	}
	c.failure = f
}

func failAll(copies []*copyOf, f *Failure, ofHost bool) {
	for _, c := range copies {
		c.fail(f, ofHost)
	}
}

// attempt tries to send copies of one message to one destination.
func (q *Queue) attempt(ctx context.Context, dest route.Destination, copies []*copyOf) {
	var open []*copyOf
	for _, c := range copies {
		if c.rec.Undeliverable && c.rec.Last != nil { // only its bounce is outstanding
			c.failure = c.rec.Last
			continue
		}
		c.entry.Attempts++
		open = append(open, c)
	}
	if len(open) == 0 {
		return
	}
	rt, err := q.c.Router.Route(ctx, dest)
	if err != nil {
		f := failureOf(err)
		failAll(open, f, false)
		if ctx.Err() == nil {
			q.reached(dest, f.Permanent)
		}
	} else if body, err := q.open(ctx, open[0]); err != nil {
		q.c.Log.Error("a queued message cannot be read", "entry", open[0].entry.ID, "err", err)
		failAll(open, &Failure{Time: time.Now(), Status: smtpclient.Status{4, 3, 0}, Text: "the message cannot be read from the store"}, false)
	} else {
		defer body.Close()
		s := &sending{q: q, route: rt, body: body}
		s.run(ctx, open)
		if ctx.Err() == nil {
			q.reached(dest, s.reached)
		}
	}
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) { // cut off by shutdown: as if it had not been
		for _, c := range open {
			if !c.sent && (c.failure == nil || !c.failure.Permanent) {
				c.failure = nil
			}
		}
	}
}

// failureOf describes an error of the router or the client.
func failureOf(err error) *Failure {
	f := &Failure{Time: time.Now(), Status: smtpclient.Status{4, 3, 0}, Text: err.Error()}
	var r *route.Error
	var c *smtpclient.Error
	switch {
	case errors.As(err, &r):
		f.Status, f.Text, f.Permanent = r.Status, r.Text, r.Permanent
		if r.Temporary() && r.Cause != nil {
			f.Text = r.Error()
		}
	case errors.As(err, &c):
		f.Host, f.Phase, f.Code, f.Status, f.Text, f.Permanent = c.Host, c.Phase.String(), c.Code, c.Status, c.Text, c.Permanent
	}
	return f
}

// message is a queued message as it leaves.
type message struct {
	store.Body
	skip       int64 // bytes at the head that stay here
	utf8Header bool
}

// open opens the message. The Return-Path field at its head, for copies in
// mailboxes here, does not travel (RFC 5321 section 4.4).
func (q *Queue) open(ctx context.Context, c *copyOf) (*message, error) {
	body, err := q.c.Store.OpenBody(ctx, c.entry.Blob)
	if err != nil {
		return nil, err
	}
	m := &message{Body: body}
	if m.skip, err = returnPathLine(body); err == nil && c.rec.UTF8 {
		m.utf8Header, err = headerBeyondASCII(body)
	}
	if err == nil {
		_, err = m.Seek(m.skip, io.SeekStart)
	}
	if err != nil {
		body.Close()
		return nil, err
	}
	return m, nil
}

// returnPathLine gives the length of a Return-Path line at the head.
func returnPathLine(r io.ReaderAt) (int64, error) {
	head := make([]byte, 1024)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if head = head[:n]; !bytes.HasPrefix(head, []byte("Return-Path: <")) {
		return 0, nil
	}
	return int64(bytes.IndexByte(head, '\n') + 1), nil
}

func headerBeyondASCII(r io.Reader) (bool, error) {
	br := bufio.NewReader(r)
	for column := 0; ; column++ {
		c, err := br.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		case c >= 0x80:
			return true, nil
		case c == '\n' && column <= 1: // an empty line, with or without CR
			return false, nil
		case c == '\n':
			column = -1
		}
	}
}

// sending takes a message from host to host of a route.
type sending struct {
	q       *Queue
	route   route.Route
	body    *message
	reached bool // a host was spoken to as far as MAIL
}

func (s *sending) run(ctx context.Context, open []*copyOf) {
	tried := 0
	for _, h := range s.route.Hosts {
		addrs, err := s.q.c.Router.Addresses(ctx, h)
		if err != nil {
			f := failureOf(err)
			failAll(open, f, true)
			continue
		}
		for _, addr := range addrs {
			if open = s.host(ctx, h, addr, open); len(open) == 0 || ctx.Err() != nil {
				return
			}
			if tried++; tried == maxHosts {
				return
			}
		}
	}
}

// host tries one address and gives the copies that another may still take.
func (s *sending) host(ctx context.Context, h route.Host, addr netip.AddrPort, open []*copyOf) []*copyOf {
	client, err := s.connect(ctx, h, addr)
	if err != nil {
		failAll(open, failureOf(err), true)
		return open
	}
	defer client.Close(ctx)
	s.reached = true
	var elsewhere []*copyOf
	for range maxRounds {
		more, next, taken := s.transaction(ctx, client, open)
		elsewhere = append(elsewhere, next...)
		if open = more; len(open) == 0 || taken == 0 || !client.Alive() {
			break
		}
	}
	return elsewhere
}

// transaction sends the message once. It gives the copies to be sent in
// another transaction on the same connection, those for another host, and how
// many were taken.
func (s *sending) transaction(ctx context.Context, client *smtpclient.Client, open []*copyOf) (more, elsewhere []*copyOf, taken int) {
	if _, err := s.body.Seek(s.body.skip, io.SeekStart); err != nil {
		failAll(open, failureOf(fmt.Errorf("the message cannot be read: %w", err)), false)
		return nil, nil, 0
	}
	first := open[0]
	t := smtpclient.Transaction{
		Sender: first.entry.Sender, Body: s.body, Size: s.body.Size() - s.body.skip, UTF8Header: s.body.utf8Header,
		EnvelopeID: first.rec.EnvelopeID, Return: first.rec.Return,
	}
	for _, c := range open {
		t.Recipients = append(t.Recipients, smtpclient.Recipient{Address: c.entry.Recipient, Notify: c.rec.Notify, Original: c.rec.Original})
	}
	out := client.Send(ctx, t)
	for i, c := range open {
		err := out.Errors[i]
		if err == nil {
			c.sent, c.failure = true, nil
			c.host, c.tls = client.Host(), tlsName(client.TLS())
			c.reply = (&Failure{Code: out.Reply.Code, Status: out.Reply.Status, Text: out.Reply.Text()}).Reply()
			taken++
			continue
		}
		c.fail(failureOf(err), err.OfHost())
		switch {
		case err.OfHost():
			elsewhere = append(elsewhere, c)
		case tooMany(err):
			more = append(more, c)
		}
	}
	return more, elsewhere, taken
}

// tooMany tells whether a recipient was only one too many for the transaction
// (RFC 5321 section 4.5.3.1.10): 452, unless it speaks of a full mailbox.
func tooMany(err *smtpclient.Error) bool {
	return err.Phase == smtpclient.PhaseRecipient && !err.Permanent && (err.Code == 452 || err.Code == 552) && err.Status[1] != 2
}

// connect opens a conversation. Where TLS is only wished for and its
// handshake fails, a second connection does without (RFC 7435 section 4.3).
func (s *sending) connect(ctx context.Context, h route.Host, addr netip.AddrPort) (*smtpclient.Client, error) {
	policy := h.TLS
	for {
		dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err := s.q.c.Dial(dialCtx, "tcp", addr.String())
		cancel()
		if err != nil {
			return nil, &smtpclient.Error{
				Phase: smtpclient.PhaseConnect, Host: h.Name, Status: smtpclient.Status{4, 4, 1},
				Text: fmt.Sprintf("no connection to %s: %s", addr, unreachable(err)), Cause: err,
			}
		}
		client, err := smtpclient.New(ctx, conn, smtpclient.Options{
			Hostname: s.q.c.Hostname(), Host: h.Name, TLS: policy, Auth: s.route.Auth, Timeouts: s.q.c.Timeouts,
		})
		var e *smtpclient.Error
		if err == nil || policy.Mode != smtpclient.TLSOpportunistic || policy.Immediate || !errors.As(err, &e) || e.Phase != smtpclient.PhaseTLS || ctx.Err() != nil {
			return client, err
		}
		s.q.c.Log.Info("TLS failed, sending in the clear", "host", h.Name, "err", err)
		policy.Mode = smtpclient.TLSNone
	}
}

// unreachable says why a host took no connection: a port that is closed wants
// another remedy than one that is silent.
func unreachable(err error) string {
	var timed net.Error
	var system syscall.Errno
	switch {
	case errors.As(err, &system) && system != syscall.ETIMEDOUT:
		return system.Error()
	case errors.As(err, &timed) && timed.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return err.Error()
}

func tlsName(s *tls.ConnectionState) string {
	if s == nil {
		return ""
	}
	return tls.VersionName(s.Version) + " " + tls.CipherSuiteName(s.CipherSuite)
}
