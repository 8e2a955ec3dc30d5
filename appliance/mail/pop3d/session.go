package pop3d

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/guard"
)

// session is one client's session: the states of RFC 1939. drop is nil in the
// AUTHORIZATION state.
type session struct {
	*conn
	server *Server
	log    *slog.Logger
	remote netip.Addr

	login    string // USER given, PASS to come
	utf8     bool   // RFC 6856
	user     *account.User
	drop     *maildrop
	failures int // wrong logins
	errors   int // wrong commands
	until    time.Time
}

// command is one of the protocol's. Its error ends the session; what the
// client did wrong is answered by it.
type command struct {
	run       func(s *session, arg string) error
	before    bool // allowed in the AUTHORIZATION state
	after     bool // allowed in the TRANSACTION state
	noArgs    bool
	needsArgs bool
}

var errQuit = errors.New("pop3d: QUIT")

func lookup(verb string) (command, bool) {
	switch verb {
	case "CAPA":
		return command{run: (*session).capa, before: true, after: true, noArgs: true}, true
	case "QUIT":
		return command{run: (*session).quit, before: true, after: true, noArgs: true}, true
	case "STLS":
		return command{run: (*session).stls, before: true, noArgs: true}, true
	case "UTF8":
		return command{run: (*session).enableUTF8, before: true, noArgs: true}, true
	case "USER":
		return command{run: (*session).userName, before: true, needsArgs: true}, true
	case "PASS":
		return command{run: (*session).pass, before: true, needsArgs: true}, true
	case "AUTH":
		return command{run: (*session).auth, before: true}, true
	case "NOOP":
		return command{run: (*session).noop, after: true, noArgs: true}, true
	case "STAT":
		return command{run: (*session).stat, after: true, noArgs: true}, true
	case "LIST":
		return command{run: (*session).list, after: true}, true
	case "UIDL":
		return command{run: (*session).uidl, after: true}, true
	case "RETR":
		return command{run: (*session).retr, after: true, needsArgs: true}, true
	case "TOP":
		return command{run: (*session).top, after: true, needsArgs: true}, true
	case "DELE":
		return command{run: (*session).dele, after: true, needsArgs: true}, true
	case "RSET":
		return command{run: (*session).rset, after: true, noArgs: true}, true
	}
	return command{}, false
}

// run serves the client until it leaves or is sent away.
func (s *session) run() {
	s.remote = guard.RemoteAddr(s.raw)
	s.log = s.server.cfg.Log.With("remote", s.remote)
	s.until = time.Now().Add(loginWait)
	err := s.ok("Pillarbox POP3 is ready")
	for err == nil {
		err = s.next()
	}
	switch {
	case errors.Is(err, errQuit):
		err = s.out.Flush()
	case errors.Is(err, errInterrupted):
		// The client takes this for the answer to its next command, or is gone.
		_ = s.fail("SYS/TEMP", "The server ends this session, log in again")
		_ = s.out.Flush()
	}
	if s.drop != nil {
		s.log.Info("POP3 session ended", "user", s.user.Address, "fetched", s.drop.fetched, "bytes", s.drop.bytes,
			"removed", s.drop.removed, "reason", err)
	} else {
		s.log.Debug("POP3 connection ended without login", "reason", err)
	}
}

// leave counts the session out of its person's.
func (s *session) leave() {
	if s.drop != nil {
		s.server.people.Leave(s.user.Account)
	}
}

// next reads a command and does it.
func (s *session) next() error {
	until := s.until
	if s.drop != nil {
		until = time.Now().Add(idleWait)
	}
	line, err := s.readLine(until)
	if errors.Is(err, errLineTooLong) {
		return s.wrong("Line too long")
	}
	if err != nil {
		return err
	}
	verb, arg, _ := strings.Cut(string(line), " ")
	verb = strings.ToUpper(verb)
	c, known := lookup(verb)
	// The argument of PASS is all that follows the space (RFC 1939 section 7).
	if verb != "PASS" {
		arg = strings.Trim(arg, " \t")
	}
	switch {
	case !known:
		return s.wrong("Unknown command")
	case s.drop == nil && !c.before:
		return s.wrong("Log in first")
	case s.drop != nil && !c.after:
		return s.wrong("Not possible after login")
	case c.noArgs && arg != "":
		return s.wrong(verb + " takes no argument")
	case c.needsArgs && arg == "":
		return s.wrong(verb + " needs an argument")
	}
	before := s.errors
	err = c.run(s, arg)
	if s.drop != nil && s.errors == before {
		s.errors = 0 // after the login they count in a row
	}
	return err
}

// ok answers +OK.
func (s *session) ok(format string, args ...any) error {
	return s.answer("+OK "+format, args...)
}

// fail answers -ERR with a response code (RFC 2449 section 8), "" for none.
func (s *session) fail(code, format string, args ...any) error {
	if code != "" {
		format = "[" + code + "] " + format
	}
	return s.answer("-ERR "+format, args...)
}

func (s *session) answer(format string, args ...any) error {
	_, err := fmt.Fprintf(s.out, format+"\r\n", args...)
	return err
}

// wrong answers a command that cannot be done, and counts it.
func (s *session) wrong(text string) error {
	s.errors++
	if s.errors > softErrors {
		s.pause(errorDelay)
	}
	if err := s.fail("", "%s", text); err != nil {
		return err
	}
	if s.errors > hardErrors {
		return errors.Join(s.out.Flush(), errors.New("pop3d: too many errors"))
	}
	return nil
}

// broken logs a fault of the box's and answers that it is one.
func (s *session) broken(doing string, err error) error {
	s.log.Error("POP3: cannot "+doing, "user", s.user.Address, "error", err)
	return s.fail("SYS/TEMP", "The server cannot do that now, try again")
}

// capa lists the capabilities of the state (RFC 2449 section 5).
func (s *session) capa(string) error {
	list := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "LOGIN-DELAY 0"}
	if s.drop == nil {
		if s.mayLogin() {
			list = append(list, "USER", "SASL PLAIN")
		}
		if s.mayStartTLS() {
			list = append(list, "STLS")
		}
	}
	list = append(list, "UTF8 USER", "IMPLEMENTATION Pillarbox")
	return s.answer("+OK\r\n%s\r\n.", strings.Join(list, "\r\n"))
}

func (s *session) noop(string) error { return s.ok("") }

// quit ends the session; after login it enters the UPDATE state (RFC 1939 section 6).
func (s *session) quit(string) error {
	err := s.update()
	if err != nil {
		return err
	}
	return errQuit
}

// number reads a number that has digits alone; one that is too large for any
// message or line count comes as math.MaxInt32.
func number(arg string) (int, bool) {
	if strings.Trim(arg, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(arg, 10, 31)
	if errors.Is(err, strconv.ErrRange) {
		return math.MaxInt32, true
	}
	return int(n), err == nil
}
