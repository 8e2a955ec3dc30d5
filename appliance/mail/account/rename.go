package account

import (
	"context"
	"errors"
	"maps"
	"slices"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/config"
	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/store/store"
)

// ChangeDomain gives a domain another name, and every address in it with it:
// people keep their mail, passwords and shared mailboxes, and log in by their
// new address. Sessions end. Mail for the old name is not taken any more,
// unless c.Keep has the old addresses lead to the new ones. It is all one
// change, and refused where that is too large, with a thousand people or more.
func (d *Directory) ChangeDomain(ctx context.Context, name string, c mailapi.DomainChange) (*mailapi.Domain, error) {
	to, err := config.DomainName(c.Name)
	if err != nil {
		return nil, wire.Invalid("name", "%v", err)
	}
	from, err := config.DomainName(name)
	if err != nil {
		return nil, wire.NotFound("%s is not one of the domains", name)
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if !d.hosted(from) {
		return nil, wire.NotFound("%s is not one of the domains", from)
	}
	if d.hosted(to) {
		return nil, wire.Conflict("%s is one of the domains already", to)
	}
	ops, err := d.rename(from, to, c.Keep)
	if err != nil {
		return nil, err
	}
	// What was written is read anew: nearly all of the directory may have changed.
	if err := d.commit(ctx, func() {}, ops...); errors.Is(err, store.ErrTooMany) {
		return nil, wire.Conflict("%s has too many people, aliases and groups to be renamed at once; nothing was changed: add %s as another domain instead", from, to)
	} else if err != nil {
		return nil, err
	}
	if err := d.load(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	d.cfg.Event(mailapi.LevelWarn, "domain "+from+" was renamed to "+to)
	d.cfg.Changed()
	return &mailapi.Domain{Name: to, Created: d.domains[to].Created}, nil
}

// rename lists the documents that change with a domain's name. Nothing can
// have an address in the new domain yet. changing is held.
func (d *Directory) rename(from, to string, keep bool) ([]store.DocOp, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var ops []store.DocOp
	// write puts a record in the place of the one that is kept under old.
	write := func(t store.Table, old, addr string, record any) error {
		op, err := put(t, key(addr), record)
		if err != nil {
			return err
		}
		if op.Key == old {
			ops = append(ops, op)
			return nil
		}
		op.IfRev = store.IfAbsent
		ops = append(ops, remove(t, old), op)
		if !keep {
			return nil
		}
		if op, err = put(store.TableAlias, old, aliasRecord{Address: old, Target: key(addr), Created: d.cfg.Now().UTC()}); err != nil {
			return err
		}
		ops = append(ops, op)
		return nil
	}

	op, err := put(store.TableDomain, to, d.domains[from])
	if err != nil {
		return nil, err
	}
	op.IfRev = store.IfAbsent
	if ops = append(ops, op); !keep {
		ops = append(ops, remove(store.TableDomain, from))
	}
	for _, k := range slices.Sorted(maps.Keys(d.users)) {
		r := d.users[k].userRecord
		if r.Address = moved(r.Address, from, to); key(r.Address) == k {
			continue
		}
		if err := write(store.TableUser, k, r.Address, r); err != nil {
			return nil, err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(d.aliases)) {
		r := d.aliases[k]
		r.Address, r.Target = moved(r.Address, from, to), moved(r.Target, from, to)
		switch {
		case r == d.aliases[k]:
			continue
		case key(r.Address) == key(r.Target): // it led to where the name comes from
			return nil, wire.Conflict("the alias %s would lead to itself: remove it first", d.aliases[k].Address)
		}
		if err := write(store.TableAlias, k, r.Address, r); err != nil {
			return nil, err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(d.groups)) {
		r := d.groups[k]
		r.Address, r.Members = moved(r.Address, from, to), slices.Clone(r.Members)
		for i, m := range r.Members {
			r.Members[i] = moved(m, from, to)
		}
		if r.Address == d.groups[k].Address && slices.Equal(r.Members, d.groups[k].Members) {
			continue
		}
		if err := write(store.TableGroup, k, r.Address, r); err != nil {
			return nil, err
		}
	}
	return ops, nil
}

// moved is an address with the domain to in place of from; others stay.
func moved(addr, from, to string) string {
	a, err := address.Parse(addr)
	if err != nil || a.Domain != from {
		return addr
	}
	a.Domain = to
	return a.String()
}
