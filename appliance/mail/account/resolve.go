package account

import (
	"context"
	"maps"
	"slices"

	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/store/store"
)

const (
	// detailSeparator parts a person's address from its detail (RFC 5233), as
	// in ann+lists@example.org.
	detailSeparator = '+'
	// maxDepth is how many aliases and groups may lead to one another. People
	// build two or three levels; what is deeper is a mistake.
	maxDepth = 10
	// maxExpansion bounds what is read together for one address, where groups
	// are members of groups. It is more than store.MaxCopies: delivery refuses
	// what stands for that many, and the sender hears of it.
	maxExpansion = 10_000
)

// Resolution is what an address stands for.
type Resolution struct {
	Hosted    bool              // its domain is one of ours
	Known     bool              // and the address exists
	Mailboxes []store.AccountID // whose mailboxes it leads to, each once
	Forward   []string          // addresses elsewhere it leads to, each once
	Detail    string            // of a subaddress (RFC 5233)
	TooMuch   bool              // it stands for more than is followed: the lists are not all
}

// Resolve says what an address stands for. Aliases and groups are followed to
// the end; members that no longer exist and loops are passed over. It reads
// memory alone.
func (d *Directory) Resolve(ctx context.Context, addr string) (Resolution, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	x := expansion{d: d, seen: make(map[string]bool)}
	a, err := address.Parse(addr)
	if err != nil {
		a = address.Address{Local: addr} // <Postmaster> without a domain, or nobody's
	}
	if _, hosted := d.domains[a.Domain]; !hosted {
		// RFC 5321 section 4.5.1: the server itself has a postmaster, too. By its
		// name it is known to other servers, and to who got a report from it.
		if local := (address.Address{Local: a.Local}); !local.IsBarePostmaster() || a.Domain != "" && a.Domain != d.settings.Hostname {
			return Resolution{}, nil
		}
		known := x.addPostmasters(0)
		return Resolution{Hosted: true, Known: known, Mailboxes: x.mailboxes}, nil
	}
	r := Resolution{Hosted: true}
	r.Known = x.add(a, 0)
	if base, detail := a.SplitDetail(detailSeparator); !r.Known && detail != "" {
		r.Known, r.Detail = x.add(base, 0), detail
	}
	r.Mailboxes, r.Forward, r.TooMuch = x.mailboxes, x.forward, x.tooMuch
	return r, nil
}

// expansion collects what an address leads to.
type expansion struct {
	d         *Directory
	seen      map[string]bool
	mailboxes []store.AccountID
	forward   []string
	tooMuch   bool
}

// add follows one address and reports whether it exists. d.mu is held.
func (x *expansion) add(a address.Address, depth int) bool {
	k := a.Key()
	if x.seen[k] {
		return true
	}
	if depth > maxDepth || len(x.seen) >= maxExpansion {
		x.tooMuch = true
		return true
	}
	if _, hosted := x.d.domains[a.Domain]; !hosted {
		x.seen[k] = true
		x.forward = append(x.forward, a.String())
		return true
	}
	if p := x.d.users[k]; p != nil {
		x.seen[k] = true
		x.mailboxes = append(x.mailboxes, p.Account)
		return true
	}
	if r, ok := x.d.aliases[k]; ok {
		x.seen[k] = true
		x.follow(r.Target, depth)
		return true
	}
	if r, ok := x.d.groups[k]; ok {
		x.seen[k] = true
		for _, m := range r.Members {
			x.follow(m, depth)
		}
		return true
	}
	// RFC 5321 section 4.5.1: every domain has a postmaster.
	if bare := (address.Address{Local: a.Local}); bare.IsBarePostmaster() {
		x.seen[k] = true
		return x.addPostmasters(depth)
	}
	return false
}

// addPostmasters follows the addresses of all administrators.
func (x *expansion) addPostmasters(depth int) bool {
	found := false
	for _, k := range slices.Sorted(maps.Keys(x.d.users)) {
		if p := x.d.users[k]; p.Admin {
			x.follow(p.Address, depth)
			found = true
		}
	}
	return found
}

// follow adds a target or member, its detail (RFC 5233) included.
func (x *expansion) follow(target string, depth int) {
	a, err := address.Parse(target)
	if err != nil {
		return
	}
	if !x.add(a, depth+1) {
		if base, detail := a.SplitDetail(detailSeparator); detail != "" {
			x.add(base, depth+1)
		}
	}
}

// SenderAllowed reports whether the person with the address user may send as
// from: the own address, with or without detail, an alias of it, and for an
// administrator postmaster. Everybody may send with the null reverse-path,
// which notifications of reading have (RFC 8098 section 3).
func (d *Directory) SenderAllowed(ctx context.Context, user, from string) (bool, error) {
	if from == "" {
		return true, nil
	}
	a, err := address.Parse(from)
	if err != nil {
		return false, nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	p := d.users[key(user)]
	if p == nil {
		return false, nil
	}
	if d.leadsTo(a, p) {
		return true, nil
	}
	_, hosted := d.domains[a.Domain]
	bare := address.Address{Local: a.Local}
	return hosted && p.Admin && bare.IsBarePostmaster(), nil
}

// leadsTo reports whether a is p's address or an alias that ends there, a
// detail on the way included. d.mu is held.
func (d *Directory) leadsTo(a address.Address, p *person) bool {
	for range maxDepth {
		k := a.Key()
		if d.users[k] == p {
			return true
		}
		if r, ok := d.aliases[k]; ok {
			target, err := address.Parse(r.Target)
			if err != nil {
				return false
			}
			a = target
			continue
		}
		base, detail := a.SplitDetail(detailSeparator)
		if detail == "" {
			return false
		}
		a = base
	}
	return false
}
