package smtpd

import (
	"bytes"
	"errors"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"pillarbox/appliance/mail/delivery"
)

// AuthMechanisms is what the engine would offer; the conn writes the offer.
func (s *session) AuthMechanisms() []string { return nil }

// Auth begins an exchange (RFC 4954). The conn has checked that a login is
// possible now.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	switch mechanism {
	case "PLAIN":
		return &plainMechanism{s}, nil
	case "LOGIN":
		return &loginMechanism{session: s}, nil
	default: // RFC 4954 section 4
		return nil, &smtp.SMTPError{Code: 504, EnhancedCode: smtp.EnhancedCode{5, 5, 4}, Message: "Mechanism is not known"}
	}
}

var errMalformed = &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: "Response is malformed"}

// login checks a name and a password and sets the session's user.
func (s *session) login(name, password string) error {
	person, err := s.conn.server.cfg.Authenticate(s.conn.ctx, name, password, s.conn.remote)
	log := s.conn.server.cfg.Log
	switch {
	case err == nil:
		s.user = person.Address
		if person.Revoked != nil {
			go s.conn.endOnce(person.Revoked)
		}
		return nil
	case errors.Is(err, ErrBadCredentials):
		log.Info("login failed", "login", name, "remote", s.conn.remote)
		return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Wrong name or password"}
	case errors.Is(err, ErrThrottled):
		log.Info("login held back", "login", name, "remote", s.conn.remote)
		return &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Too many failed logins, try again later"}
	case errors.Is(err, ErrBusy):
		log.Info("login held back", "login", name, "remote", s.conn.remote, "error", err)
		return &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Too busy, try again"}
	default:
		d := delivery.AsError(err)
		log.Error("cannot check login", "login", name, "remote", s.conn.remote, "error", err)
		return &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: d.Message}
	}
}

// plainMechanism is PLAIN (RFC 4616).
type plainMechanism struct{ session *session }

func (p *plainMechanism) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil {
		return []byte{}, false, nil
	}
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 {
		return nil, false, errMalformed
	}
	identity, name := string(parts[0]), string(parts[1])
	if identity != "" && identity != name { // nobody may act for somebody else
		return nil, false, &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Wrong name or password"}
	}
	return nil, true, p.session.login(name, string(parts[2]))
}

// loginMechanism is LOGIN, which has no standard but many clients: two
// questions in plain text, the name perhaps with the command.
type loginMechanism struct {
	session *session
	name    []byte
	asked   int
}

func (l *loginMechanism) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case l.asked == 0 && response == nil:
		l.asked = 1
		return []byte("Username:"), false, nil
	case l.asked < 2:
		l.asked = 2
		l.name = bytes.Clone(response)
		return []byte("Password:"), false, nil
	case len(l.name) == 0:
		return nil, false, errMalformed
	default:
		return nil, true, l.session.login(string(l.name), string(response))
	}
}
