package netcfg

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

func ack(t *testing.T, addr string, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithYourIP(net.ParseIP(addr)),
		dhcpv4.WithMessageType(dhcpv4.MessageTypeAck),
	}, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	// As it comes over the wire.
	m, err = dhcpv4.FromBytes(m.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNewLease(t *testing.T) {
	mask24 := dhcpv4.WithNetmask(net.CIDRMask(24, 32))
	router := dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1), net.IPv4(192, 0, 2, 2))
	_, ten, _ := net.ParseCIDR("10.0.0.0/8")
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	for _, tt := range []struct {
		name string
		ack  *dhcpv4.DHCPv4
		want string
	}{
		{"usual", ack(t, "192.0.2.5", mask24, router, dhcpv4.WithDNS(net.IPv4(192, 0, 2, 3), net.IPv4zero),
			dhcpv4.WithOption(dhcpv4.OptDomainName("example.org")),
			dhcpv4.WithOption(dhcpv4.OptNTPServers(net.IPv4(192, 0, 2, 4))),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 9)))),
			"192.0.2.5/24 [{0.0.0.0/0 192.0.2.1}] [192.0.2.3] [192.0.2.4] [example.org] 192.0.2.9 <nil>"},
		{"no mask", ack(t, "10.1.2.3"), "10.1.2.3/8 [] [] [] [] invalid IP <nil>"},
		{"classless routes instead of the router", ack(t, "192.0.2.5", mask24, router,
			dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
				&dhcpv4.Route{Dest: ten, Router: net.IPv4(192, 0, 2, 7)},
				&dhcpv4.Route{Dest: ten, Router: net.IPv4zero},
				&dhcpv4.Route{Dest: all, Router: net.IPv4(192, 0, 2, 8)}))),
			"192.0.2.5/24 [{10.0.0.0/8 192.0.2.7} {10.0.0.0/8 invalid IP} {0.0.0.0/0 192.0.2.8}] [] [] [] invalid IP <nil>"},
		{"search domains instead of the domain", ack(t, "192.0.2.5", mask24, dhcpv4.WithOption(dhcpv4.OptDomainName("example.org")),
			dhcpv4.WithOption(dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{"office.example.org", "example.net"}}))),
			"192.0.2.5/24 [] [] [] [office.example.org example.net] invalid IP <nil>"},
		{"a domain that is none", ack(t, "192.0.2.5", mask24, dhcpv4.WithOption(dhcpv4.OptDomainName("x\nnameserver 1.2.3.4"))),
			"192.0.2.5/24 [] [] [] [] invalid IP <nil>"},
		{"no address", ack(t, "0.0.0.0", mask24), "DHCP: the server grants 0.0.0.0, which is no address for a host"},
		{"loopback", ack(t, "127.0.0.1", mask24), "DHCP: the server grants 127.0.0.1, which is no address for a host"},
		{"empty mask", ack(t, "192.0.2.5", dhcpv4.WithNetmask(net.CIDRMask(0, 32))), "DHCP: the server gives the network mask 00000000"},
		{"torn mask", ack(t, "192.0.2.5", dhcpv4.WithNetmask(net.IPMask{255, 0, 255, 0})), "DHCP: the server gives the network mask ff00ff00"},
	} {
		l, err := newLease(tt.ack, time.Now())
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(l.Address, l.Routes, l.DNS, l.NTP, " ", l.Search, " ", l.Server, " ", err)
		}
		if got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func FuzzNewLease(f *testing.F) {
	m, err := dhcpv4.New(dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 5)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 3)), dhcpv4.WithLeaseTime(3600))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		l, err := newLease(m, time.Now())
		if err != nil {
			return
		}
		if !l.Address.IsValid() || l.Address.Bits() == 0 {
			t.Errorf("address %v", l.Address)
		}
		if l.Lifetime != 0 && !(0 < l.T1 && l.T1 < l.T2 && l.T2 < l.Lifetime) {
			t.Errorf("times %v %v %v", l.T1, l.T2, l.Lifetime)
		}
	})
}
