// Package netcfg gives the network interfaces of the box their addresses: by
// DHCPv4 on every wired interface, or a fixed one on one of them; or each as
// settings of its own say, bonds and VLANs among them, which it makes. The kernel
// takes IPv6 addresses and routes as routers advertise them; name servers that
// they tell of, and DHCPv6 where they say so, are this package's.
//
// The Manager looks at the interfaces whenever the kernel says that one has
// changed, and keeps a port for each that it configures. A port by DHCP runs a
// lease loop (RFC 2131 section 4.4): acquire, renew, rebind, begin again when the
// lease is lost. A cable that is pulled loses nothing; when it is back, the
// lease is confirmed at once, since it may lead to another network now. An address
// is taken into use when nobody else on the network has it (RFC 5227); who takes it
// later is told of.
//
// Bonds and VLANs are remade from the settings at every look: those missing are
// made, those of no use any more or other than they should be are removed, cards
// that come later join theirs. The Manager takes every bond and VLAN of the box
// for its own.
//
// Invariants: one IPv4 address an interface, with the lifetime of its lease, so
// that an address never outlives it, even when this program dies; default routes
// of several interfaces differ in metric, and those without a carrier are not
// used; resolv.conf always fits what is configured. Nothing is kept on disk.
package netcfg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"pillarbox/appliance/api/boxapi"
)

// lookAgain is the longest time between two looks at the interfaces, for
// changes whose message was lost.
const lookAgain = 30 * time.Second

// baseMetric and the interface's index make the metric of a default route.
const baseMetric = 1000

// Link is a network interface as the kernel has it.
type Link struct {
	Index     int
	Name      string
	MAC       string
	Driver    string
	Speed     int  // Mbit/s, 0 if unknown
	Wired     bool // an Ethernet device of the machine, not one made of others
	Carrier   bool
	MTU       int // octets
	Addresses []netip.Prefix

	Bond   string     // of a bond: its mode, such as boxapi.BondLACP; "other" for one that nobody asks for
	VLAN   int        // of a VLAN: its id
	Parent int        // of a VLAN: the index of what it is on
	Router netip.Addr // that advertises itself there, if any
	Master int        // of a card: the index of the bond it is in, 0: none
}

// Route leads to Dst by way of Gateway, or directly if that is not valid.
type Route struct {
	Dst     netip.Prefix
	Gateway netip.Addr
}

// Setup is what an interface is to have.
type Setup struct {
	Address netip.Prefix
	Valid   time.Duration // lifetime of the address, 0: for ever
	Routes  []Route
}

// Kernel is what the Manager asks of the system.
type Kernel interface {
	// Links lists all interfaces but the loopback.
	Links() ([]Link, error)
	// Watch calls changed whenever an interface may have changed, until ctx ends.
	Watch(ctx context.Context, changed func()) error
	// Prepare turns on the loopback and what the box wants of the IP stack.
	Prepare() error
	// Up turns an interface on.
	Up(index int) error
	// SetMTU sets how many octets a packet may have.
	SetMTU(index, mtu int) error
	// MakeBond makes a bond without cards; primary is the index of the card that
	// carries everything when it can, 0 if it is not there.
	MakeBond(name, mode string, primary int) error
	// MakeVLAN makes a VLAN on the interface parent.
	MakeVLAN(name string, parent, id int) error
	// Remove removes a bond or a VLAN, and VLANs on it.
	Remove(index int) error
	// Join puts a card into a bond, without addresses of its own; bond 0 takes it
	// out.
	Join(card, bond int) error
	// Configure makes the address and routes of an interface those of s, and
	// none else but what routers advertise. Where some routes cannot be made and
	// others are, it returns a *RouteError.
	Configure(index int, s Setup, metric int) error
	// AddAddress6 gives an interface one more address for a time, 0 for ever, and
	// waits until the kernel has found that no other station has it, else it returns a
	// *TakenError and the address is gone again.
	AddAddress6(ctx context.Context, index int, a netip.Prefix, valid time.Duration) error
	// RemoveAddress takes an address away.
	RemoveAddress(index int, a netip.Prefix) error
	// Clear takes all addresses and routes from an interface but what routers
	// advertise.
	Clear(index int) error
}

