package netcfg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/api/boxapi"
)

// fakeKernel has interfaces that tests change.
type fakeKernel struct {
	mu      sync.Mutex
	links   []Link
	setups  map[int]Setup
	changed func()
	fault   error // of Configure
	made    int   // bonds and VLANs
	six     map[netip.Prefix]int
	valid6  time.Duration // of the address of IPv6 that was given last
}

func (k *fakeKernel) Links() ([]Link, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := slices.Clone(k.links)
	for i := range list {
		if s, ok := k.setups[list[i].Index]; ok {
			list[i].Addresses = []netip.Prefix{s.Address}
		}
		for a, index := range k.six {
			if index == list[i].Index {
				list[i].Addresses = append(list[i].Addresses, a)
			}
		}
	}
	return list, nil
}

func (k *fakeKernel) Watch(ctx context.Context, changed func()) error {
	k.mu.Lock()
	k.changed = changed
	k.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (k *fakeKernel) Prepare() error { return nil }
func (k *fakeKernel) Up(int) error   { return nil }

func (k *fakeKernel) AddAddress6(_ context.Context, index int, a netip.Prefix, valid time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.valid6 = valid
	if k.six == nil {
		k.six = map[netip.Prefix]int{}
	}
	k.six[a] = index
	return nil
}

func (k *fakeKernel) RemoveAddress(_ int, a netip.Prefix) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.six, a)
	return nil
}

func (k *fakeKernel) SetMTU(index, mtu int) error {
	k.change(index, func(l *Link) { l.MTU = mtu })
	return nil
}

func (k *fakeKernel) MakeBond(name, mode string, primary int) error {
	k.add(Link{Name: name, Bond: mode, Carrier: true, MTU: 1500})
	return nil
}

func (k *fakeKernel) MakeVLAN(name string, parent, id int) error {
	k.add(Link{Name: name, VLAN: id, Parent: parent, Carrier: true, MTU: 1500})
	return nil
}

func (k *fakeKernel) Remove(index int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.links = slices.DeleteFunc(k.links, func(l Link) bool { return l.Index == index || l.VLAN != 0 && l.Parent == index })
	for i := range k.links {
		if k.links[i].Master == index {
			k.links[i].Master = 0
		}
	}
	delete(k.setups, index)
	return nil
}

func (k *fakeKernel) Join(card, bond int) error {
	k.change(card, func(l *Link) { l.Master = bond })
	return k.Clear(card)
}

// add adds an interface with an index that was never used.
func (k *fakeKernel) add(l Link) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.made++
	l.Index = 100 + k.made
	k.links = append(k.links, l)
}

func (k *fakeKernel) change(index int, fn func(*Link)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.links {
		if k.links[i].Index == index {
			fn(&k.links[i])
		}
	}
}

func (k *fakeKernel) Configure(index int, s Setup, metric int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if some := (*RouteError)(nil); k.fault == nil || errors.As(k.fault, &some) {
		k.setups[index] = s
	}
	return k.fault
}

func (k *fakeKernel) Clear(index int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.setups, index)
	return nil
}

// set changes an interface, or adds it, and tells.
func (k *fakeKernel) set(l Link) {
	k.mu.Lock()
	i := slices.IndexFunc(k.links, func(x Link) bool { return x.Index == l.Index })
	if i < 0 {
		k.links = append(k.links, l)
	} else {
		k.links[i] = l
	}
	k.mu.Unlock()
	k.changed()
	synctest.Wait()
}

// addresses returns what the interfaces have, as "1=192.0.2.5/24 2=...".
func (k *fakeKernel) addresses() string {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for index, s := range k.setups {
		out = append(out, fmt.Sprintf("%d=%v", index, s.Address))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// granter grants each interface an address of its own, or nothing.
type granter struct {
	link Link
	deny *atomic.Bool
}

func (g granter) Acquire(ctx context.Context, _ netip.Addr) (*Lease, error) {
	if !g.link.Carrier || g.deny != nil && g.deny.Load() {
		sleep(ctx, time.Second)
		return nil, ErrNoServer
	}
	n := byte(g.link.Index)
	l := &Lease{
		Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, n, 5}), 24),
		DNS:     []netip.Addr{netip.AddrFrom4([4]byte{192, 0, n, 1}), netip.AddrFrom4([4]byte{9, 9, 9, 9})},
		NTP:     []netip.Addr{netip.AddrFrom4([4]byte{192, 0, n, 2})},
		Search:  []string{fmt.Sprintf("net%d.example", n)},
		Begin:   time.Now(),
		Server:  netip.AddrFrom4([4]byte{192, 0, n, 1}),
	}
	l.Routes = []Route{{Dst: defaultRoute(l.Server), Gateway: l.Server}}
	l.setTimes(time.Hour, 0, 0)
	return l, nil
}

func (g granter) Renew(ctx context.Context, l *Lease) (*Lease, error) {
	return g.Acquire(ctx, netip.Addr{})
}
func (g granter) Decline(context.Context, *Lease) error { return nil }
func (g granter) Rebind(ctx context.Context, l *Lease) (*Lease, error) {
	return g.Acquire(ctx, netip.Addr{})
}

