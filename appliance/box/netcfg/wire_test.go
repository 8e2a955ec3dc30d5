package netcfg

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/vishvananda/netlink"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/box/firewall"
	"pillarbox/appliance/box/netlab"
)

// wired is a whole Manager, on a network of this process, with a cable to other.
type wired struct {
	*Manager
	t        *testing.T
	other    *netlab.Space
	mu       sync.Mutex
	resolver Resolver
}

// onTheWire runs a Manager on eth0, behind the firewall, whose cable leads to a
// network where addresses are those of eth0.
func onTheWire(t *testing.T, settings boxapi.Network, before func(other *netlab.Space), addresses ...string) *wired {
	t.Helper()
	w := &wired{t: t, other: netlab.New(t)}
	netlab.Here(t).Cable("eth0", w.other, addresses...)
	if err := firewall.Apply(firewall.Config{}); err != nil {
		t.Fatal(err)
	}
	// The other end has no link-local address without a carrier.
	card, err := index("eth0")
	if err == nil {
		err = linux.Up(card)
	}
	if err != nil {
		t.Fatal(err)
	}
	before(w.other)
	w.Manager = New(Config{
		Kernel:        linux,
		DHCP:          func(l Link) Exchange { return &Client{Interface: l.Name, Hostname: func() string { return "mail" }} },
		DHCP6:         func(l Link, managed bool) Exchange { return &Client6{Interface: l.Name, Managed: managed} },
		Routers:       Routers,
		Neighbourhood: ARP{},
		SetResolver: func(r Resolver) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.resolver = r
			return nil
		},
		Changed: func() {},
		Log:     slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, settings)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

// state is what Status says of eth0, and what is wrong.
func (w *wired) state() (boxapi.Interface, string) {
	w.t.Helper()
	list, problems, err := w.Status()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range list {
		if i.Name == "eth0" {
			return i, strings.Join(problems, "; ")
		}
	}
	return boxapi.Interface{}, strings.Join(problems, "; ")
}

// until waits for a state, which comes within seconds; where a machine is so slow
// that the time to rebind is missed, with the try after a minute.
func (w *wired) until(what string, ok func(i boxapi.Interface, problems string) bool) {
	w.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		i, problems := w.state()
		if ok(i, problems) {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s does not come about: %+v, problems %q", what, i, problems)
		}
	}
}

// granting is a DHCP server at self that grants 192.0.2.50 and those after it, the
// next one when one is declined.
type granting struct {
	self     net.IP
	t1, t2   uint32 // seconds
	mu       sync.Mutex
	declined byte
	heard    []string
}

// serve answers on eth0 of s until stop is called.
func (g *granting) serve(t *testing.T, s *netlab.Space) (stop func()) {
	var srv *server4.Server
	s.Do(func() (err error) {
		srv, err = server4.NewServer("eth0", &net.UDPAddr{Port: dhcpv4.ServerPort}, func(c net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
			if answer := g.answer(m); answer != nil {
				if _, err := c.WriteTo(answer.ToBytes(), peer); err != nil {
					t.Log("DHCP server:", err) // it may have been stopped
				}
			}
		})
		return err
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve() // ends when it is closed
	}()
	var once sync.Once
	stop = func() { once.Do(func() { srv.Close(); <-done }) }
	t.Cleanup(stop)
	return stop
}

func (g *granting) answer(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	g.mu.Lock()
	defer g.mu.Unlock()
	heard := m.MessageType().String()
	if ip := m.RequestedIPAddress(); ip != nil {
		heard += " " + ip.String()
	}
	g.heard = append(g.heard, heard)
	kind := dhcpv4.MessageTypeOffer
	switch m.MessageType() {
	case dhcpv4.MessageTypeDecline:
		g.declined++
		return nil
	case dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
		if id := m.ServerIdentifier(); id != nil && !id.Equal(g.self) {
			return nil // it was said to another server
		}
	}
	seconds := func(code dhcpv4.OptionCode, s uint32) dhcpv4.Modifier {
		return dhcpv4.WithGeneric(code, []byte{byte(s >> 24), byte(s >> 16), byte(s >> 8), byte(s)})
	}
	answer, err := dhcpv4.NewReplyFromRequest(m,
		dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(g.self), dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 50+g.declined)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(g.self)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)), dhcpv4.WithLeaseTime(120),
		seconds(dhcpv4.OptionRenewTimeValue, g.t1), seconds(dhcpv4.OptionRebindingTimeValue, g.t2))
	if err != nil {
		return nil
	}
	return answer
}

func (g *granting) said() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.heard, ", ")
}

