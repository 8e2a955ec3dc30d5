package smtpd

import (
	"errors"
	"io"
	"time"

	"github.com/emersion/go-smtp"

	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/mail/delivery"
	"pillarbox/appliance/mail/trace"
)

// session is what the server knows of a client, and its message under way. It
// answers the commands that the engine has parsed.
type session struct {
	conn     *conn
	greeted  bool   // since the connection is what it is: STARTTLS clears it
	hello    string // argument of the last EHLO or HELO
	extended bool   // that was EHLO
	user     string // address of who is logged in
	// path is the address of the command under way; pathUTF8 is set where the
	// command is not all ASCII.
	path     address.Address
	pathUTF8 bool
	envelope *delivery.Envelope // of the message under way
	content  content
}

var _ smtp.AuthSession = (*session)(nil)

// forget clears what was learnt before TLS (RFC 3207 section 4.2).
func (s *session) forget() { *s = session{conn: s.conn} }

// Mail begins a message (RFC 5321 section 3.3).
func (s *session) Mail(_ string, opts *smtp.MailOptions) error {
	if s.pathUTF8 && !opts.UTF8 { // RFC 6531 section 3.5
		return errNeedsUTF8
	}
	e := &delivery.Envelope{Sender: s.path, User: s.user, Size: opts.Size, UTF8: opts.UTF8, Client: s.conn.client()}
	if err := s.conn.server.cfg.Pipeline.Begin(s.conn.ctx, e); err != nil {
		return s.refused("sender", e, err)
	}
	s.envelope = e
	return nil
}

// Rcpt adds a recipient.
func (s *session) Rcpt(string, *smtp.RcptOptions) error {
	if s.pathUTF8 && !s.envelope.UTF8 {
		return errNeedsUTF8
	}
	if err := s.conn.server.cfg.Pipeline.AddRecipient(s.conn.ctx, s.envelope, s.path); err != nil {
		return s.refused("recipient", s.envelope, err, "recipient", s.path)
	}
	return nil
}

var errNeedsUTF8 = &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 6, 7}, Message: "Address needs SMTPUTF8"}

// Data takes the content of the message. It reads from the conn: the engine's
// reader, which would unstuff dots once more, only gets to see the end.
func (s *session) Data(io.Reader) error {
	c, e := s.conn, s.envelope
	body := newReader(c)
	receipt, err := c.server.cfg.Pipeline.Accept(c.ctx, e, body)
	if err == nil && !errors.Is(body.err, io.EOF) {
		err = errors.New("smtpd: message accepted before its end")
	}
	body.drain()
	c.feed = append(c.feed[:0], ".\r\n"...)
	switch {
	case body.aborted:
		c.expect = expectDropped
		return errAnyReply
	case err != nil:
		return s.refused("message", e, err)
	}
	c.errors, c.idle = 0, 0
	c.server.cfg.Log.Info("message accepted", "id", receipt.ID, "sender", e.Sender, "user", e.User, "recipients", e.Recipients(),
		"size", receipt.Size, "remote", c.remote, "took", time.Since(e.Arrived))
	// The engine has no other way to say more than "queued".
	return queued(receipt.ID)
}

// errAnyReply makes the engine write a reply, which is dropped.
var errAnyReply = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 0, 0}, Message: "Dropped"}

func queued(id trace.ID) error {
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Ok, queued as " + string(id)}
}

// refused logs why something was refused and gives the engine the reply. What
// is wrong on this side is logged as such.
func (s *session) refused(what string, e *delivery.Envelope, err error, attrs ...any) error {
	d := delivery.AsError(err)
	log := s.conn.server.cfg.Log.Info
	if errors.Is(err, errLost) {
		what = "broken off " + what
	} else if d.Code/100 == 4 && d.Enhanced[1] == 3 {
		log = s.conn.server.cfg.Log.Warn
	}
	log("refused "+what, append(attrs, "id", e.ID, "sender", e.Sender, "user", e.User, "remote", s.conn.remote, "reply", d)...)
	return engineError(d)
}

// Reset ends the transaction, after RSET, EHLO and every message.
func (s *session) Reset() { s.envelope = nil }

// Logout ends the session.
func (s *session) Logout() error {
	s.envelope = nil
	return nil
}
