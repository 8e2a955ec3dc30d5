package netcfg

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/server6"
	"github.com/mdlayher/ndp"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/box/firewall"
	"pillarbox/appliance/box/netlab"
)

// fakeRouters say what a test has them say.
type fakeRouters struct {
	mu    sync.Mutex
	heard map[string]func(Advertisement)
}

func (f *fakeRouters) listen(ctx context.Context, device string, heard func(Advertisement)) error {
	f.mu.Lock()
	if f.heard == nil {
		f.heard = map[string]func(Advertisement){}
	}
	f.heard[device] = heard
	f.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (f *fakeRouters) say(device string, a Advertisement) {
	synctest.Wait()
	f.mu.Lock()
	heard := f.heard[device]
	f.mu.Unlock()
	if a.heard = time.Now(); !a.Router.IsValid() {
		a.Router = netip.MustParseAddr("fe80::1")
	}
	heard(a)
	synctest.Wait()
}

// granter6 grants by DHCPv6.
type granter6 struct {
	link    Link
	managed bool
}

func (g granter6) Acquire(context.Context, netip.Addr) (*Lease, error) {
	l := &Lease{DNS: []netip.Addr{netip.MustParseAddr("2001:db8::53")}, NTP: []netip.Addr{netip.MustParseAddr("2001:db8::123")}, Begin: time.Now()}
	if g.managed {
		l.Address = netip.MustParsePrefix("2001:db8::5/128")
	}
	l.setTimes(time.Hour, 0, 0)
	return l, nil
}

func (g granter6) Renew(ctx context.Context, _ *Lease) (*Lease, error) {
	return g.Acquire(ctx, netip.Addr{})
}
func (g granter6) Rebind(ctx context.Context, _ *Lease) (*Lease, error) {
	return g.Acquire(ctx, netip.Addr{})
}
func (g granter6) Decline(context.Context, *Lease) error { return nil }

func (k *fakeKernel) sixes() string {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	return fmt.Sprint(k.six)
}

func TestRoutersSay(t *testing.T) {
	nobody := &atomic.Bool{}
	nobody.Store(true)
	run(t, boxapi.Network{}, nil, func(b *bench) {
		b.Manager.DHCP = func(l Link) Exchange { return granter{link: l, deny: nobody} }
		b.k.set(link(1, true))
		time.Sleep(5 * time.Second)
		_, problems, _ := b.Status()
		expect(t, "nothing at all", strings.Join(problems, "; "), "network on eth1: no DHCP server answers")

		b.routers.say("eth1", Advertisement{DNS: []netip.Addr{netip.MustParseAddr("2001:db8::1")}, DNSFor: time.Hour, Search: []string{"six.example"}, SearchFor: time.Minute})
		expect(t, "name servers", fmt.Sprint(b.names()), "{[2001:db8::1] [six.example]}")
		time.Sleep(2 * time.Minute)
		expect(t, "after a minute", fmt.Sprint(b.names()), "{[2001:db8::1] []}")
		expect(t, "no DHCPv6", b.k.sixes(), "map[]")

		b.routers.say("eth1", Advertisement{Other: true})
		expect(t, "what else", fmt.Sprint(b.names(), b.TimeServers()), "{[2001:db8::53] []} [2001:db8::123]")
		expect(t, "no address", b.k.sixes(), "map[]")

		b.routers.say("eth1", Advertisement{Managed: true})
		expect(t, "an address", b.k.sixes(), "map[2001:db8::5/128:1]")
		_, problems, _ = b.Status()
		expect(t, "IPv6 alone is well", strings.Join(problems, "; "), "")
		time.Sleep(3 * time.Hour) // it is renewed
		expect(t, "hours later", b.k.sixes(), "map[2001:db8::5/128:1]")

		b.routers.say("eth1", Advertisement{})
		expect(t, "no more", fmt.Sprint(b.names()), "{[] []}")
	})
}

// A router that tells of name servers and domains without end is heard as far as they
// are of use.
func TestRouterThatTellsTooMuch(t *testing.T) {
	servers, domains := &ndp.RecursiveDNSServer{Lifetime: time.Hour}, &ndp.DNSSearchList{Lifetime: time.Hour}
	for i := range 100 {
		servers.Servers = append(servers.Servers, netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)}))
		domains.DomainNames = append(domains.DomainNames, fmt.Sprintf("d%d.example", i))
	}
	a := newAdvertisement(&ndp.RouterAdvertisement{Options: []ndp.Option{servers, domains, servers}}, netip.MustParseAddr("fe80::1"))
	if len(a.DNS) != maxServers || len(a.Search) != maxSearch {
		t.Errorf("%d name servers, %d domains", len(a.DNS), len(a.Search))
	}
}

