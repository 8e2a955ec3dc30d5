package netcfg

import (
	"cmp"
	"context"
	"math"
	"net/netip"
	"slices"
	"time"

	"pillarbox/appliance/api/boxapi"
)

// listenAgain is the pause before listening for routers again: an interface has no
// address of its own to listen on for a second or two after it was turned on.
const listenAgain = 2 * time.Second

// byDHCP6 says what DHCPv6 is asked for.
type byDHCP6 int

const (
	nothing  byDHCP6 = iota
	whatElse         // name servers and the like
	anAddress
)

// runIPv6 does what the kernel leaves to programs: it keeps what routers say of
// name servers, and asks by DHCPv6 for what they say is to be had there.
func (p *port) runIPv6(ctx context.Context) {
	wish := make(chan byDHCP6, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.followWish(ctx, wish)
	}()
	for ctx.Err() == nil {
		err := p.m.Routers(ctx, p.link.Name, func(a Advertisement) {
			p.hear(a)
			if p.by.mode == boxapi.ModeStatic {
				return
			}
			w := p.wished(time.Now())
			select {
			case <-wish:
			default:
			}
			wish <- w
		})
		if err != nil && ctx.Err() == nil {
			p.m.Log.Debug("listening for routers", "interface", p.link.Name, "error", err)
		}
		sleep(ctx, listenAgain)
	}
	<-ended
}

// flagsHold is for how long a router's word counts that something is to be had by
// DHCPv6: they speak every half hour at least (RFC 4861 section 6.2.1).
const flagsHold = time.Hour

// wished is what the routers say that is to be had by DHCPv6. Of several the one that
// offers most counts: another, which knows of nothing, does not take that back.
func (p *port) wished(now time.Time) (w byDHCP6) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.routers {
		switch {
		case now.Sub(a.heard) >= flagsHold:
		case a.Managed:
			w = anAddress
		case a.Other:
			w = max(w, whatElse)
		}
	}
	return w
}

// followWish runs the client for what is wished, one at a time.
func (p *port) followWish(ctx context.Context, wishes <-chan byDHCP6) {
	now, stop := nothing, func() {}
	defer func() { stop() }()
	for {
		select {
		case w := <-wishes:
			if w == now {
				continue
			}
			stop()
			now = w
			if w == nothing {
				stop = func() {}
				continue
			}
			call, cancel := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				p.runDHCP6(call, w == anAddress)
			}()
			stop = func() {
				cancel()
				<-done
				if ctx.Err() == nil { // what is configured stays when the port ends
					p.lose6()
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

func (p *port) runDHCP6(ctx context.Context, managed bool) {
	loop := &leaseLoop{
		x:    p.m.DHCP6(p.link, managed),
		back: p.back6,
		log:  p.m.Log.With("interface", p.link.Name, "by", "DHCPv6"),
		free: func(context.Context, *Lease) error { return nil }, // the kernel looks, when it has it
		bound: func(l *Lease) error {
			return p.bind6(ctx, l)
		},
		lost:  p.lose6,
		fault: p.setFault6,
	}
	loop.run(ctx)
}

// longest6 stands for a lease without an end.
const longest6 = math.MaxInt32 * time.Second

// bind6 puts a lease of DHCPv6 to use.
func (p *port) bind6(ctx context.Context, l *Lease) error {
	if l.Address.IsValid() {
		// One for ever would be taken for one that is fixed, which goes when the
		// interface gets its address of IPv4.
		valid := cmp.Or(l.setup().Valid, longest6)
		if err := p.m.Kernel.AddAddress6(ctx, p.link.Index, l.Address, valid); err != nil {
			return err
		}
	}
	p.mu.Lock()
	fresh := p.leased6 == nil || p.leased6.Address != l.Address
	p.leased6 = l
	p.mu.Unlock()
	if fresh {
		p.m.Log.Info("address", "interface", p.link.Name, "address", l.Address.String(), "by", "DHCPv6")
	}
	p.m.changed()
	return nil
}

// setFault6 notes what is wrong with DHCPv6; it is told of where no other address of
// IPv6 is there.
func (p *port) setFault6(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault6 = err
}

func (p *port) lose6() {
	p.mu.Lock()
	l := p.leased6
	p.leased6, p.fault6 = nil, nil
	p.mu.Unlock()
	if l != nil && l.Address.IsValid() {
		if err := p.m.Kernel.RemoveAddress(p.link.Index, l.Address); err != nil {
			p.m.Log.Warn("take away an address", "interface", p.link.Name, "error", err)
		}
	}
	p.m.changed()
}

// hear keeps what a router says.
func (p *port) hear(a Advertisement) {
	p.mu.Lock()
	i := slices.IndexFunc(p.routers, func(x Advertisement) bool { return x.Router == a.Router })
	if i < 0 {
		p.routers = append(p.routers, a)
	} else {
		p.routers[i] = a
	}
	if len(p.routers) > maxRouters {
		p.routers = slices.Delete(p.routers, 0, 1)
	}
	p.mu.Unlock()
	p.m.changed()
}

// maxRouters bounds how many routers of one network are remembered.
const maxRouters = 16

// names are the name servers and search domains that DHCPv4, DHCPv6 and routers
// tell of, in this order.
func (p *port) names() (servers []netip.Addr, search []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range []*Lease{p.leased, p.leased6} {
		if l != nil {
			servers, search = append(servers, l.DNS...), append(search, l.Search...)
		}
	}
	now := time.Now()
	for _, a := range p.routers {
		servers, search = append(servers, a.dns(now)...), append(search, a.search(now)...)
	}
	return servers, search
}

// times are the time servers that DHCPv4 and DHCPv6 tell of.
func (p *port) times() (list []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range []*Lease{p.leased, p.leased6} {
		if l != nil {
			list = append(list, l.NTP...)
		}
	}
	return list
}
