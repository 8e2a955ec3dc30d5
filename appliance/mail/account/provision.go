package account

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/config"
	"pillarbox/appliance/config/password"
)

// Provision makes the directory hold what p says: what is missing is added,
// what differs is changed, what p does not name stays. Doing it again changes
// nothing, so that one that a power cut interrupted is finished by the next.
// The administrator's credential comes last: until then the box is not set up.
func (d *Directory) Provision(ctx context.Context, p *config.Provision) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	return d.provision(ctx, p)
}

func (d *Directory) provision(ctx context.Context, p *config.Provision) error {
	users, admin, err := d.credentials(ctx, p)
	if err != nil {
		return err
	}
	if err := d.provisionSettings(ctx, p); err != nil {
		return err
	}
	added := false
	for _, domain := range p.Domains {
		if d.hosted(domain.Name) {
			continue
		}
		if err := d.addDomain(ctx, domain.Name); err != nil {
			return err
		}
		added = true
	}
	if added {
		d.cfg.Changed()
	}
	for i := range p.Users {
		if err := d.provisionUser(ctx, &p.Users[i], users[i]); err != nil {
			return fmt.Errorf("user %s: %w", p.Users[i].Address, err)
		}
	}
	for _, u := range p.Users {
		for _, alias := range u.Aliases {
			if err := d.provisionAlias(ctx, alias, u.Address); err != nil {
				return fmt.Errorf("alias %s: %w", alias, err)
			}
		}
	}
	if err := d.provisionGroups(ctx, p.Groups); err != nil {
		return err
	}
	if err := d.provisionPostmaster(ctx, p.Users); err != nil {
		return err
	}
	if admin != nil {
		return d.putAdmin(ctx, *admin)
	}
	return nil
}

// credentials makes the credentials that differ from what is kept, nil for the
// others: for the users in order, and the administrator. It uses all cores,
// since hashing is nearly all the work of provisioning.
func (d *Directory) credentials(ctx context.Context, p *config.Provision) ([]*credential, *credential, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxHashing)
	one := func(out **credential, old *credential, salt []byte, pw, hash string) {
		g.Go(func() (err error) {
			*out, err = d.credentialChange(ctx, old, salt, pw, hash)
			return err
		})
	}
	users := make([]*credential, len(p.Users))
	for i, u := range p.Users {
		var old *credential
		var salt []byte
		if have := d.person(key(u.Address)); have != nil {
			old, salt = &have.Credential, have.scramSalt()
		}
		one(&users[i], old, salt, u.Password, u.PasswordHash)
	}
	d.mu.RLock()
	have := d.admin.Credential
	d.mu.RUnlock()
	var admin *credential
	if p.Box.AdminPassword != "" || p.Box.AdminPasswordHash != "" {
		one(&admin, &have, nil, p.Box.AdminPassword, p.Box.AdminPasswordHash)
	}
	err := g.Wait()
	return users, admin, err
}

// credentialChange is the credential of a password or hash, nil where old is it.
// salt is that of hasher.make.
func (d *Directory) credentialChange(ctx context.Context, old *credential, salt []byte, pw, hash string) (*credential, error) {
	if old != nil && old.Password != "" {
		if hash != "" && old.Password == hash {
			return nil, nil
		}
		if h, err := password.Parse(old.Password); err == nil && pw != "" {
			if err := d.hasher.enter(ctx, false); err != nil {
				return nil, err
			}
			same := h.Matches(pw)
			d.hasher.leave()
			if same {
				return nil, nil
			}
		}
	}
	if hash != "" {
		return &credential{Password: hash}, nil
	}
	c, err := d.hasher.make(ctx, pw, salt)
	return &c, err
}

func (d *Directory) provisionSettings(ctx context.Context, p *config.Provision) error {
	s := d.Current()
	if p.Box.Hostname != "" {
		s.Hostname = p.Box.Hostname
	}
	if p.Box.Timezone != "" {
		s.Timezone = p.Box.Timezone
	}
	if m := p.Mail; m != nil {
		if m.MaxMessageSize != 0 {
			s.MaxMessageSize = int64(m.MaxMessageSize)
		}
		set(m.UndeleteDays, &s.UndeleteDays)
		s.AllowPlaintextLogin = m.AllowPlaintextLogin
		s.SmartHost, s.SmartHostUser, s.SmartHostPassword = m.SmartHost, m.SmartHostUser, m.SmartHostPassword
		s.SmartHostAnyCertificate = m.SmartHostAnyCertificate
	}
	if p.Certificate != nil {
		s.Certificate = Certificate(*p.Certificate)
	}
	return d.putSettings(ctx, s)
}

func (d *Directory) provisionUser(ctx context.Context, u *config.User, c *credential) error {
	old := d.person(key(u.Address))
	if old == nil {
		if err := d.free(u.Address); err != nil {
			return err
		}
		return d.addUser(ctx, userRecord{Address: u.Address, Name: u.Name, Credential: *c, Admin: u.Admin}, int64(u.Quota))
	}
	r := old.userRecord
	r.Name, r.Admin = u.Name, u.Admin || old.Admin && d.lastAdmin(old)
	if c != nil {
		r.Credential = *c
	}
	if r.Name != old.Name || r.Admin != old.Admin || c != nil {
		if err := d.putUser(ctx, r, func(old *person) *person { return succeed(old, r) }); err != nil {
			return err
		}
	}
	q, err := d.cfg.Store.Quota(ctx, old.Account)
	if err != nil || q.LimitBytes == int64(u.Quota) {
		return err
	}
	q.LimitBytes = int64(u.Quota)
	return d.cfg.Store.SetQuota(context.WithoutCancel(ctx), old.Account, q)
}

