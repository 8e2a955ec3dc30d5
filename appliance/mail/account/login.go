package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/store/store"
)

// Errors of Authenticate. Peers are told no more than these say.
var (
	// ErrBadCredentials is a wrong login or password, or a person who may not log in.
	ErrBadCredentials = errors.New("account: wrong login or password")
	// ErrThrottled is a login refused unread because of failures before it; see ThrottledError.
	ErrThrottled = errors.New("account: too many failed logins")
)

// ThrottledError tells how long the next try has to wait. It is ErrThrottled.
type ThrottledError struct{ Wait time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%v, wait %v", ErrThrottled, e.Wait.Round(time.Second))
}

// Is makes it ErrThrottled.
func (e *ThrottledError) Is(target error) bool { return target == ErrThrottled }

// User is a person who is logged in.
type User struct {
	Address string // in normal form
	Name    string
	Account store.AccountID
	Admin   bool
	// AppPassword is the name of the app password of the login, "" for the
	// person's own. It is good for mail alone, never for administration.
	AppPassword string
	// Revoked is closed when the password changes, an app password is removed,
	// or the person is disabled or removed: sessions end then.
	Revoked <-chan struct{}

	app string // ID of the app password
}

// Authenticate checks a login, a full address in any case, and its password,
// which may be an app password.
// remote is the peer's address, for the limits on failures; the zero value
// counts by login alone. Errors are ErrBadCredentials, ErrThrottled, ErrBusy,
// or that ctx ended. A login that does not exist takes as long as a wrong
// password.
func (d *Directory) Authenticate(ctx context.Context, login, password string, remote netip.Addr) (*User, error) {
	k := key(login)
	if err := d.allowed(remote, k); err != nil {
		return nil, err
	}
	p := d.person(k)
	var c *credential
	var app *appPassword
	if p != nil {
		c, password, app = p.given(password)
	}
	ok, err := d.verify(ctx, k, c, password)
	switch {
	case err != nil:
		return nil, err
	case !ok, p.Disabled:
		d.cfg.Logins.Failed(remote, k)
		d.cfg.Log.Warn("login failed", "login", k, "remote", remote, "exists", p != nil, "disabled", p != nil && p.Disabled)
		return nil, ErrBadCredentials
	}
	d.cfg.Logins.Succeeded(remote, k)
	switch {
	case app != nil:
		d.used(ctx, k, app.ID)
	case c.outdated():
		d.renew(ctx, p, password)
	}
	return p.user(app), nil
}

// AuthenticateAdmin checks the administrator's password, which is no mailbox's.
// Errors are those of Authenticate.
func (d *Directory) AuthenticateAdmin(ctx context.Context, password string, remote netip.Addr) error {
	const login = "admin" // without a domain: no mailbox has it
	if err := d.allowed(remote, login); err != nil {
		return err
	}
	d.mu.RLock()
	c := d.admin.Credential
	d.mu.RUnlock()
	given := &c
	if c.Password == "" {
		given = nil
	}
	ok, err := d.verify(ctx, login, given, password)
	switch {
	case err != nil:
		return err
	case !ok:
		d.cfg.Logins.Failed(remote, login)
		d.cfg.Log.Warn("administrator's login failed", "remote", remote)
		return ErrBadCredentials
	}
	d.cfg.Logins.Succeeded(remote, login)
	return nil
}

// ScramOffer is one password that a client may prove to have, and who it then is.
type ScramOffer struct {
	*ScramKeys
	User *User // nil for keys that nothing matches
}

