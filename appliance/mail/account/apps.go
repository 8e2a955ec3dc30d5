package account

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/config"
)

// An app password is one more password of a person, for one mail program or
// device. The box makes it, so that it can be looked up: its first group names
// the record, the others are the secret. A login therefore costs one hash
// however many there are, and takes the same time for a wrong password with
// and without them.
const (
	// appAlphabet has no letters that are read as others.
	appAlphabet  = "abcdefghijkmnpqrstuvwxyz23456789"
	appGroup     = 4 // letters between hyphens
	appGroups    = 5 // the name and 80 bits of secret
	maxApps      = 32
	appUsedEvery = time.Hour // how exactly the last use is kept: each new time is a commit
)

// appPassword is an app password as it is kept.
type appPassword struct {
	Name       string // as the person calls it; one of a kind
	ID         string // the first group of the password
	Credential credential
	Created    time.Time
	Used       time.Time `json:",omitzero"` // the last login, to appUsedEvery
}

// newAppPassword makes a random password in its written form.
func newAppPassword() string {
	raw := make([]byte, appGroup*appGroups)
	rand.Read(raw) // never fails since Go 1.24
	var b strings.Builder
	for i, r := range raw {
		if i > 0 && i%appGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(appAlphabet[int(r)%len(appAlphabet)])
	}
	return b.String()
}

// parseAppPassword gives the written form of an app password that was typed,
// with or without hyphens, in any case; ok is false for what is none.
func parseAppPassword(typed string) (written string, ok bool) {
	letters := strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(typed))
	if len(letters) != appGroup*appGroups || strings.Trim(letters, appAlphabet) != "" {
		return "", false
	}
	var groups []string
	for g := range slices.Chunk([]byte(letters), appGroup) {
		groups = append(groups, string(g))
	}
	return strings.Join(groups, "-"), true
}

// app is the app password with an ID, nil where there is none.
func (r *userRecord) app(id string) *appPassword {
	if i := slices.IndexFunc(r.Apps, func(a appPassword) bool { return a.ID == id }); i >= 0 {
		return &r.Apps[i]
	}
	return nil
}

// given is the credential that a password has to match, in the form it was
// hashed in; app is nil where it is the person's own.
func (r *userRecord) given(password string) (c *credential, written string, app *appPassword) {
	if written, ok := parseAppPassword(password); ok {
		if a := r.app(written[:appGroup]); a != nil {
			return &a.Credential, written, a
		}
	}
	return &r.Credential, password, nil
}

// scramSalt is the salt that all passwords of a person share, nil as long as
// there is none. SCRAM tells a client the salt before it knows which of the
// passwords the client has.
func (r *userRecord) scramSalt() []byte {
	if r.Credential.SCRAM != nil {
		return r.Credential.SCRAM.Salt
	}
	for _, a := range r.Apps {
		return a.Credential.SCRAM.Salt
	}
	return nil
}

// lostApp reports whether an app password of old is not in r.
func (r *userRecord) lostApp(old *userRecord) bool {
	return slices.ContainsFunc(old.Apps, func(a appPassword) bool { return r.app(a.ID) == nil })
}

// used notes a login with an app password. Its failure is no failure of the login.
func (d *Directory) used(ctx context.Context, login, id string) {
	recent := func(p *person) bool {
		a := p.app(id)
		return a == nil || d.cfg.Now().Sub(a.Used) < appUsedEvery
	}
	if p := d.person(login); p == nil || recent(p) {
		return
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	p := d.person(login)
	if p == nil || recent(p) {
		return
	}
	r := p.userRecord
	r.Apps = slices.Clone(r.Apps)
	r.app(id).Used = d.cfg.Now().UTC()
	if err := d.putUser(ctx, r, func(old *person) *person { return succeed(old, r) }); err != nil {
		d.cfg.Log.Warn("cannot note the use of an app password", "user", p.Address, "error", err)
	}
}

// AppPasswords lists a person's app passwords, by name.
func (d *Directory) AppPasswords(_ context.Context, address string) ([]mailapi.AppPassword, error) {
	p := d.person(key(address))
	if p == nil {
		return nil, noUser(address)
	}
	list := make([]mailapi.AppPassword, 0, len(p.Apps))
	for _, a := range p.Apps {
		list = append(list, mailapi.AppPassword{Name: a.Name, Created: a.Created, Used: a.Used})
	}
	slices.SortFunc(list, func(a, b mailapi.AppPassword) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// AddAppPassword makes an app password. The answer alone has the password.
func (d *Directory) AddAppPassword(ctx context.Context, address string, in mailapi.NewAppPassword) (*mailapi.AppPassword, error) {
	name, err := config.PersonName(in.Name)
	switch {
	case err != nil:
		return nil, wire.Invalid("name", "%v", err)
	case name == "":
		return nil, wire.Invalid("name", "is missing")
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	p := d.person(key(address))
	switch {
	case p == nil:
		return nil, noUser(address)
	case slices.ContainsFunc(p.Apps, func(a appPassword) bool { return a.Name == name }):
		return nil, wire.Conflict("%s has an app password %q already", p.Address, name)
	case len(p.Apps) >= maxApps:
		return nil, wire.Conflict("%s has %d app passwords, which is the most: remove one first", p.Address, maxApps)
	}
	pw := newAppPassword()
	for p.app(pw[:appGroup]) != nil {
		pw = newAppPassword()
	}
	c, err := d.hasher.make(ctx, pw, p.scramSalt())
	if err != nil {
		return nil, err
	}
	a := appPassword{Name: name, ID: pw[:appGroup], Credential: c, Created: d.cfg.Now().UTC()}
	r := p.userRecord
	r.Apps = append(slices.Clone(r.Apps), a)
	if err := d.putUser(ctx, r, func(old *person) *person { return succeed(old, r) }); err != nil {
		return nil, err
	}
	d.cfg.Event(mailapi.LevelInfo, "app password “"+name+"” of "+p.Address+" was created")
	return &mailapi.AppPassword{Name: name, Created: a.Created, Password: pw}, nil
}

// RemoveAppPassword ends an app password and the person's sessions; those with
// a password that is still good come back by themselves.
func (d *Directory) RemoveAppPassword(ctx context.Context, address, name string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	p := d.person(key(address))
	if p == nil {
		return noUser(address)
	}
	r := p.userRecord
	r.Apps = slices.DeleteFunc(slices.Clone(r.Apps), func(a appPassword) bool { return a.Name == name })
	if len(r.Apps) == len(p.Apps) {
		return wire.NotFound("%s has no app password %q", p.Address, name)
	}
	if err := d.putUser(ctx, r, func(old *person) *person { return succeed(old, r) }); err != nil {
		return err
	}
	d.cfg.Event(mailapi.LevelInfo, "app password “"+name+"” of "+p.Address+" was removed")
	return nil
}
