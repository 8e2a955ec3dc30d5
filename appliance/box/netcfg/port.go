package netcfg

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"pillarbox/appliance/api/boxapi"
)

// port is one interface that the Manager configures.
type port struct {
	m    *Manager
	link Link
	by   addressing

	cancel context.CancelFunc
	done   chan struct{}
	back   chan struct{} // the carrier came back; capacity 1
	back6  chan struct{} // the same, for DHCPv6

	mu      sync.Mutex
	carrier bool
	setup   Setup
	leased  *Lease
	leased6 *Lease
	routers []Advertisement // the last of each
	since   time.Time
	fault   error
	fault6  error       // of DHCPv6
	four    bool        // a DHCP server was there once: the network has IPv4
	taken   *TakenError // somebody else used the address lately
	takenAt time.Time
	told    *TakenError // the last that the log and the neighbours were told of
	toldAt  time.Time
	unwatch context.CancelFunc // ends the watch over the address; nil: none
}

// takenShown is how long a conflict is told of after its last sign. Stations speak
// for their addresses every few minutes.
const takenShown = 10 * time.Minute

// newPort returns a port for link by the settings of now. m.mu is held.
func newPort(m *Manager, link Link) *port {
	return &port{m: m, link: link, by: m.addressingOf(link.Name), done: make(chan struct{}), back: make(chan struct{}, 1), back6: make(chan struct{}, 1)}
}

func (p *port) start(ctx context.Context) {
	ctx, p.cancel = context.WithCancel(ctx)
	go func() {
		defer close(p.done)
		var six sync.WaitGroup
		six.Go(func() { p.runIPv6(ctx) })
		defer six.Wait()
		if p.by.mode == boxapi.ModeStatic {
			p.runStatic(ctx)
		} else {
			p.runDHCP(ctx)
		}
	}()
}

// stop ends the port, soon: done is closed when it has ended. Who holds m.mu must
// not wait for that, since the port may be waiting for m.mu.
func (p *port) stop() { p.cancel() }

// setCarrier notes whether a carrier is there.
func (p *port) setCarrier(on bool) {
	p.mu.Lock()
	came := on && !p.carrier
	p.carrier = on
	p.mu.Unlock()
	if came {
		for _, back := range []chan struct{}{p.back, p.back6} {
			select {
			case back <- struct{}{}:
			default:
			}
		}
	}
}

// runStatic sets the fixed address, again and again until it is accepted.
func (p *port) runStatic(ctx context.Context) {
	s, err := staticSetup(p.by)
	for ctx.Err() == nil {
		if err == nil {
			err = p.free(ctx, s.Address)
		}
		if err == nil {
			err = p.configure(ctx, s, nil)
		}
		p.setFault(err)
		if err == nil {
			return
		}
		p.m.Log.Error("fixed address", "interface", p.link.Name, "error", err)
		sleep(ctx, lookAgain)
		s, err = staticSetup(p.by)
	}
}

// free returns a *TakenError when another station has the address a.
func (p *port) free(ctx context.Context, a netip.Prefix) error {
	if a.Addr().Is6() {
		return p.m.Kernel.AddAddress6(ctx, p.link.Index, a, 0)
	}
	return p.m.Neighbourhood.Probe(ctx, p.link.Name, a.Addr())
}

// staticSetup reads checked settings.
func staticSetup(n addressing) (Setup, error) {
	addr, err := netip.ParsePrefix(n.address)
	if err != nil {
		return Setup{}, errNoAddress
	}
	s := Setup{Address: addr}
	if gw, err := netip.ParseAddr(n.gateway); err == nil {
		s.Routes = []Route{{Dst: defaultRoute(gw), Gateway: gw}}
	}
	return s, nil
}

