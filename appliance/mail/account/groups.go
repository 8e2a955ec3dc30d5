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

// Groups lists the groups, by address.
func (d *Directory) Groups(ctx context.Context) ([]mailapi.Group, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]mailapi.Group, 0, len(d.groups))
	for _, k := range slices.Sorted(maps.Keys(d.groups)) {
		list = append(list, *d.groups[k].show())
	}
	return list, nil
}

func (r groupRecord) show() *mailapi.Group {
	return &mailapi.Group{Address: r.Address, Members: append([]string{}, r.Members...), Created: r.Created}
}

// AddGroup makes an address that stands for several.
func (d *Directory) AddGroup(ctx context.Context, in mailapi.Group) (*mailapi.Group, error) {
	addr, err := config.Address(in.Address)
	if err != nil {
		return nil, wire.Invalid("address", "%v", err)
	}
	if len(in.Members) == 0 {
		return nil, wire.Invalid("members", "must name at least one address")
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.free(addr); err != nil {
		return nil, err
	}
	r := groupRecord{Address: addr, Created: d.cfg.Now().UTC()}
	if r.Members, err = d.members("members", addr, nil, in.Members); err != nil {
		return nil, err
	}
	return d.putGroup(ctx, r)
}

// putGroup writes a group. changing is held.
func (d *Directory) putGroup(ctx context.Context, r groupRecord) (*mailapi.Group, error) {
	if len(r.Members) > store.MaxCopies { // no message to more could be delivered
		return nil, wire.Invalid("members", "must be at most %d", store.MaxCopies)
	}
	k := key(r.Address)
	op, err := put(store.TableGroup, k, r)
	if err != nil {
		return nil, err
	}
	if err := d.commit(ctx, func() { d.groups[k] = r }, op); err != nil {
		return nil, err
	}
	return r.show(), nil
}

// members checks members to add to those that a group at addr has, each once.
func (d *Directory) members(field, addr string, have, add []string) ([]string, error) {
	seen := make(map[string]bool, len(have)+len(add))
	for _, m := range have {
		seen[key(m)] = true
	}
	list := slices.Clone(have)
	for _, m := range add {
		t, err := d.target(field, addr, m)
		if err != nil {
			return nil, err
		}
		if k := key(t); !seen[k] {
			seen[k] = true
			list = append(list, t)
		}
	}
	return list, nil
}

// ChangeGroup changes what is set in c.
func (d *Directory) ChangeGroup(ctx context.Context, addr string, c mailapi.GroupChange) (*mailapi.Group, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	r, err := d.group(addr)
	if err != nil {
		return nil, err
	}
	if len(c.Members) > 0 {
		if r.Members, err = d.members("members", r.Address, nil, c.Members); err != nil {
			return nil, err
		}
	}
	var gone []string
	for _, m := range c.Remove {
		gone = append(gone, key(m))
	}
	r.Members = without(r.Members, gone)
	if r.Members, err = d.members("add", r.Address, r.Members, c.Add); err != nil {
		return nil, err
	}
	if len(r.Members) == 0 {
		return nil, wire.Invalid("members", "must name at least one address; remove the group instead")
	}
	return d.putGroup(ctx, r)
}

func (d *Directory) group(addr string) (groupRecord, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	r, ok := d.groups[key(addr)]
	if !ok {
		return r, wire.NotFound("%s is not a group", addr)
	}
	return r, nil
}

// RemoveGroup removes a group. Its members stay.
func (d *Directory) RemoveGroup(ctx context.Context, addr string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	if _, err := d.group(addr); err != nil {
		return err
	}
	k := key(addr)
	return d.commit(ctx, func() { delete(d.groups, k) }, remove(store.TableGroup, k))
}