// bench is a Manager on a fake kernel.
type bench struct {
	*Manager
	k       *fakeKernel
	around  *fakeNeighbours
	routers *fakeRouters
	changes atomic.Int64

	mu       sync.Mutex
	resolver Resolver
}

func (b *bench) setResolver(r Resolver) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.resolver = r
	return nil
}

// names are the name servers and search domains in use.
func (b *bench) names() Resolver {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.resolver
}

// run calls fn with a running Manager on the interfaces links.
func run(t *testing.T, settings boxapi.Network, links []Link, fn func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{k: &fakeKernel{links: links, setups: map[int]Setup{}}, around: &fakeNeighbours{has: map[netip.Addr]string{}}, routers: &fakeRouters{}}
		b.Manager = New(Config{
			Kernel:        b.k,
			DHCP:          func(l Link) Exchange { return granter{link: l} },
			DHCP6:         func(l Link, managed bool) Exchange { return granter6{l, managed} },
			Routers:       b.routers.listen,
			Neighbourhood: b.around,
			SetResolver:   b.setResolver,
			Changed:       func() { b.changes.Add(1) },
			Log:           slog.New(slog.DiscardHandler),
		}, settings)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { b.Run(ctx); close(done) }()
		synctest.Wait()
		fn(b)
		cancel()
		<-done
	})
}