// eternal6 grants an address for ever.
type eternal6 struct{ granter6 }

func (g eternal6) Acquire(ctx context.Context, hint netip.Addr) (*Lease, error) {
	l, err := g.granter6.Acquire(ctx, hint)
	l.Lifetime = 0
	return l, err
}

// Of two routers the one that knows nothing of DHCPv6 does not take away what the
// other offers; and an address for ever is not given as one that is fixed.
func TestTwoRouters(t *testing.T) {
	run(t, boxapi.Network{}, []Link{link(1, true)}, func(b *bench) {
		b.Manager.DHCP6 = func(l Link, managed bool) Exchange { return eternal6{granter6{l, managed}} }
		b.routers.say("eth1", Advertisement{Managed: true})
		expect(t, "an address", b.k.sixes(), "map[2001:db8::5/128:1]")
		if b.k.valid6 != longest6 {
			t.Errorf("it is good for %v", b.k.valid6)
		}
		before := b.changes.Load()
		b.routers.say("eth1", Advertisement{Router: netip.MustParseAddr("fe80::2")})
		expect(t, "with another router", b.k.sixes(), "map[2001:db8::5/128:1]")
		if n := b.changes.Load() - before; n != 1 { // that there is one more router
			t.Errorf("%d changes", n)
		}
		time.Sleep(flagsHold)
		b.routers.say("eth1", Advertisement{Router: netip.MustParseAddr("fe80::2")})
		expect(t, "when the first is gone", b.k.sixes(), "map[]")
	})
}

// serveIPv6 is a router that says ra, and a DHCPv6 server that grants 2001:db8::50,
// on an interface of s.
func serveIPv6(t *testing.T, s *netlab.Space, device string, ra *ndp.RouterAdvertisement, said chan<- dhcpv6.MessageType) {
	var srv *server6.Server
	var router *ndp.Conn
	s.Do(func() (err error) {
		ifi, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		for router == nil && err == nil { // its address is being made
			if router, _, err = ndp.Listen(ifi, ndp.LinkLocal); err != nil {
				router, err = nil, nil
				time.Sleep(50 * time.Millisecond)
			}
		}
		if err := router.JoinGroup(netip.IPv6LinkLocalAllRouters()); err != nil {
			return err
		}
		srv, err = server6.NewServer(device, &net.UDPAddr{IP: net.IPv6unspecified, Port: 547}, func(c net.PacketConn, peer net.Addr, m dhcpv6.DHCPv6) {
			msg, ok := m.(*dhcpv6.Message)
			if !ok {
				return
			}
			said <- msg.MessageType
			mods := []dhcpv6.Modifier{
				dhcpv6.WithServerID(&dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}}),
				dhcpv6.WithDNS(net.ParseIP("2001:db8::53")), dhcpv6.WithDomainSearchList("example.org"),
			}
			if ia := msg.Options.OneIANA(); ia != nil {
				mods = append(mods, dhcpv6.WithOption(&dhcpv6.OptIANA{IaId: ia.IaId, T1: time.Hour, T2: 2 * time.Hour, Options: dhcpv6.IdentityOptions{Options: dhcpv6.Options{
					&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("2001:db8::50"), PreferredLifetime: 3 * time.Hour, ValidLifetime: 4 * time.Hour},
				}}}))
			}
			var answer *dhcpv6.Message
			var err error
			if msg.MessageType == dhcpv6.MessageTypeSolicit {
				answer, err = dhcpv6.NewAdvertiseFromSolicit(msg, mods...)
			} else if answer, err = dhcpv6.NewMessage(append(mods, dhcpv6.WithClientID(msg.Options.ClientID()))...); err == nil {
				answer.MessageType, answer.TransactionID = dhcpv6.MessageTypeReply, msg.TransactionID
			}
			if err == nil {
				_, err = c.WriteTo(answer.ToBytes(), peer)
			}
			if err != nil {
				t.Error(err)
			}
		})
		return err
	})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve() // ends when it is closed
	}()
	routed := make(chan struct{})
	go func() {
		defer close(routed)
		for {
			m, _, from, err := router.ReadFrom()
			if err != nil {
				return
			}
			if _, ok := m.(*ndp.RouterSolicitation); !ok {
				continue
			}
			if from.IsUnspecified() {
				from = netip.IPv6LinkLocalAllNodes()
			}
			_ = router.WriteTo(ra, nil, from)
		}
	}()
	t.Cleanup(func() {
		srv.Close()
		router.Close()
		<-served
		<-routed
	})
}