// The server that granted the lease is gone when it is to be renewed; another one
// on the network extends it, and the address stays all the while.
func TestServerDiesAndAnotherTakesOver(t *testing.T) {
	if !netlab.Alone(t) {
		return
	}
	first := &granting{self: net.IPv4(192, 0, 2, 1).To4(), t1: 6, t2: 8}
	second := &granting{self: net.IPv4(192, 0, 2, 2).To4(), t1: 60, t2: 100}
	var stop func()
	w := onTheWire(t, boxapi.Network{}, func(other *netlab.Space) { stop = first.serve(t, other) }, "192.0.2.1/24", "192.0.2.2/24")
	w.until("a lease", func(i boxapi.Interface, _ string) bool { return i.Lease != nil })
	since, problems := w.state()
	if since.Lease.Server != "192.0.2.1" || !slices.Contains(since.Addresses, "192.0.2.50/24") || since.Gateway != "192.0.2.1" || problems != "" {
		t.Errorf("at first %+v, problems %q", since, problems)
	}
	stop()
	w.until("what is wrong", func(i boxapi.Interface, problems string) bool {
		return strings.Contains(problems, "no DHCP server answers") && slices.Contains(i.Addresses, "192.0.2.50/24")
	})
	second.serve(t, w.other)
	w.until("the other server's lease", func(i boxapi.Interface, problems string) bool {
		if !slices.Contains(i.Addresses, "192.0.2.50/24") {
			t.Fatalf("the address was given up: %+v, problems %q", i, problems)
		}
		return i.Lease.Server == "192.0.2.2" && problems == ""
	})
	if now, _ := w.state(); !now.Since.Equal(since.Since) {
		t.Errorf("the address changed at %v", now.Since)
	}
	if strings.Contains(second.said(), "DISCOVER") {
		t.Errorf("the other server heard %s", second.said())
	}
}

// hardware is the address of eth0 of s.
func hardware(s *netlab.Space) (mac string) {
	s.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err == nil {
			mac = l.Attrs().HardwareAddr.String()
		}
		return err
	})
	return mac
}

// What is granted is in use by another station: it is declined, and the next taken.
// Later a station comes that uses that one as well.
func TestConflictOnTheWire(t *testing.T) {
	if !netlab.Alone(t) {
		return
	}
	server := &granting{self: net.IPv4(192, 0, 2, 1).To4(), t1: 60, t2: 100}
	w := onTheWire(t, boxapi.Network{}, func(other *netlab.Space) { server.serve(t, other) }, "192.0.2.1/24", "192.0.2.50/24")
	owner := hardware(w.other)
	w.until("a sentence that says who has it", func(i boxapi.Interface, problems string) bool {
		if slices.Contains(i.Addresses, "192.0.2.50/24") {
			t.Fatal("the address was used")
		}
		return strings.Contains(problems, owner+", has the address 192.0.2.50")
	})
	w.until("the next address", func(i boxapi.Interface, problems string) bool {
		return slices.Equal(i.Addresses, []string{"192.0.2.51/24"}) && problems == ""
	})
	if !strings.Contains(server.said(), "DECLINE 192.0.2.50") {
		t.Errorf("the server heard %s", server.said())
	}
	// The box has the address a moment before it listens for others who use it.
	claim := func() error {
		c, err := openARP("eth0")
		if err != nil {
			return err
		}
		defer c.Close()
		a := netip.MustParseAddr("192.0.2.51")
		return c.ask(a, a)
	}
	w.until("the later conflict", func(i boxapi.Interface, problems string) bool {
		w.other.Do(claim)
		return strings.Contains(problems, owner+", has the address 192.0.2.51") && slices.Contains(i.Addresses, "192.0.2.51/24")
	})
}

// A fixed address that another station has is not used until it is given up, be it
// IPv4 or IPv6.
func TestFixedConflictOnTheWire(t *testing.T) {
	for _, a := range []string{"192.0.2.7/24", "2001:db8::7/64"} {
		t.Run(strings.SplitN(a, "/", 2)[1], func(t *testing.T) {
			if !netlab.Alone(t) {
				return
			}
			w := onTheWire(t, boxapi.Network{Mode: boxapi.ModeStatic, Address: a}, func(*netlab.Space) {}, a)
			plain := netip.MustParsePrefix(a).Addr().String()
			w.until("what is wrong", func(i boxapi.Interface, problems string) bool {
				return strings.Contains(problems, hardware(w.other)+", has the address "+plain)
			})
			if i, _ := w.state(); slices.Contains(i.Addresses, a) {
				t.Errorf("it is used: %+v", i)
			}
		})
	}
}

// On a network of IPv6 alone the box has an address, a router and name servers, and
// nothing is wrong: be it that routers tell all, or that a DHCPv6 server grants the
// address.
func TestIPv6AloneOnTheWire(t *testing.T) {
	for name, managed := range map[string]bool{"routers": false, "DHCPv6": true} {
		t.Run(name, func(t *testing.T) {
			if !netlab.Alone(t) {
				return
			}
			said := make(chan dhcpv6.MessageType, 100)
			w := onTheWire(t, boxapi.Network{}, func(other *netlab.Space) {
				serveIPv6(t, other, "eth0", saying(managed), said)
			}, "2001:db8::1/64")
			w.until("an address and a router", func(i boxapi.Interface, problems string) bool {
				return len(i.Addresses) == 1 && strings.HasPrefix(i.Gateway, "fe80::") && problems == ""
			})
			i, _ := w.state()
			if a := i.Addresses[0]; managed && a != "2001:db8::50/128" || !managed && !strings.HasPrefix(a, "2001:db8::") {
				t.Errorf("address %s", a)
			}
			w.until("name servers", func(i boxapi.Interface, _ string) bool { return slices.Contains(i.DNS, "2001:db8::1") })
			w.mu.Lock()
			defer w.mu.Unlock()
			if !slices.Contains(w.resolver.Search, "office.example.org") {
				t.Errorf("resolver %v", w.resolver)
			}
			if way("2001:db8:ffff::1") == 0 {
				t.Error("nothing leads to the world")
			}
		})
	}
}
