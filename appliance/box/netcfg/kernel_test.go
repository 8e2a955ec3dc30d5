package netcfg

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"

	"pillarbox/appliance/box/firewall"
	"pillarbox/appliance/box/netlab"
)

var linux = Linux{Sys: "/sys", Proc: "/proc"}

// index is that of an interface of the present namespace.
func index(name string) (int, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	return l.Attrs().Index, nil
}

// way is the interface that leads to addr, 0 if none does.
func way(addr string) int {
	routes, err := netlink.RouteGet(net.ParseIP(addr))
	if err != nil || len(routes) == 0 {
		return 0
	}
	return routes[0].LinkIndex
}

// addresses are those of an interface, in any order.
func addresses(index int) ([]netip.Prefix, error) {
	links, err := linux.Links()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Index == index {
			return l.Addresses, nil
		}
	}
	return nil, nil
}

// serveDHCP hands out 192.0.2.50 on eth0 of s until stop is called, and refuses
// what is asked for while refuse is set.
func serveDHCP(t *testing.T, s *netlab.Space, refuse *atomic.Bool) (stop func()) {
	var srv *server4.Server
	s.Do(func() (err error) {
		router := net.IPv4(192, 0, 2, 1).To4()
		srv, err = server4.NewServer("eth0", &net.UDPAddr{Port: dhcpv4.ServerPort}, func(c net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
			kind := dhcpv4.MessageTypeOffer
			if m.MessageType() == dhcpv4.MessageTypeRequest {
				kind = dhcpv4.MessageTypeAck
				if refuse.Load() {
					kind = dhcpv4.MessageTypeNak
				}
			}
			answer, err := dhcpv4.NewReplyFromRequest(m,
				dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(router), dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 50)),
				dhcpv4.WithOption(dhcpv4.OptServerIdentifier(router)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
				dhcpv4.WithRouter(router), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53)), dhcpv4.WithLeaseTime(3600),
				dhcpv4.WithOption(dhcpv4.OptDomainName("example.org")))
			if err == nil {
				_, err = c.WriteTo(answer.ToBytes(), peer)
			}
			if err != nil {
				t.Error(err)
			}
		})
		return err
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve() // ends when it is closed
	}()
	return func() {
		srv.Close()
		<-done
	}
}

// A lease from a server on the wire, through the firewall: acquired, renewed,
// rebound, refused, and asked for in vain when the server has died.
func TestLeaseOnTheWire(t *testing.T) {
	box, router := netlab.New(t), netlab.New(t)
	box.Cable("eth0", router, "192.0.2.1/24")
	var refuse atomic.Bool
	stop := serveDHCP(t, router, &refuse)
	defer func() { stop() }()
	ctx := context.Background()
	client := &Client{Interface: "eth0", Hostname: func() string { return "mail.example.org" }}
	box.Do(func() error {
		eth0, err := index("eth0")
		if err != nil {
			return err
		}
		if err := firewall.Apply(firewall.Config{}); err != nil {
			return err
		}
		if err := linux.Prepare(); err != nil {
			return err
		}
		if err := linux.Up(eth0); err != nil {
			return err
		}
		lease, err := client.Acquire(ctx, netip.Addr{})
		if err != nil {
			return err
		}
		want := netip.MustParsePrefix("192.0.2.50/24")
		if lease.Address != want || !slices.Equal(lease.Search, []string{"example.org"}) || !slices.Equal(lease.DNS, []netip.Addr{netip.MustParseAddr("192.0.2.53")}) {
			t.Errorf("lease %+v", lease)
		}
		if err := linux.Configure(eth0, lease.setup(), baseMetric); err != nil {
			return err
		}
		got, err := addresses(eth0)
		if err != nil {
			return err
		}
		if !slices.Equal(got, []netip.Prefix{want}) || way("198.51.100.1") != eth0 {
			t.Errorf("addresses %v, the world by interface %d", got, way("198.51.100.1"))
		}
		if lease, err = client.Renew(ctx, lease); err != nil {
			t.Errorf("renew: %v", err)
			return nil
		}
		if lease, err = client.Rebind(ctx, lease); err != nil {
			t.Errorf("rebind: %v", err)
			return nil
		}
		refuse.Store(true)
		if _, err := client.Renew(ctx, lease); err != ErrRefused {
			t.Errorf("refused: %v", err)
		}
		stop()
		stop = func() {}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := client.Rebind(short, lease); err == nil || err == ErrRefused {
			t.Errorf("without a server: %v", err)
		}
		if err := linux.Clear(eth0); err != nil {
			return err
		}
		if got, err = addresses(eth0); err != nil || len(got) > 0 || way("198.51.100.1") != 0 {
			t.Errorf("cleared: %v, %v, the world by interface %d", got, err, way("198.51.100.1"))
		}
		return nil
	})
}

