package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"time"
)

// errTLSLeftover means that a client sent more after STARTTLS without waiting:
// somebody may have put it there to have it taken as said under TLS.
var errTLSLeftover = errors.New("imapd: input after STARTTLS")

// handshakeTimeout bounds the TLS handshake of STARTTLS: a few round trips and one signature.
const handshakeTimeout = 30 * time.Second

// canStartTLS: compression that outlived its login (RFC 8437 section 3) would
// have to go below TLS.
func (c *conn) canStartTLS() bool { return c.tls == nil && c.srv.cfg.TLS != nil && !c.compressed }

// passwordsAllowed reports whether a password may be sent on this connection.
func (c *conn) passwordsAllowed() bool { return c.tls != nil || c.srv.cfg.AllowPlaintext() }

// cmdStartTLS answers STARTTLS (RFC 9051 section 6.2.1).
func (c *conn) cmdStartTLS(ctx context.Context, cl *call) error {
	if err := c.dec.End(); err != nil {
		return err
	}
	if c.tls != nil {
		return bad("TLS is active already")
	}
	if !c.canStartTLS() {
		return bad("TLS is not offered")
	}
	if c.dec.Buffered() > 0 {
		// What came in the clear is never read as if it had come under TLS.
		return errTLSLeftover
	}
	c.enc.Raw(cl.tag).Raw(" OK Begin TLS").End()
	if err := c.flush(); err != nil {
		return err
	}
	t := tls.Server(c.nc, c.srv.cfg.TLS)
	hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := t.HandshakeContext(hctx); err != nil {
		c.log.Debug("imap STARTTLS failed", "error", err)
		return errDropped
	}
	st := t.ConnectionState()
	c.tls = &st
	c.wire = newWire(c, t)
	c.dec.SetSource(c.wire)
	c.enc.SetDestination(c.wire)
	return errAnswered
}

// errDropped ends the connection without another word: there is nobody to say it to.
var errDropped = errors.New("imapd: connection dropped")

// errAnswered means that the command has its tagged response already.
var errAnswered = errors.New("imapd: answered")
