package pop3d

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"pillarbox/appliance/mail/account"
)

// mayLogin reports whether a login is allowed on the connection as it is.
func (s *session) mayLogin() bool { return s.secure() || s.server.cfg.AllowPlaintext() }

func (s *session) mayStartTLS() bool { return s.server.cfg.TLS != nil && !s.secure() }

// stls starts TLS (RFC 2595 section 4). Nothing of what was said before it
// holds afterwards.
func (s *session) stls(string) error {
	if !s.mayStartTLS() {
		return s.wrong("STLS is not possible here")
	}
	if err := s.ok("Begin TLS now"); err != nil {
		return err
	}
	s.login, s.utf8 = "", false
	if err := s.startTLS(s.server.cfg.TLS); err != nil {
		return fmt.Errorf("pop3d: TLS handshake: %w", err)
	}
	return nil
}

// enableUTF8 lets messages through with UTF-8 in their headers (RFC 6856 section 2.1).
func (s *session) enableUTF8(string) error {
	s.utf8 = true
	return s.ok("UTF-8 is on")
}

// userName takes any name: who has a mailbox here is nobody's business.
func (s *session) userName(name string) error {
	if !s.mayLogin() {
		return s.wrong("Start TLS first")
	}
	if len(name) > maxArgument {
		return s.wrong("Name too long")
	}
	s.login = name
	return s.ok("Send the password")
}

func (s *session) pass(password string) error {
	login := s.login
	s.login = ""
	switch {
	case !s.mayLogin():
		return s.wrong("Start TLS first")
	case login == "":
		return s.wrong("Send USER first")
	case len(password) > maxArgument:
		return s.wrong("Password too long")
	}
	return s.authenticate(login, password)
}

// auth is SASL (RFC 5034), with the mechanism PLAIN (RFC 4616).
func (s *session) auth(arg string) error {
	if !s.mayLogin() {
		return s.wrong("Start TLS first")
	}
	if arg == "" { // how clients older than CAPA ask for the mechanisms
		return s.answer("+OK\r\nPLAIN\r\n.")
	}
	mechanism, response, initial := strings.Cut(arg, " ")
	if !strings.EqualFold(mechanism, "PLAIN") {
		return s.wrong("Unknown mechanism")
	}
	switch {
	case !initial:
		if err := s.answer("+ "); err != nil {
			return err
		}
		line, err := s.readLine(s.until)
		if errors.Is(err, errLineTooLong) {
			return s.wrong("Line too long")
		}
		if err != nil {
			return err
		}
		if response = string(line); response == "*" {
			return s.fail("", "Cancelled") // RFC 5034 section 4
		}
	case response == "=": // an initial response of no bytes
		response = ""
	}
	plain, err := base64.StdEncoding.DecodeString(response)
	if err != nil {
		return s.wrong("Not base64")
	}
	part := strings.Split(string(plain), "\x00")
	if len(part) != 3 || part[1] == "" || part[2] == "" {
		return s.wrong("Not a response of PLAIN")
	}
	if len(part[1]) > maxArgument || len(part[2]) > maxArgument {
		return s.wrong("Name or password too long")
	}
	if part[0] != "" && !strings.EqualFold(part[0], part[1]) {
		return s.refuse() // nobody may act for another
	}
	return s.authenticate(part[1], part[2])
}

// authenticate checks a login and takes the snapshot (RFC 1939 section 4).
func (s *session) authenticate(login, password string) error {
	user, err := s.server.cfg.Accounts.Authenticate(s.ctx, login, password, s.remote)
	switch {
	case errors.Is(err, account.ErrBadCredentials):
		return s.refuse()
	case errors.Is(err, account.ErrThrottled):
		// Not [AUTH]: the password may be right, and clients must not ask for another (RFC 3206).
		s.pause(failureDelay)
		return s.fail("SYS/TEMP", "Too many failed logins, try again later")
	case errors.Is(err, account.ErrBusy):
		return s.fail("SYS/TEMP", "Too busy, try again")
	case err != nil:
		s.log.Error("POP3: cannot check a login", "login", login, "error", err)
		return s.fail("SYS/TEMP", "The server cannot do that now, try again")
	}
	if !s.server.people.Enter(user.Account, maxSessions) {
		return s.fail("IN-USE", "Too many sessions of this mailbox")
	}
	drop, err := openMaildrop(s.ctx, s.server.cfg.Store, user.Account)
	if err != nil {
		s.server.people.Leave(user.Account)
		s.log.Error("POP3: cannot open INBOX", "user", user.Address, "error", err)
		return s.fail("SYS/TEMP", "The server cannot open the mailbox, try again")
	}
	s.user, s.drop = user, drop
	if user.Revoked != nil {
		go func() {
			select {
			case <-user.Revoked:
				s.Interrupt()
			case <-s.ctx.Done():
			}
		}()
	}
	s.log.Info("POP3 login", "user", user.Address, "messages", len(drop.messages), "tls", s.secure())
	return s.ok("%d messages", len(drop.messages))
}

// refuse answers a wrong login, late.
func (s *session) refuse() error {
	s.failures++
	s.pause(failureDelay)
	if err := s.fail("AUTH", "Wrong name or password"); err != nil {
		return err
	}
	if s.failures >= maxFailures {
		return errors.Join(s.out.Flush(), errors.New("pop3d: too many failed logins"))
	}
	s.until = time.Now().Add(loginWait)
	return nil
}