// defaultRoute is the destination of everything, in the family of gw.
func defaultRoute(gw netip.Addr) netip.Prefix {
	if gw.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// runDHCP keeps a lease.
func (p *port) runDHCP(ctx context.Context) {
	loop := &leaseLoop{
		x:    p.m.DHCP(p.link),
		back: p.back,
		log:  p.m.Log.With("interface", p.link.Name),
		free: func(ctx context.Context, l *Lease) error {
			return p.m.Neighbourhood.Probe(ctx, p.link.Name, l.Address.Addr())
		},
		bound: func(l *Lease) error {
			return p.configure(ctx, l.setup(), l)
		},
		lost:  func() { p.clear() },
		fault: p.setFault,
	}
	loop.run(ctx)
}

// configure gives the interface its address.
func (p *port) configure(ctx context.Context, s Setup, l *Lease) error {
	err := p.m.Kernel.Configure(p.link.Index, s, baseMetric+p.link.Index)
	if some := (*RouteError)(nil); errors.As(err, &some) {
		p.m.Log.Warn("not all routes are of use", "interface", p.link.Name, "error", err)
	} else if err != nil {
		return fmt.Errorf("configure %s: %w", p.link.Name, err)
	}
	p.mu.Lock()
	if p.setup.Address != s.Address {
		p.since = time.Now()
		p.watch(ctx, s.Address.Addr())
		p.m.Log.Info("address", "interface", p.link.Name, "address", s.Address.String())
	}
	p.setup, p.leased, p.four = s, l, p.four || l != nil
	p.mu.Unlock()
	p.m.changed()
	return nil
}

// watch keeps an eye on the address, and off the one before. p.mu is held.
func (p *port) watch(ctx context.Context, addr netip.Addr) {
	if p.unwatch != nil {
		p.unwatch()
	}
	ctx, p.unwatch = context.WithCancel(ctx)
	p.taken, p.told = nil, nil
	go func() {
		for ctx.Err() == nil {
			if err := p.m.Neighbourhood.Watch(ctx, p.link.Name, addr, p.setTaken); err != nil && ctx.Err() == nil {
				p.m.Log.Debug("watch over the address", "interface", p.link.Name, "error", err)
			}
			sleep(ctx, lookAgain) // it ends with the link
		}
	}()
}

func (p *port) setTaken(taken *TakenError) {
	p.mu.Lock()
	// One who claims the address by ever another name fills no log.
	fresh := (p.told == nil || p.told.Owner != taken.Owner) && time.Since(p.toldAt) >= defendInterval
	p.taken, p.takenAt = taken, time.Now()
	if fresh {
		p.told, p.toldAt = taken, p.takenAt
	}
	p.mu.Unlock()
	if fresh {
		p.m.Log.Warn("address conflict", "interface", p.link.Name, "address", taken.Address.String(), "owner", taken.Owner)
		p.m.Changed()
	}
}

// clear takes the address away.
func (p *port) clear() {
	if err := p.m.Kernel.Clear(p.link.Index); err != nil {
		p.m.Log.Warn("clear address", "interface", p.link.Name, "error", err)
	}
	p.mu.Lock()
	p.setup, p.leased, p.since = Setup{}, nil, time.Now()
	if p.unwatch != nil {
		p.unwatch()
	}
	p.mu.Unlock()
	p.m.changed()
}

func (p *port) setFault(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = err
}

// describe fills in what the port knows of an interface and returns what is
// wrong with it.
func (p *port) describe(i *boxapi.Interface) (problems []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i.Mode = p.by.mode
	if i.Mode == "" {
		i.Mode = boxapi.ModeDHCP
	}
	i.Since = p.since
	for _, r := range p.setup.Routes {
		if r.Dst.Bits() == 0 && r.Gateway.IsValid() {
			i.Gateway = r.Gateway.String()
		}
	}
	if l := p.leased; l != nil {
		i.Lease = &boxapi.Lease{Server: l.Server.String(), Expires: l.expires()}
	}
	if p.taken != nil && time.Since(p.takenAt) < takenShown {
		problems = append(problems, p.taken.Error())
	}
	// Where there is IPv6 alone nobody answers for IPv4, and nothing is wrong.
	six := slices.ContainsFunc(i.Addresses, func(a string) bool { return strings.Contains(a, ":") })
	alone := six && !p.four && errors.Is(p.fault, ErrNoServer)
	if p.fault != nil && i.Link && !alone {
		problems = append(problems, fmt.Sprintf("network on %s: %v%s", i.Name, p.fault, p.leased.until()))
	}
	if p.fault6 != nil && i.Link && (!six || p.leased6 != nil) {
		problems = append(problems, fmt.Sprintf("network on %s: %v%s", i.Name, p.fault6, p.leased6.until()))
	}
	return problems
}

// until says how long the address of a lease that is not extended can be used. It
// is empty where there is none that ends.
func (l *Lease) until() string {
	if l == nil || l.Lifetime == 0 || !l.Address.IsValid() {
		return ""
	}
	left := max(time.Until(l.expires()), 0).Round(time.Minute)
	return fmt.Sprintf("; the address %s must be given up in %d minutes", l.Address.Addr(), int(left.Minutes()))
}