// When the cable of one interface is pulled the other leads to the world, and the
// first again when it is back.
func TestCablePulled(t *testing.T) {
	box, a, b := netlab.New(t), netlab.New(t), netlab.New(t)
	box.Cable("eth0", a, "192.0.2.1/24")
	box.Cable("eth1", b, "198.51.100.1/24")
	var eth0, eth1 int
	box.Do(func() (err error) {
		if err := linux.Prepare(); err != nil {
			return err
		}
		for i, l := range []struct {
			name, address, gateway string
			index                  *int
		}{{"eth0", "192.0.2.2/24", "192.0.2.1", &eth0}, {"eth1", "198.51.100.2/24", "198.51.100.1", &eth1}} {
			if *l.index, err = index(l.name); err != nil {
				return err
			}
			if err := linux.Up(*l.index); err != nil {
				return err
			}
			gw := netip.MustParseAddr(l.gateway)
			s := Setup{Address: netip.MustParsePrefix(l.address), Routes: []Route{{Dst: defaultRoute(gw), Gateway: gw}}}
			if err := linux.Configure(*l.index, s, baseMetric+i); err != nil {
				return err
			}
		}
		return nil
	})
	by := func(want int) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; {
			var got int
			box.Do(func() error { got = way("203.0.113.1"); return nil })
			if got == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the world by interface %d, want %d", got, want)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	power := func(on bool) {
		a.Do(func() error {
			l, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			if on {
				return netlink.LinkSetUp(l)
			}
			return netlink.LinkSetDown(l)
		})
	}
	by(eth0)
	power(false)
	by(eth1)
	power(true)
	by(eth0)
}

// A fixed address is replaced by the next, whatever its family, and the address of
// the link stays.
func TestFixedAddresses(t *testing.T) {
	box, other := netlab.New(t), netlab.New(t)
	box.Cable("eth0", other, "192.0.2.1/24", "2001:db8::1/64")
	box.Do(func() error {
		eth0, err := index("eth0")
		if err != nil {
			return err
		}
		if err := linux.Up(eth0); err != nil {
			return err
		}
		for _, tt := range []struct{ address, gateway, world string }{
			{"192.0.2.2/24", "192.0.2.1", "203.0.113.1"},
			{"2001:db8::2/64", "2001:db8::1", "2001:db8:ffff::1"},
			{"2001:db8::3/64", "2001:db8::1", "2001:db8:ffff::1"},
			{"192.0.2.3/24", "", ""},
			{"192.0.2.3/32", "192.0.2.1", "203.0.113.1"}, // a router outside the network
			{"192.0.2.4/24", "192.0.2.1", "203.0.113.1"},
		} {
			s, err := staticSetup(addressing{address: tt.address, gateway: tt.gateway})
			if err != nil {
				return err
			}
			if err := linux.Configure(eth0, s, baseMetric); err != nil {
				return err
			}
			got, err := addresses(eth0)
			if err != nil {
				return err
			}
			if !slices.Equal(got, []netip.Prefix{s.Address}) {
				t.Errorf("%s: %v", tt.address, got)
			}
			for _, world := range []string{"203.0.113.1", "2001:db8:ffff::1"} {
				if reached := way(world) == eth0; reached != (world == tt.world) {
					t.Errorf("%s: %s reached: %v", tt.address, world, reached)
				}
			}
		}
		return linux.Clear(eth0)
	})
}

// Of routes of which one is of no use the others are made; an address for ever that
// DHCPv6 gave stays when that of IPv4 comes.
func TestSomeOfTheRoutes(t *testing.T) {
	box, other := netlab.New(t), netlab.New(t)
	box.Cable("eth0", other, "192.0.2.1/24", "2001:db8::1/64")
	box.Do(func() error {
		eth0, err := index("eth0")
		if err != nil {
			return err
		}
		six := netip.MustParsePrefix("2001:db8::5/128")
		if err := errors.Join(linux.Up(eth0), linux.AddAddress6(t.Context(), eth0, six, longest6)); err != nil {
			return err
		}
		s := Setup{Address: netip.MustParsePrefix("192.0.2.2/24"), Routes: []Route{
			{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParseAddr("224.0.0.1")}, // by no host
			{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.0.2.1")},
		}}
		err = linux.Configure(eth0, s, baseMetric)
		if some := (*RouteError)(nil); !errors.As(err, &some) || len(some.Faults) != 1 || way("198.51.100.1") != eth0 {
			t.Errorf("%v, reached by %d", err, way("198.51.100.1"))
		}
		if list, err := addresses(eth0); err != nil || !slices.Contains(list, six) {
			t.Errorf("addresses %v, %v", list, err)
		}
		s.Routes = s.Routes[:1]
		err = linux.Configure(eth0, s, baseMetric)
		if some := (*RouteError)(nil); err == nil || errors.As(err, &some) {
			t.Errorf("no route at all: %v", err)
		}
		return linux.Clear(eth0)
	})
}