func link(index int, carrier bool) Link {
	return Link{Index: index, Name: fmt.Sprint("eth", index), MAC: "02:00:00:00:00:0" + fmt.Sprint(index), Wired: true, Carrier: carrier, MTU: 1500}
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestDHCPOnAll(t *testing.T) {
	bridge := Link{Index: 9, Name: "br0", Carrier: true}
	run(t, boxapi.Network{}, []Link{link(2, true), bridge, link(1, true)}, func(b *bench) {
		expect(t, "addresses", b.k.addresses(), "1=192.0.1.5/24 2=192.0.2.5/24")
		expect(t, "resolver", fmt.Sprint(b.names()), "{[192.0.1.1 9.9.9.9 192.0.2.1] [net1.example net2.example]}")
		expect(t, "time servers", fmt.Sprint(b.TimeServers()), "[192.0.1.2 192.0.2.2]")
		list, problems, err := b.Status()
		if err != nil || len(list) != 2 || len(problems) != 0 {
			t.Fatalf("%+v %q %v", list, problems, err)
		}
		i := list[0]
		expect(t, "status", fmt.Sprint(i.Name, i.Mode, i.Addresses, i.Gateway, i.DNS, i.Lease.Server), "eth1dhcp[192.0.1.5/24]192.0.1.1[192.0.1.1 9.9.9.9 192.0.2.1]192.0.1.1")
		if b.changes.Load() == 0 {
			t.Error("nobody was told")
		}
	})
}

func TestInterfaceComesAndGoes(t *testing.T) {
	run(t, boxapi.Network{}, nil, func(b *bench) {
		_, problems, _ := b.Status()
		expect(t, "none", fmt.Sprint(problems), "[no network interface was found: is its driver or firmware missing?]")
		b.k.set(link(1, false))
		time.Sleep(time.Second)
		_, problems, _ = b.Status()
		expect(t, "no carrier", fmt.Sprint(problems), "[no network cable is plugged in, or what is at its other end is off]")
		b.k.mu.Lock()
		b.k.links = nil
		b.k.mu.Unlock()
		b.k.set(link(2, true))
		expect(t, "another", b.k.addresses(), "2=192.0.2.5/24")
	})
}

func TestNoServer(t *testing.T) {
	run(t, boxapi.Network{}, nil, func(b *bench) {
		var deny atomic.Bool
		deny.Store(true)
		b.Manager.DHCP = func(l Link) Exchange { return granter{link: l, deny: &deny} }
		b.k.set(link(1, true))
		time.Sleep(5 * time.Second)
		expect(t, "addresses", b.k.addresses(), "")
		_, problems, _ := b.Status()
		expect(t, "told", fmt.Sprint(problems), "[network on eth1: no DHCP server answers]")
		deny.Store(false)
		time.Sleep(longestPause)
		expect(t, "addresses", b.k.addresses(), "1=192.0.1.5/24")
		_, problems, _ = b.Status()
		expect(t, "told", fmt.Sprint(problems), "[]")

		// It dies, where there is IPv6 as well.
		b.routers.say("eth1", Advertisement{Managed: true})
		deny.Store(true)
		time.Sleep(40 * time.Minute)
		expect(t, "addresses", b.k.addresses(), "1=192.0.1.5/24")
		_, problems, _ = b.Status()
		expect(t, "told", fmt.Sprint(problems), "[network on eth1: no DHCP server answers; the address 192.0.1.5 must be given up in 19 minutes]")
		time.Sleep(30 * time.Minute)
		expect(t, "addresses", b.k.addresses(), "")
		_, problems, _ = b.Status()
		expect(t, "told", fmt.Sprint(problems), "[network on eth1: no DHCP server answers]")
	})
}

func TestStatic(t *testing.T) {
	static := boxapi.Network{Mode: boxapi.ModeStatic, Address: "198.51.100.7/24", Gateway: "198.51.100.1", DNS: []string{"198.51.100.2"}}
	run(t, static, []Link{link(1, false), link(2, true), link(3, true)}, func(b *bench) {
		expect(t, "the first with a link", b.k.addresses(), "2=198.51.100.7/24")
		expect(t, "resolver", fmt.Sprint(b.names()), "{[198.51.100.2] []}")
		expect(t, "route", fmt.Sprint(b.k.setups[2].Routes), "[{0.0.0.0/0 198.51.100.1}]")
		b.k.set(link(1, true))
		b.k.set(link(2, false))
		expect(t, "it stays", b.k.addresses(), "2=198.51.100.7/24")

		static.Interface = "eth3"
		b.Set(static)
		expect(t, "a named one", b.k.addresses(), "3=198.51.100.7/24")

		static.Interface = "eth7"
		b.Set(static)
		expect(t, "one that is not there", b.k.addresses(), "")
		_, problems, _ := b.Status()
		expect(t, "told", fmt.Sprint(problems), "[the network interface eth7 of the settings is not there]")

		b.Set(boxapi.Network{Mode: boxapi.ModeDHCP, DNS: []string{"198.51.100.9"}})
		expect(t, "back to DHCP", b.k.addresses(), "1=192.0.1.5/24 3=192.0.3.5/24")
		expect(t, "own name servers", fmt.Sprint(b.names()), "{[198.51.100.9] [net1.example net3.example]}")
	})
}

func TestStaticIsTriedAgain(t *testing.T) {
	static := boxapi.Network{Mode: boxapi.ModeStatic, Address: "198.51.100.7/24"}
	run(t, static, nil, func(b *bench) {
		b.k.fault = errors.New("no buffers")
		b.k.set(link(1, true))
		_, problems, _ := b.Status()
		expect(t, "told", fmt.Sprint(problems), "[network on eth1: configure eth1: no buffers]")
		b.k.mu.Lock()
		b.k.fault = nil
		b.k.mu.Unlock()
		time.Sleep(lookAgain)
		expect(t, "later", b.k.addresses(), "1=198.51.100.7/24")
	})
}

// A lease of which one route is of no use is used: the rest of it is of use.
func TestRouteOfNoUse(t *testing.T) {
	run(t, boxapi.Network{}, nil, func(b *bench) {
		b.k.mu.Lock()
		b.k.fault = &RouteError{[]error{errors.New("no way there")}}
		b.k.mu.Unlock()
		b.k.set(link(1, true))
		list, problems, err := b.Status()
		if err != nil || len(list) != 1 || list[0].Lease == nil || len(problems) != 0 {
			t.Errorf("%+v, %q, %v", list, problems, err)
		}
		expect(t, "name servers", fmt.Sprint(b.names()), "{[192.0.1.1 9.9.9.9] [net1.example]}")
	})
}

// A card that gets another name goes on under that.
func TestCardIsRenamed(t *testing.T) {
	run(t, boxapi.Network{}, []Link{link(1, true)}, func(b *bench) {
		renamed := link(1, true)
		renamed.Name = "lan0"
		b.k.set(renamed)
		time.Sleep(time.Second)
		expect(t, "addresses", b.k.addresses(), "1=192.0.1.5/24")
		b.Manager.mu.Lock()
		defer b.Manager.mu.Unlock()
		expect(t, "the port", b.ports[1].link.Name, "lan0")
	})
}

// While what was configured by earlier settings ends, nothing is configured by new
// ones, whatever the kernel has to tell meanwhile.
func TestSettingsChangeOneAfterTheOther(t *testing.T) {
	run(t, boxapi.Network{}, nil, func(b *bench) {
		slow, began := make(chan bool), make(chan bool)
		b.around.mu.Lock()
		b.around.probing = func() {
			close(began)
			<-slow // though it was given up
		}
		b.around.mu.Unlock()
		b.k.set(link(1, true))
		<-began
		go b.Set(boxapi.Network{Mode: boxapi.ModeStatic, Address: "198.51.100.7/24"})
		synctest.Wait()
		b.look()
		expect(t, "meanwhile", b.k.addresses(), "")
		close(slow)
		time.Sleep(time.Second)
		expect(t, "then", b.k.addresses(), "1=198.51.100.7/24")
	})
}

func TestWriteResolvConf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	servers := []netip.Addr{}
	for _, s := range []string{"192.0.2.1", "2001:db8::1", "192.0.2.3", "192.0.2.4"} {
		servers = append(servers, netip.MustParseAddr(s))
	}
	if err := WriteResolvConf(path, Resolver{Servers: servers, Search: []string{"example.org", "example.net", "c", "d", "e", "f", "g"}}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	want := "nameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver 192.0.2.3\nsearch example.org example.net c d e f\noptions timeout:3 attempts:2\n"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
}

// The machine of the test has a kernel as well; reading it must work.
func TestLinuxLinks(t *testing.T) {
	if _, err := (Linux{Sys: "/sys", Proc: "/proc"}).Links(); err != nil {
		t.Fatal(err)
	}
}
