package account

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/config"
	"pillarbox/appliance/config/password"
	"pillarbox/appliance/store/store"
)

// Users lists the people, by address.
func (d *Directory) Users(ctx context.Context) ([]mailapi.User, error) {
	d.mu.RLock()
	list := make([]mailapi.User, 0, len(d.users))
	ids := make([]store.AccountID, 0, len(d.users))
	aliases := d.aliasesByTarget()
	for _, k := range slices.Sorted(maps.Keys(d.users)) {
		p := d.users[k]
		list = append(list, p.show(aliases[k]))
		ids = append(ids, p.Account)
	}
	d.mu.RUnlock()
	for i := range list {
		if err := d.addQuota(ctx, &list[i], ids[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// User shows one person.
func (d *Directory) User(ctx context.Context, address string) (*mailapi.User, error) {
	k := key(address)
	d.mu.RLock()
	p := d.users[k]
	if p == nil {
		d.mu.RUnlock()
		return nil, noUser(address)
	}
	u := p.show(d.aliasesByTarget()[k])
	d.mu.RUnlock()
	if err := d.addQuota(ctx, &u, p.Account); err != nil {
		return nil, err
	}
	return &u, nil
}

func noUser(address string) error { return wire.NotFound("nobody has the address %s", address) }

func (p *person) show(aliases []string) mailapi.User {
	return mailapi.User{Address: p.Address, Name: p.Name, Admin: p.Admin, Disabled: p.Disabled, Aliases: aliases, Created: p.Created}
}

// aliasesByTarget gives the aliases of each address, sorted. d.mu is held.
func (d *Directory) aliasesByTarget() map[string][]string {
	m := make(map[string][]string)
	for _, k := range slices.Sorted(maps.Keys(d.aliases)) {
		a := d.aliases[k]
		target := key(a.Target)
		m[target] = append(m[target], a.Address)
	}
	return m
}

// addQuota adds the figures of an account. One that is gone has none: its person
// was removed a moment ago.
func (d *Directory) addQuota(ctx context.Context, u *mailapi.User, id store.AccountID) error {
	q, err := d.cfg.Store.Quota(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("account: quota of %s: %w", u.Address, err)
	}
	u.Quota, u.Used, u.Messages, u.MessageLimit = q.LimitBytes, q.Bytes, q.Messages, q.LimitMessages
	return nil
}

// AddUser makes a person with a mailbox.
func (d *Directory) AddUser(ctx context.Context, in mailapi.NewUser) (*mailapi.User, error) {
	address, err := config.Address(in.Address)
	if err != nil {
		return nil, wire.Invalid("address", "%v", err)
	}
	name, err := config.PersonName(in.Name)
	if err != nil {
		return nil, wire.Invalid("name", "%v", err)
	}
	if in.Quota < 0 {
		return nil, wire.Invalid("quota", "must not be negative")
	}
	c, err := d.newCredential(ctx, address, in.Password, in.PasswordHash, nil)
	if err != nil {
		return nil, err
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.free(address); err != nil {
		return nil, err
	}
	if err := d.addUser(ctx, userRecord{Address: address, Name: name, Credential: c, Admin: in.Admin}, in.Quota); err != nil {
		return nil, err
	}
	return d.User(ctx, address)
}

// addUser makes the account and the person r in one commit. changing is held,
// the address is free.
func (d *Directory) addUser(ctx context.Context, r userRecord, quota int64) error {
	r.Created = d.cfg.Now().UTC()
	k := key(r.Address)
	add := func() { d.users[k] = succeed(nil, r) }
	err := d.make(ctx, add, func(ctx context.Context) error {
		var perr error
		id, err := d.cfg.Store.CreateAccount(ctx, store.Quota{LimitBytes: quota}, func(id store.AccountID) []store.DocOp {
			r.Account = id
			var op store.DocOp
			if op, perr = put(store.TableUser, k, r); perr != nil {
				return nil
			}
			op.IfRev = store.IfAbsent
			return []store.DocOp{op}
		})
		r.Account = id
		if perr != nil {
			return perr
		}
		return err
	})
	if err == nil {
		d.cfg.Event(mailapi.LevelInfo, "mailbox "+r.Address+" was created")
	}
	return err
}

// newCredential makes a credential of a password that is strong enough, or of
// its hash. salt is that of hasher.make.
func (d *Directory) newCredential(ctx context.Context, login, pw, hash string, salt []byte) (credential, error) {
	switch {
	case pw != "" && hash != "":
		return credential{}, wire.Invalid("password", "and password_hash must not both be given")
	case pw == "" && hash == "":
		return credential{}, wire.Invalid("password", "is missing")
	case hash != "":
		h, err := password.Parse(hash)
		if err != nil {
			return credential{}, wire.Invalid("password_hash", "must be an argon2id hash")
		}
		return credential{Password: h.String()}, nil
	}
	if err := password.Check(pw, login); err != nil {
		return credential{}, wire.Invalid("password", "%v", err)
	}
	if _, ok := parseAppPassword(pw); ok {
		return credential{}, wire.Invalid("password", "looks like an app password, which is for one mail program alone")
	}
	return d.hasher.make(ctx, pw, salt)
}

// free reports why address, in normal form, cannot be given to anything new.
func (d *Directory) free(address string) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if _, ok := d.domains[domainOf(address)]; !ok {
		return wire.Invalid("address", "is in %s, which is not one of this box's domains", domainOf(address))
	}
	if what := d.taken(key(address)); what != "" {
		return wire.Conflict("%s is %s already", address, what)
	}
	return nil
}

// taken says what has an address: "a person", "an alias", "a group" or "". d.mu is held.
func (d *Directory) taken(k string) string {
	if d.users[k] != nil {
		return "a person"
	}
	if _, ok := d.aliases[k]; ok {
		return "an alias"
	}
	if _, ok := d.groups[k]; ok {
		return "a group"
	}
	return ""
}

// ChangeUser changes what is set in c.
func (d *Directory) ChangeUser(ctx context.Context, address string, c mailapi.UserChange) (*mailapi.User, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	p := d.person(key(address))
	if p == nil {
		return nil, noUser(address)
	}
	r := p.userRecord
	if c.Name != nil {
		name, err := config.PersonName(*c.Name)
		if err != nil {
			return nil, wire.Invalid("name", "%v", err)
		}
		r.Name = name
	}
	if c.Admin != nil {
		if !*c.Admin && d.lastAdmin(p) {
			return nil, needsPostmaster()
		}
		r.Admin = *c.Admin
	}
	if c.Disabled != nil {
		r.Disabled = *c.Disabled
	}
	if c.Quota != nil || c.MessageLimit != nil {
		switch {
		case c.Quota != nil && *c.Quota < 0:
			return nil, wire.Invalid("quota", "must not be negative")
		case c.MessageLimit != nil && *c.MessageLimit < 0:
			return nil, wire.Invalid("message_limit", "must not be negative")
		}
		q, err := d.cfg.Store.Quota(ctx, p.Account)
		if err != nil {
			return nil, fmt.Errorf("account: quota: %w", err)
		}
		set(c.Quota, &q.LimitBytes)
		set(c.MessageLimit, &q.LimitMessages)
		if err := d.cfg.Store.SetQuota(context.WithoutCancel(ctx), p.Account, q); err != nil {
			return nil, fmt.Errorf("account: quota: %w", err)
		}
	}
	if r.Name != p.Name || r.Admin != p.Admin || r.Disabled != p.Disabled {
		if err := d.putUser(ctx, r, func(old *person) *person { return succeed(old, r) }); err != nil {
			return nil, err
		}
	}
	return d.User(ctx, address)
}

// putUser writes a person who exists; replace makes the one in memory. changing is held.
func (d *Directory) putUser(ctx context.Context, r userRecord, replace func(old *person) *person) error {
	k := key(r.Address)
	op, err := put(store.TableUser, k, r)
	if err != nil {
		return err
	}
	return d.commit(ctx, func() { d.users[k] = replace(d.users[k]) }, op)
}

func needsPostmaster() error {
	return wire.Conflict("somebody has to receive mail for postmaster: let another mailbox get it first")
}

// lastAdmin reports whether p is the only administrator.
func (d *Directory) lastAdmin(p *person) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !p.Admin {
		return false
	}
	for _, other := range d.users {
		if other.Admin && other.Address != p.Address {
			return false
		}
	}
	return true
}

// SetPassword gives a person a new password. Sessions end; app passwords stay.
func (d *Directory) SetPassword(ctx context.Context, address string, in mailapi.Password) error {
	p := d.person(key(address))
	if p == nil {
		return noUser(address)
	}
	c, err := d.newCredential(ctx, address, in.Password, "", p.scramSalt())
	if err != nil {
		return err
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if p = d.person(key(address)); p == nil {
		return noUser(address)
	}
	r := p.userRecord
	r.Credential = c
	if err := d.putUser(ctx, r, func(old *person) *person { return succeed(old, r) }); err != nil {
		return err
	}
	d.cfg.Event(mailapi.LevelInfo, "password of "+r.Address+" was changed")
	return nil
}

// RemoveUser removes a person with all mail, the aliases that lead to the
// person alone, and the places in groups.
func (d *Directory) RemoveUser(ctx context.Context, address string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	k := key(address)
	p := d.person(k)
	if p == nil {
		return noUser(address)
	}
	if d.lastAdmin(p) {
		return needsPostmaster()
	}
	ops := []store.DocOp{remove(store.TableUser, k)}
	d.mu.RLock()
	var aliases []string
	for ak, a := range d.aliases {
		if key(a.Target) == k {
			aliases = append(aliases, ak)
			ops = append(ops, remove(store.TableAlias, ak))
		}
	}
	groups := make(map[string]groupRecord)
	for gk, g := range d.groups {
		left := without(g.Members, []string{k})
		if len(left) == len(g.Members) {
			continue
		}
		g.Members = left
		groups[gk] = g
	}
	d.mu.RUnlock()
	for gk, g := range groups {
		op, err := put(store.TableGroup, gk, g)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	apply := func() {
		close(d.users[k].revoked)
		delete(d.users, k)
		for _, a := range aliases {
			delete(d.aliases, a)
		}
		maps.Copy(d.groups, groups)
	}
	err := d.make(ctx, apply, func(ctx context.Context) error { return d.cfg.Store.DeleteAccount(ctx, p.Account, ops) })
	if err != nil {
		return err
	}
	d.cfg.Event(mailapi.LevelWarn, "mailbox "+p.Address+" was removed with all its mail")
	return nil
}

// without is list without the addresses whose keys are in keys.
func without(list, keys []string) []string {
	var left []string
	for _, m := range list {
		if !slices.Contains(keys, key(m)) {
			left = append(left, m)
		}
	}
	return left
}

// Account gives the account of a person, for tools that work on a mailbox.
func (d *Directory) Account(address string) (store.AccountID, error) {
	p := d.person(key(strings.TrimSpace(address)))
	if p == nil {
		return 0, noUser(address)
	}
	return p.Account, nil
}

// AddressOf gives the address of the person whose account it is.
func (d *Directory) AddressOf(id store.AccountID) (string, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, p := range d.users {
		if p.Account == id {
			return p.Address, true
		}
	}
	return "", false
}