// Scram gives what a server needs to run SCRAM-SHA-256 (RFC 5802) for a login:
// one offer at least, more where there are app passwords, all with the same
// salt and iterations. A login that does not exist, or of whose password only a
// hash is known so far, gets keys that nothing matches and no user, so that a
// prober learns nothing. The only error is ErrThrottled. The caller reports the
// outcome with ScramResult.
func (d *Directory) Scram(login string, remote netip.Addr) ([]ScramOffer, error) {
	k := key(login)
	if err := d.allowed(remote, k); err != nil {
		return nil, err
	}
	var offers []ScramOffer
	offer := func(keys *ScramKeys, u *User) {
		if keys != nil && (len(offers) == 0 || bytes.Equal(keys.Salt, offers[0].Salt) && keys.Iterations == offers[0].Iterations) {
			offers = append(offers, ScramOffer{keys, u})
		}
	}
	if p := d.person(k); p != nil && !p.Disabled {
		offer(p.Credential.SCRAM, p.user(nil))
		for i := range p.Apps {
			offer(p.Apps[i].Credential.SCRAM, p.user(&p.Apps[i]))
		}
	}
	if len(offers) == 0 {
		// The salt of a login does not change from try to try.
		offer(&ScramKeys{
			Salt: mac(d.cache.secret, "salt", k)[:16], Iterations: scramIterations,
			StoredKey: mac(d.cache.secret, "stored", k), ServerKey: mac(d.cache.secret, "server", k),
		}, nil)
	}
	return offers, nil
}

// ScramResult counts the outcome of an exchange that Scram began; who has
// proven a password, nil where nobody has.
func (d *Directory) ScramResult(ctx context.Context, login string, remote netip.Addr, who *User) {
	k := key(login)
	if who == nil {
		d.cfg.Logins.Failed(remote, k)
		return
	}
	d.cfg.Logins.Succeeded(remote, k)
	if who.app != "" {
		d.used(ctx, k, who.app)
	}
}

func (d *Directory) allowed(remote netip.Addr, login string) error {
	if wait, ok := d.cfg.Logins.Allowed(remote, login); !ok {
		return &ThrottledError{wait}
	}
	return nil
}

// verify compares a password; c is nil where the login does not exist.
func (d *Directory) verify(ctx context.Context, login string, c *credential, password string) (bool, error) {
	if c == nil {
		return d.hasher.matches(ctx, nil, password)
	}
	e := d.cache.entry(login, c.Password, password)
	if d.cache.has(e) {
		return true, nil
	}
	ok, err := d.hasher.matches(ctx, c, password)
	if ok {
		d.cache.add(e)
	}
	return ok, err
}

// renew makes an outdated credential anew while the password is at hand. It
// leaves sessions alone, and its failure is no failure of the login.
func (d *Directory) renew(ctx context.Context, p *person, password string) {
	c, err := d.hasher.make(ctx, password, p.scramSalt())
	if err == nil {
		d.changing.Lock()
		defer d.changing.Unlock()
		now := d.person(key(p.Address))
		if now == nil || now.Credential.Password != p.Credential.Password {
			return // changed meanwhile
		}
		r := now.userRecord
		r.Credential = c
		err = d.putUser(ctx, r, func(old *person) *person { return &person{userRecord: r, revoked: old.revoked} })
	}
	if err != nil {
		d.cfg.Log.Warn("cannot renew a password's hash", "user", p.Address, "error", err)
	}
}

func (d *Directory) person(key string) *person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.users[key]
}

// user is the person logged in with an app password, nil for the own one.
func (p *person) user(app *appPassword) *User {
	u := &User{Address: p.Address, Name: p.Name, Account: p.Account, Admin: p.Admin, Revoked: p.revoked}
	if app != nil {
		u.AppPassword, u.app = app.Name, app.ID
	}
	return u
}

// VerifyAdmin is AuthenticateAdmin for the administration API.
func (d *Directory) VerifyAdmin(ctx context.Context, l mailapi.AdminLogin) error {
	remote, _ := netip.ParseAddr(l.Remote) // the console has none
	return loginError(d.AuthenticateAdmin(ctx, l.Password, remote))
}

// loginError says for the administration API why a login failed.
func loginError(err error) error {
	var throttled *ThrottledError
	switch {
	case errors.As(err, &throttled):
		return wire.Unavailable("Too many wrong passwords: wait %v.", max(time.Second, throttled.Wait.Round(time.Second)))
	case errors.Is(err, ErrBusy):
		return wire.Unavailable("Too many logins at once: try again.")
	case errors.Is(err, ErrBadCredentials):
		return &wire.Error{Code: wire.CodeDenied, Field: "password", Message: "is wrong"}
	}
	return err
}