// RouteError says that an interface has its address, and not all of its routes.
type RouteError struct{ Faults []error }

func (e *RouteError) Error() string { return errors.Join(e.Faults...).Error() }

// Neighbourhood is who else is on the network of an interface.
type Neighbourhood interface {
	// Probe returns a *TakenError when another station has addr.
	Probe(ctx context.Context, device string, addr netip.Addr) error
	// Watch tells the neighbours that addr is the interface's, and calls taken
	// whenever another station uses it, until ctx ends.
	Watch(ctx context.Context, device string, addr netip.Addr, taken func(*TakenError)) error
}

// Resolver are the name servers and the search domains in use.
type Resolver struct {
	Servers []netip.Addr
	Search  []string
}

// Config is what a Manager works with. All fields are needed.
type Config struct {
	Kernel Kernel
	// DHCP returns the client for an interface.
	DHCP func(link Link) Exchange
	// DHCP6 returns the client of DHCPv6: for an address where managed.
	DHCP6 func(link Link, managed bool) Exchange
	// Routers calls heard with what routers on the interface say, until ctx ends or
	// it cannot listen any more.
	Routers func(ctx context.Context, device string, heard func(Advertisement)) error
	// Neighbourhood is asked before an address is used.
	Neighbourhood Neighbourhood
	// SetResolver makes r the box's resolver.
	SetResolver func(r Resolver) error
	// Changed is called when addresses or name servers have changed, by several
	// interfaces at once where they do so together. It must not block.
	Changed func()
	Log     *slog.Logger
}

// Manager configures the interfaces. Its methods may be called from several
// goroutines.
type Manager struct {
	Config
	wake chan struct{} // look at the interfaces; capacity 1

	mu       sync.Mutex
	settings boxapi.Network
	ports    map[int]*port // by index of the interface
	stale    map[int]bool  // interfaces that earlier settings configured
	ending   int           // calls of Set that wait for ports of earlier settings to end
	ownMTU   map[int]int   // of interfaces whose MTU was changed: what it was
	problem  string        // that no interface is wanted
	faults   []error       // of bonds and VLANs
	resolver Resolver      // as last set
}

// New returns a Manager that does nothing before Run.
func New(cfg Config, settings boxapi.Network) *Manager {
	return &Manager{Config: cfg, settings: settings, ports: map[int]*port{}, stale: map[int]bool{}, ownMTU: map[int]int{}, wake: make(chan struct{}, 1)}
}

