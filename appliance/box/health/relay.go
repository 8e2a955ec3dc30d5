package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"strings"
	"time"

	"pillarbox/appliance/api/healthapi"
)

const (
	relayTimeout = 20 * time.Second

	// submissionsPort speaks TLS from the beginning (RFC 8314 section 3.3).
	submissionsPort = "465"
)

// relay sends a message to an address elsewhere by a smart host: past the box's
// own mail, which may be what is broken. The sender is the login there, since
// that is what providers let one send as.
func (m *Messenger) relay(ctx context.Context, now time.Time, s healthapi.Settings, subject, body string) error {
	if err := m.submit(ctx, now, s, subject, body); err != nil {
		return fmt.Errorf("mail to %s by %s: %w", s.MailTo, s.SmartHost, err)
	}
	return nil
}

func (m *Messenger) submit(ctx context.Context, now time.Time, s healthapi.Settings, subject, body string) error {
	host, port, err := net.SplitHostPort(s.SmartHost)
	if err != nil {
		return err
	}
	trust := m.TLS.Clone()
	if trust == nil {
		trust = &tls.Config{}
	}
	trust.ServerName = host
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.SmartHost)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if port == submissionsPort {
		conn = tls.Client(conn, trust)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	if err := c.Hello(m.Hostname()); err != nil {
		return err
	}
	if ok, _ := c.Extension("STARTTLS"); ok && port != submissionsPort {
		if err := c.StartTLS(trust); err != nil {
			return err
		}
	}
	from := s.MailTo
	if s.SmartHostUser != "" {
		if _, safe := c.TLSConnectionState(); !safe {
			return errors.New("it offers no TLS, and the password is not sent without")
		}
		if err := c.Auth(smtp.PlainAuth("", s.SmartHostUser, s.SmartHostPassword, host)); err != nil {
			return err
		}
		if strings.Contains(s.SmartHostUser, "@") {
			from = s.SmartHostUser
		}
	}
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(s.MailTo); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, message(m.Hostname(), from, s.MailTo, now, subject, body))
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	_ = c.Quit() // the message is accepted; how the session ends does not matter
	return nil
}
