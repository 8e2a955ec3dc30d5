package account

import (
	"context"
	"maps"
	"slices"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/config"
	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/store/store"
)

// Aliases lists the aliases, by address.
func (d *Directory) Aliases(ctx context.Context) ([]mailapi.Alias, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]mailapi.Alias, 0, len(d.aliases))
	for _, k := range slices.Sorted(maps.Keys(d.aliases)) {
		list = append(list, *d.aliases[k].show())
	}
	return list, nil
}

func (r aliasRecord) show() *mailapi.Alias {
	return &mailapi.Alias{Address: r.Address, Target: r.Target, Created: r.Created}
}

// AddAlias makes another address for a person, a group, or somebody elsewhere.
func (d *Directory) AddAlias(ctx context.Context, in mailapi.Alias) (*mailapi.Alias, error) {
	addr, err := config.Address(in.Address)
	if err != nil {
		return nil, wire.Invalid("address", "%v", err)
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.free(addr); err != nil {
		return nil, err
	}
	r := aliasRecord{Address: addr, Target: in.Target, Created: d.cfg.Now().UTC()}
	if r.Target, err = d.target("target", addr, in.Target); err != nil {
		return nil, err
	}
	return d.putAlias(ctx, r)
}

// putAlias writes an alias. changing is held.
func (d *Directory) putAlias(ctx context.Context, r aliasRecord) (*mailapi.Alias, error) {
	k := key(r.Address)
	op, err := put(store.TableAlias, k, r)
	if err != nil {
		return nil, err
	}
	if err := d.commit(ctx, func() { d.aliases[k] = r }, op); err != nil {
		return nil, err
	}
	return r.show(), nil
}

// target checks where an alias or a group at addr may lead: to what exists
// here or lies elsewhere, and not back to itself.
func (d *Directory) target(field, addr, target string) (string, error) {
	t, err := config.Member(target)
	if err != nil {
		return "", wire.Invalid(field, "%v", err)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	a, err := address.Parse(t)
	if err != nil {
		return "", wire.Invalid(field, "must be an address such as ann@example.org")
	}
	if _, hosted := d.domains[a.Domain]; !hosted {
		return t, nil
	}
	base, _ := a.SplitDetail(detailSeparator)
	if d.taken(a.Key()) == "" && d.taken(base.Key()) == "" {
		return "", wire.Invalid(field, "must exist: nobody has the address %s", t)
	}
	if d.reaches(base.Key(), key(addr), maxDepth) {
		return "", wire.Invalid(field, "leads back to %s", addr)
	}
	return a.Key(), nil
}

// reaches reports whether mail to from comes to the address to. d.mu is held.
func (d *Directory) reaches(from, to string, depth int) bool {
	if from == to {
		return true
	}
	if depth == 0 {
		return false
	}
	if a, ok := d.aliases[from]; ok {
		return d.reaches(key(a.Target), to, depth-1)
	}
	for _, m := range d.groups[from].Members {
		if d.reaches(key(m), to, depth-1) {
			return true
		}
	}
	return false
}

// ChangeAlias changes what is set in c.
func (d *Directory) ChangeAlias(ctx context.Context, addr string, c mailapi.AliasChange) (*mailapi.Alias, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	r, err := d.alias(addr)
	if err != nil || c.Target == nil {
		return r.show(), err
	}
	if r.Target, err = d.target("target", r.Address, *c.Target); err != nil {
		return nil, err
	}
	return d.putAlias(ctx, r)
}

func (d *Directory) alias(addr string) (aliasRecord, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	r, ok := d.aliases[key(addr)]
	if !ok {
		return r, wire.NotFound("%s is not an alias", addr)
	}
	return r, nil
}

// RemoveAlias removes an alias.
func (d *Directory) RemoveAlias(ctx context.Context, addr string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	if _, err := d.alias(addr); err != nil {
		return err
	}
	k := key(addr)
	return d.commit(ctx, func() { delete(d.aliases, k) }, remove(store.TableAlias, k))
}