// Run configures the interfaces until ctx ends. What is configured then stays.
func (m *Manager) Run(ctx context.Context) {
	if err := m.Kernel.Prepare(); err != nil {
		m.Log.Warn("network", "error", err)
	}
	go func() {
		for ctx.Err() == nil {
			if err := m.Kernel.Watch(ctx, m.look); err != nil {
				m.Log.Warn("watching the interfaces", "error", err)
				sleep(ctx, lookAgain) // looking from time to time goes on
			}
		}
	}()
	for ctx.Err() == nil {
		m.reconcile(ctx)
		t := time.NewTimer(lookAgain)
		select {
		case <-m.wake:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.ports {
		p.stop()
	}
}

// look makes Run look at the interfaces soon.
func (m *Manager) look() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Set changes the settings, which must be checked already. It takes effect
// soon after.
func (m *Manager) Set(settings boxapi.Network) {
	m.mu.Lock()
	m.settings = settings
	old := m.ports
	m.ports = map[int]*port{}
	for index := range old {
		m.stale[index] = true
	}
	m.ending++
	m.mu.Unlock()
	// Nothing of the old settings may come after something of the new.
	for _, p := range old {
		p.stop()
		<-p.done
	}
	m.mu.Lock()
	m.ending--
	m.mu.Unlock()
	m.look()
}

// reconcile compares the interfaces there are with what is to be.
func (m *Manager) reconcile(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending > 0 {
		return // Set has it done when they have ended
	}
	links, err := m.arrange()
	if err != nil {
		m.Log.Warn("network interfaces", "error", err)
		return
	}
	wanted := m.wanted(links)
	for index, p := range m.ports {
		if !slices.ContainsFunc(wanted, func(l Link) bool { return l.Index == index }) {
			p.stop()
			delete(m.ports, index)
			m.Log.Info("interface is gone", "name", p.link.Name)
		}
	}
	for _, l := range wanted {
		delete(m.stale, l.Index)
		p := m.ports[l.Index]
		if p != nil && p.link.Name != l.Name { // all it has open is by the name
			p.stop()
			select {
			case <-p.done:
				m.Log.Info("interface has another name", "was", p.link.Name, "name", l.Name)
				p = nil
			default:
				go func() { <-p.done; m.look() }()
				continue
			}
		}
		if p == nil {
			p = newPort(m, l)
			m.ports[l.Index] = p
			p.start(ctx)
		}
		p.setCarrier(l.Carrier)
	}
	for index := range m.stale {
		delete(m.stale, index)
		if err := m.Kernel.Clear(index); err != nil {
			m.Log.Warn("clear address", "error", err)
		}
	}
	m.updateResolver()
}

// wanted returns those of links, by name, that are to be configured, and notes why
// none is. m.mu is held.
func (m *Manager) wanted(links []Link) []Link {
	m.problem = ""
	if len(m.settings.Interfaces) > 0 {
		return m.wantedByName(links)
	}
	links = slices.DeleteFunc(links, func(l Link) bool { return !l.Wired })
	if len(links) == 0 {
		m.problem = "no network interface was found: is its driver or firmware missing?"
		return nil
	}
	name := m.settings.Interface
	if name != "" {
		i := slices.IndexFunc(links, func(l Link) bool { return l.Name == name })
		if i < 0 {
			m.problem = fmt.Sprintf(notThere, name)
			return nil
		}
		links = links[i : i+1]
	}
	m.noteCables(links)
	if m.settings.Mode != boxapi.ModeStatic || name != "" {
		return links
	}
	// A fixed address without a named interface: the one that has it already
	// keeps it, whatever its carrier does; else the first with a link.
	for _, fits := range []func(l Link) bool{
		func(l Link) bool { return m.ports[l.Index] != nil },
		func(l Link) bool { return l.Carrier },
	} {
		if i := slices.IndexFunc(links, fits); i >= 0 {
			return links[i : i+1]
		}
	}
	return nil
}

// notThere has one %s, the name.
const notThere = "the network interface %s of the settings is not there"

// noteCables notes where none of the wanted links has a carrier. m.mu is held.
func (m *Manager) noteCables(wanted []Link) {
	if !slices.ContainsFunc(wanted, func(l Link) bool { return l.Carrier }) {
		m.problem = "no network cable is plugged in, or what is at its other end is off"
	}
}

// wantedByName returns those of links that have settings of their own and an
// address by them. m.mu is held.
func (m *Manager) wantedByName(links []Link) []Link {
	var wanted []Link
	for _, x := range m.settings.Interfaces {
		if x.Mode == boxapi.ModeNone {
			continue
		}
		i := slices.IndexFunc(links, func(l Link) bool { return l.Name == x.Name })
		if i < 0 {
			m.problem = fmt.Sprintf(notThere, x.Name)
			continue
		}
		wanted = append(wanted, links[i])
	}
	if m.problem == "" {
		m.noteCables(wanted)
	}
	return wanted
}

// addressing is how an interface gets its address.
type addressing struct {
	mode, address, gateway string
}

// addressingOf is that of the interface name by the settings of now. m.mu is held.
func (m *Manager) addressingOf(name string) addressing {
	for _, x := range m.settings.Interfaces {
		if x.Name == name {
			return addressing{x.Mode, x.Address, x.Gateway}
		}
	}
	return addressing{m.settings.Mode, m.settings.Address, m.settings.Gateway}
}

// changed is called by ports whose setup has changed.
func (m *Manager) changed() {
	m.mu.Lock()
	m.updateResolver()
	m.mu.Unlock()
	m.Changed()
}

// updateResolver sets the resolver to what settings and leases say. m.mu is held.
func (m *Manager) updateResolver() {
	r := Resolver{Search: slices.Clone(m.settings.Search)}
	add := func(a netip.Addr) {
		if a.IsValid() && !slices.Contains(r.Servers, a) {
			r.Servers = append(r.Servers, a)
		}
	}
	for _, s := range m.settings.DNS {
		a, _ := netip.ParseAddr(s)
		add(a)
	}
	for _, p := range m.byName() {
		servers, search := p.names()
		if len(m.settings.DNS) == 0 {
			for _, a := range servers {
				add(a)
			}
		}
		if len(m.settings.Search) == 0 {
			for _, d := range search {
				if !slices.Contains(r.Search, d) {
					r.Search = append(r.Search, d)
				}
			}
		}
	}
	if slices.Equal(r.Servers, m.resolver.Servers) && slices.Equal(r.Search, m.resolver.Search) {
		return
	}
	if err := m.SetResolver(r); err != nil {
		m.Log.Error("name servers cannot be set", "error", err)
		return
	}
	m.resolver = r
}

// byName returns the ports in the order of their names. m.mu is held.
func (m *Manager) byName() []*port {
	var list []*port
	for _, p := range m.ports {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *port) int { return strings.Compare(a.link.Name, b.link.Name) })
	return list
}

// TimeServers returns the time servers that leases name.
func (m *Manager) TimeServers() []netip.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []netip.Addr
	for _, p := range m.byName() {
		list = append(list, p.times()...)
	}
	return list
}

