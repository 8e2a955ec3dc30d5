package imapd

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/imapd/imapwire"
	"pillarbox/appliance/mail/imapd/session"
)

var (
	errPrivacy = &imap.Error{
		Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodePrivacyRequired, Text: "Passwords are taken under TLS only",
	}
	errFailedLogin = &imap.Error{
		Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeAuthenticationFailed, Text: "Wrong name or password",
	}
)

// mechanisms are the SASL mechanisms offered.
func (c *conn) mechanisms() []string {
	m := []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"}
	if c.canBind() {
		m = append(m, "SCRAM-SHA-256-PLUS")
	}
	if c.srv.cfg.Tokens != nil {
		m = append(m, "OAUTHBEARER", "XOAUTH2")
	}
	return m
}

// cmdLogin answers LOGIN (RFC 9051 section 6.2.3).
func (c *conn) cmdLogin(ctx context.Context, cl *call) error {
	c.dec.SP()
	name := c.dec.AString()
	c.dec.SP()
	password := c.dec.AString()
	if err := c.dec.End(); err != nil {
		return err
	}
	if !c.passwordsAllowed() {
		return errPrivacy
	}
	return c.login(ctx, cl, name, password)
}

// cmdAuthenticate answers AUTHENTICATE (RFC 9051 section 6.2.2), with an
// initial response or without (RFC 4959).
func (c *conn) cmdAuthenticate(ctx context.Context, cl *call) error {
	c.dec.SP()
	mech := c.dec.Keyword()
	var initial []byte
	hasInitial := false
	if c.dec.Accept(' ') {
		hasInitial = true
		if s := c.dec.Rest(); s != "=" { // "=" is an empty response (RFC 4959 section 3)
			b, err := base64.StdEncoding.DecodeString(s)
			if err != nil || s == "" {
				return bad("Initial response is not base64")
			}
			initial = b
		}
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	if !c.passwordsAllowed() {
		return errPrivacy
	}
	if !slices.Contains(c.mechanisms(), mech) {
		return no(imap.ResponseCodeCannot, "Mechanism is not offered")
	}
	if !hasInitial && mech != "LOGIN" {
		var err error
		if initial, err = c.challenge(""); err != nil {
			return err
		}
	}
	switch mech {
	case "PLAIN":
		return c.saslPlain(ctx, cl, initial)
	case "LOGIN":
		return c.saslLogin(ctx, cl, initial, hasInitial)
	case "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS":
		return c.saslScram(ctx, cl, initial, mech == "SCRAM-SHA-256-PLUS")
	case "OAUTHBEARER":
		return c.saslBearer(ctx, cl, initial)
	case "XOAUTH2":
		return c.saslXOAuth2(ctx, cl, initial)
	}
	return no(imap.ResponseCodeCannot, "Mechanism is not offered")
}

// challenge sends a challenge and reads the response to it.
func (c *conn) challenge(text string) ([]byte, error) {
	c.enc.Raw("+ ").Raw(base64.StdEncoding.EncodeToString([]byte(text))).End()
	if err := c.flush(); err != nil {
		return nil, err
	}
	line, err := c.dec.Line()
	switch {
	case errors.Is(err, imapwire.ErrTooBig):
		return nil, err
	case err != nil:
		return nil, &connError{err}
	case string(line) == "*":
		return nil, bad("Authentication cancelled")
	}
	b, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil {
		return nil, bad("Response is not base64")
	}
	return b, nil
}

// connError is an error of the connection in the middle of an exchange.
type connError struct{ err error }

func (e *connError) Error() string { return e.err.Error() }
func (e *connError) Unwrap() error { return e.err }

// saslPlain is PLAIN (RFC 4616).
func (c *conn) saslPlain(ctx context.Context, cl *call, resp []byte) error {
	part := strings.Split(string(resp), "\x00")
	if len(part) != 3 || part[1] == "" {
		return bad("Not a PLAIN message")
	}
	if part[0] != "" && !strings.EqualFold(part[0], part[1]) {
		return no(imap.ResponseCodeAuthorizationFailed, "Nobody may act for another person")
	}
	return c.login(ctx, cl, part[1], part[2])
}

// saslLogin is LOGIN (draft-murchison-sasl-login), obsolete and still asked for.
func (c *conn) saslLogin(ctx context.Context, cl *call, name []byte, has bool) error {
	if !has {
		var err error
		if name, err = c.challenge("Username:"); err != nil {
			return err
		}
	}
	user := string(name)
	password, err := c.challenge("Password:")
	if err != nil {
		return err
	}
	return c.login(ctx, cl, user, string(password))
}

// login checks a password and begins the person's session.
func (c *conn) login(ctx context.Context, cl *call, name, password string) error {
	u, err := c.srv.cfg.Accounts.Authenticate(ctx, name, password, c.remote)
	if err != nil {
		return c.refuseLogin(ctx, name, err)
	}
	return c.enter(cl, u)
}

// refuseLogin answers a login that an Authenticator did not let in.
func (c *conn) refuseLogin(ctx context.Context, name string, err error) error {
	switch {
	case errors.Is(err, account.ErrBadCredentials):
		return c.failLogin(ctx, name)
	case errors.Is(err, account.ErrThrottled):
		c.log.Info("imap login throttled", "login", name)
		return no(imap.ResponseCodeUnavailable, "Too many failed logins, try again later")
	case errors.Is(err, account.ErrBusy):
		c.log.Warn("imap login: too many at once", "login", name)
		return no(imap.ResponseCodeUnavailable, "Too many logins at once, try again")
	}
	c.log.Error("imap login not possible", "login", name, "error", err)
	return no(imap.ResponseCodeUnavailable, "Logging in is not possible at the moment")
}

// failLogin holds the answer to a failed login back.
func (c *conn) failLogin(ctx context.Context, name string) error {
	c.failed++
	c.log.Info("imap login failed", "login", name, "failures", c.failed)
	if d := c.srv.cfg.FailureDelay; d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	if c.failed >= loginLimit {
		c.leaving = true // the tagged NO still goes out
	}
	return errFailedLogin
}

// enter begins a person's session.
func (c *conn) enter(cl *call, p *account.User) error {
	if !c.srv.people.Enter(p.Account, c.srv.cfg.PerPerson) {
		return no(imap.ResponseCodeLimit, "Too many connections of this person")
	}
	c.user = session.NewUser(c.srv.base, p.Account, p.Address)
	c.revoked = p.Revoked
	c.dec.Limit = commandLimit
	c.bad = 0
	c.log.Debug("imap login", "address", p.Address, "account", p.Account)
	cl.code = "CAPABILITY " + c.capabilities()
	cl.text = "Logged in"
	return nil
}

// cmdUnauthenticate answers UNAUTHENTICATE (RFC 8437): the connection is as
// new, but for TLS and compression.
func (c *conn) cmdUnauthenticate(_ context.Context, cl *call) error {
	if err := c.dec.End(); err != nil {
		return err
	}
	c.unselect()
	c.logout()
	c.began = time.Now()
	cl.code = "CAPABILITY " + c.capabilities()
	return nil
}