func (d *Directory) provisionAlias(ctx context.Context, addr, target string) error {
	have, err := d.alias(addr)
	switch {
	case err != nil:
		if err := d.free(addr); err != nil {
			return err
		}
		have = aliasRecord{Address: addr, Created: d.cfg.Now().UTC()}
	case key(have.Target) == key(target):
		return nil
	}
	have.Target = target
	_, err = d.putAlias(ctx, have)
	return err
}

// provisionGroups adds the groups in an order in which members that are groups
// exist before the groups that name them. What is left at the end has a
// member that does not exist, or a loop: its error tells which.
func (d *Directory) provisionGroups(ctx context.Context, groups []config.Group) error {
	for len(groups) > 0 {
		var later []config.Group
		var first error
		for _, g := range groups {
			if err := d.provisionGroup(ctx, g); err != nil {
				later = append(later, g)
				if first == nil {
					first = fmt.Errorf("group %s: %w", g.Address, err)
				}
			}
		}
		if len(later) == len(groups) {
			return first
		}
		groups = later
	}
	return nil
}

func (d *Directory) provisionGroup(ctx context.Context, g config.Group) error {
	have, err := d.group(g.Address)
	if err != nil {
		if err := d.free(g.Address); err != nil {
			return err
		}
		have = groupRecord{Address: g.Address, Created: d.cfg.Now().UTC()}
	}
	members, err := d.members("members", g.Address, nil, g.Members)
	if err != nil || strings.Join(members, "\n") == strings.Join(have.Members, "\n") {
		return err
	}
	have.Members = members
	_, err = d.putGroup(ctx, have)
	return err
}

// provisionPostmaster makes the first person administrator where nobody is.
func (d *Directory) provisionPostmaster(ctx context.Context, users []config.User) error {
	d.mu.RLock()
	for _, p := range d.users {
		if p.Admin {
			d.mu.RUnlock()
			return nil
		}
	}
	d.mu.RUnlock()
	if len(users) == 0 {
		return nil
	}
	r := d.person(key(users[0].Address)).userRecord
	r.Admin = true
	return d.putUser(ctx, r, func(old *person) *person { return succeed(old, r) })
}

// Setup gives a fresh box its name, domain, administrator and first mailbox.
func (d *Directory) Setup(ctx context.Context, s mailapi.Setup) error {
	p, err := setupProvision(s)
	if err != nil {
		return err
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if d.SetupDone() {
		return wire.Conflict("the box is set up already")
	}
	if err := d.provision(ctx, p); err != nil {
		return err
	}
	d.cfg.Event(mailapi.LevelInfo, "the box was set up as "+p.Box.Hostname)
	return nil
}

// setupProvision is the provisioning that does what s asks, each field checked.
func setupProvision(s mailapi.Setup) (*config.Provision, error) {
	p := new(config.Provision)
	p.Domains = make([]config.Domain, 1)
	adminUser := config.User{Password: s.AdminPassword, Admin: true}
	for _, f := range []struct {
		name  string
		in    string
		out   *string
		check func(string) (string, error)
	}{
		{"hostname", s.Hostname, &p.Box.Hostname, config.Hostname},
		{"domain", s.Domain, &p.Domains[0].Name, config.DomainName},
		{"admin_address", s.AdminAddress, &adminUser.Address, config.Address},
	} {
		v, err := f.check(f.in)
		if err != nil {
			return nil, wire.Invalid(f.name, "%v", err)
		}
		*f.out = v
	}
	if s.Timezone != "" {
		tz, err := config.Timezone(s.Timezone)
		if err != nil {
			return nil, wire.Invalid("timezone", "%v", err)
		}
		p.Box.Timezone = tz
	}
	if err := password.Check(s.AdminPassword, adminUser.Address); err != nil {
		return nil, wire.Invalid("admin_password", "%v", err)
	}
	p.Box.AdminPassword = s.AdminPassword
	if domainOf(adminUser.Address) != p.Domains[0].Name {
		return nil, wire.Invalid("admin_address", "must be in the domain %s", p.Domains[0].Name)
	}
	if s.Certificate != nil {
		if s.Certificate.Mode == mailapi.CertificateImported {
			return nil, wire.Invalid("certificate.mode", "must be one of own, acme")
		}
		c, err := certificate("certificate.", *s.Certificate)
		if err != nil {
			return nil, err
		}
		out := config.Certificate(c)
		p.Certificate = &out
	}
	if s.FirstUser == nil {
		p.Users = []config.User{adminUser}
		return p, nil
	}
	first, err := setupUser(s.FirstUser, p.Domains[0].Name)
	if err != nil {
		return nil, err
	}
	if first.Address == adminUser.Address {
		first.Admin = true
		p.Users = []config.User{first}
	} else {
		p.Users = []config.User{adminUser, first}
	}
	return p, nil
}

func setupUser(u *mailapi.FirstUser, domain string) (config.User, error) {
	address, err := config.Address(u.Address)
	if err != nil {
		return config.User{}, wire.Invalid("first_user.address", "%v", err)
	}
	if domainOf(address) != domain {
		return config.User{}, wire.Invalid("first_user.address", "must be in the domain %s", domain)
	}
	name, err := config.PersonName(u.Name)
	if err != nil {
		return config.User{}, wire.Invalid("first_user.name", "%v", err)
	}
	if err := password.Check(u.Password, address); err != nil {
		return config.User{}, wire.Invalid("first_user.password", "%v", err)
	}
	return config.User{Address: address, Name: name, Password: u.Password}, nil
}