// Status describes the interfaces that carry mail by name, and what is wrong, if
// anything.
func (m *Manager) Status() (list []boxapi.Interface, problems []string, err error) {
	links, err := m.Kernel.Links()
	if err != nil {
		return nil, nil, fmt.Errorf("network interfaces: %w", err)
	}
	slices.SortFunc(links, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range links {
		if !l.Wired && !l.made() {
			continue
		}
		i := boxapi.Interface{Name: l.Name, MAC: l.MAC, Driver: l.Driver, Speed: l.Speed, Link: l.Carrier, MTU: l.MTU, Bond: l.Bond, VLAN: l.VLAN, Addresses: []string{}}
		for _, part := range links {
			switch {
			case part.Index == l.Parent && l.VLAN != 0:
				i.Parts = append(i.Parts, part.Name)
			case part.Master == l.Index:
				i.Parts = append(i.Parts, part.Name)
				if l.Carrier && !part.Carrier {
					problems = append(problems, fmt.Sprintf("the cable of %s, a card of %s, is not plugged in, or what is at its other end is off", part.Name, l.Name))
				}
			}
		}
		for _, a := range l.Addresses {
			i.Addresses = append(i.Addresses, a.String())
		}
		if l.Router.IsValid() {
			i.Gateway = l.Router.String()
		}
		if p := m.ports[l.Index]; p != nil {
			problems = append(problems, p.describe(&i)...)
			for _, a := range m.resolver.Servers {
				i.DNS = append(i.DNS, a.String())
			}
		}
		list = append(list, i)
	}
	if m.problem != "" {
		problems = append(problems, m.problem)
	}
	for _, err := range m.faults {
		problems = append(problems, err.Error())
	}
	return list, problems, nil
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// errNoAddress is the fault of settings that were not checked.
var errNoAddress = errors.New("the settings have no valid address")