// saying is what a router says of a network where a name server and a search domain
// are: addresses are to be had by DHCPv6 where managed, else made of 2001:db8::/64.
func saying(managed bool) *ndp.RouterAdvertisement {
	ra := &ndp.RouterAdvertisement{ManagedConfiguration: managed, RouterLifetime: time.Hour, Options: []ndp.Option{
		&ndp.RecursiveDNSServer{Lifetime: time.Hour, Servers: []netip.Addr{netip.MustParseAddr("2001:db8::1")}},
		&ndp.DNSSearchList{Lifetime: time.Hour, DomainNames: []string{"office.example.org"}},
	}}
	if !managed {
		ra.Options = append(ra.Options, &ndp.PrefixInformation{PrefixLength: 64, OnLink: true, AutonomousAddressConfiguration: true,
			ValidLifetime: time.Hour, PreferredLifetime: time.Hour, Prefix: netip.MustParseAddr("2001:db8::")})
	}
	return ra
}

// What routers and DHCPv6 servers say on the wire, through the firewall, where there
// is no IPv4.
func TestIPv6OnTheWire(t *testing.T) {
	box, router := netlab.New(t), netlab.New(t)
	box.CableTo("six0", router, "six1", "2001:db8::1/64")
	said := make(chan dhcpv6.MessageType, 100)
	var card int
	box.Do(func() (err error) {
		if card, err = index("six0"); err != nil {
			return err
		}
		if err := firewall.Apply(firewall.Config{}); err != nil {
			return err
		}
		return linux.Up(card)
	})
	serveIPv6(t, router, "six1", saying(true), said)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var heard Advertisement
	box.Do(func() error {
		for heard.Router == (netip.Addr{}) && ctx.Err() == nil {
			listening, stop := context.WithTimeout(ctx, 10*time.Second)
			// No link-local address yet, at first.
			_ = Routers(listening, "six0", func(a Advertisement) { heard = a; stop() })
			stop()
			sleep(ctx, 100*time.Millisecond)
		}
		return ctx.Err()
	})
	if !heard.Managed || fmt.Sprint(heard.DNS, heard.Search) != "[2001:db8::1] [office.example.org]" {
		t.Errorf("heard %+v", heard)
	}
	box.Do(func() error {
		c := &Client6{Interface: "six0", Managed: true}
		l, err := c.Acquire(ctx, netip.Addr{})
		if err != nil {
			return err
		}
		if got := fmt.Sprint(l.Address, l.Lifetime, l.T1, l.T2, l.DNS, l.Search); got != "2001:db8::50/128 4h0m0s 1h0m0s 2h0m0s [2001:db8::53] [example.org]" {
			t.Errorf("lease %s", got)
		}
		if err := linux.AddAddress6(ctx, card, l.Address, l.Lifetime); err != nil {
			return err
		}
		if list, err := addresses(card); err != nil || !slices.Contains(list, l.Address) {
			t.Errorf("addresses %v, %v", list, err)
		}
		if l, err = c.Renew(ctx, l); err != nil {
			return err
		}
		if l, err = c.Rebind(ctx, l); err != nil {
			return err
		}
		if err := c.Decline(ctx, l); err != nil {
			return err
		}
		if err := linux.RemoveAddress(card, l.Address); err != nil {
			return err
		}
		// Somebody else has the address of the router.
		if err := linux.AddAddress6(ctx, card, netip.MustParsePrefix("2001:db8::1/128"), time.Hour); err == nil {
			t.Error("an address that is taken was given")
		} else if _, ok := err.(*TakenError); !ok && !strings.Contains(err.Error(), "2001:db8::1") {
			t.Error(err)
		}
		c.Managed = false
		if l, err = c.Acquire(ctx, netip.Addr{}); err != nil || l.Address.IsValid() || len(l.DNS) != 1 || l.T1 != refreshAfter {
			t.Errorf("without an address: %+v, %v", l, err)
		}
		return nil
	})
	var kinds []string
	for len(said) > 0 { // what is asked again, the answer being late, may still come
		kinds = append(kinds, (<-said).String())
	}
	if got := strings.Join(slices.Compact(kinds), " "); got != "SOLICIT REQUEST RENEW REBIND DECLINE INFORMATION-REQUEST" {
		t.Errorf("the server heard %s", got)
	}
}
