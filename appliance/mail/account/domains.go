package account

import (
	"context"
	"maps"
	"slices"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/config"
	"pillarbox/appliance/store/store"
)

// Domains lists the hosted domains, by name.
func (d *Directory) Domains(ctx context.Context) ([]mailapi.Domain, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	people := make(map[string]int)
	for _, p := range d.users {
		people[domainOf(p.Address)]++
	}
	list := make([]mailapi.Domain, 0, len(d.domains))
	for _, name := range slices.Sorted(maps.Keys(d.domains)) {
		list = append(list, mailapi.Domain{Name: name, Created: d.domains[name].Created, Users: people[name]})
	}
	return list, nil
}

// DomainNames are the names of the hosted domains, sorted.
func (d *Directory) DomainNames() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Sorted(maps.Keys(d.domains))
}

// AddDomain makes a domain hosted.
func (d *Directory) AddDomain(ctx context.Context, in mailapi.Domain) (*mailapi.Domain, error) {
	name, err := config.DomainName(in.Name)
	if err != nil {
		return nil, wire.Invalid("name", "%v", err)
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if d.hosted(name) {
		return nil, wire.Conflict("%s is one of the domains already", name)
	}
	if err := d.addDomain(ctx, name); err != nil {
		return nil, err
	}
	d.cfg.Changed()
	return &mailapi.Domain{Name: name, Created: d.domains[name].Created}, nil
}

// addDomain adds a domain that is not there. changing is held.
func (d *Directory) addDomain(ctx context.Context, name string) error {
	r := domainRecord{Created: d.cfg.Now().UTC()}
	op, err := put(store.TableDomain, name, r)
	if err != nil {
		return err
	}
	op.IfRev = store.IfAbsent
	if err := d.commit(ctx, func() { d.domains[name] = r }, op); err != nil {
		return err
	}
	d.cfg.Event(mailapi.LevelInfo, "domain "+name+" was added")
	return nil
}

func (d *Directory) hosted(name string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, ok := d.domains[name]
	return ok
}

// RemoveDomain makes a domain foreign. It is refused while addresses in it exist.
func (d *Directory) RemoveDomain(ctx context.Context, name string) error {
	given := name
	name, err := config.DomainName(name)
	if err != nil {
		return wire.NotFound("%s is not one of the domains", given)
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if !d.hosted(name) {
		return wire.NotFound("%s is not one of the domains", name)
	}
	if n := d.addressesIn(name); n > 0 {
		return wire.Conflict("%s still has %d addresses: remove its people, aliases and groups first", name, n)
	}
	if err := d.commit(ctx, func() { delete(d.domains, name) }, remove(store.TableDomain, name)); err != nil {
		return err
	}
	d.cfg.Event(mailapi.LevelWarn, "domain "+name+" was removed")
	d.cfg.Changed()
	return nil
}

func (d *Directory) addressesIn(domain string) int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	n := 0
	count := func(addr string) {
		if domainOf(addr) == domain {
			n++
		}
	}
	for _, p := range d.users {
		count(p.Address)
	}
	for _, a := range d.aliases {
		count(a.Address)
	}
	for _, g := range d.groups {
		count(g.Address)
	}
	return n
}
