package nettest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/wire"
)

// network is one that works until a test breaks it.
type network struct {
	interfaces []boxapi.Interface
	mac        error
	rcode      int
	dns, ntp   error
	greeting   string
}

func working() *network {
	return &network{greeting: "220 mx.example.org ready\r\n", interfaces: []boxapi.Interface{
		{Name: "eth1"},
		{Name: "eth0", Link: true, Speed: 1000, Addresses: []string{"192.0.2.5/24", "fe80::1/64"}, Gateway: "192.0.2.1", DNS: []string{"192.0.2.53", "192.0.2.54"}},
	}}
}

func (n *network) config() Config {
	return Config{
		Interfaces:  func() ([]boxapi.Interface, error) { return n.interfaces, nil },
		TimeServers: func() []string { return []string{"ntp.example.org"} },
		Neighbour:   func(context.Context, string, netip.Addr) error { return n.mac },
		Exchange: func(_ context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
			if server == "192.0.2.53:53" { // the first one is always down
				return nil, errors.New("timeout")
			}
			if n.dns != nil {
				return nil, n.dns
			}
			r := new(dns.Msg).SetRcode(q, n.rcode)
			if q.Question[0].Qtype == dns.TypeMX {
				r.Answer = []dns.RR{&dns.MX{Hdr: dns.RR_Header{Rrtype: dns.TypeMX}, Mx: "mx.example.org."}}
			}
			return r, nil
		},
		Ask: func(context.Context, string) (time.Duration, error) { return 12 * time.Millisecond, n.ntp },
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			if n.greeting == "" {
				return nil, errors.New("connection timed out")
			}
			box, server := net.Pipe()
			go func() {
				defer server.Close()
				if _, err := server.Write([]byte(n.greeting)); err == nil && strings.HasSuffix(n.greeting, "\n") {
					_, _ = server.Read(make([]byte, 16)) // QUIT, or the end
				}
			}()
			return box, nil
		},
	}
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		test   string
		breaks func(*network)
		ok     bool
		detail string
	}{
		{boxapi.TestLink, nil, true, "eth0 (1000 Mbit/s)"},
		{boxapi.TestLink, func(n *network) { n.interfaces[1].Link = false }, false, "no signal"},
		{boxapi.TestLink, func(n *network) { n.interfaces = nil }, false, "no network card"},
		{boxapi.TestAddress, nil, true, "192.0.2.5/24"},
		{boxapi.TestAddress, func(n *network) { n.interfaces[1].Addresses = []string{"fe80::1/64"} }, false, "no address"},
		{boxapi.TestGateway, nil, true, "192.0.2.1"},
		{boxapi.TestGateway, func(n *network) { n.mac = errors.New("does not answer") }, false, "192.0.2.1: does not answer"},
		{boxapi.TestGateway, func(n *network) { n.interfaces[1].Gateway = "" }, false, "no router is known"},
		{boxapi.TestDNS, nil, true, "192.0.2.54"},
		{boxapi.TestDNS, func(n *network) { n.rcode = dns.RcodeServerFailure; n.interfaces[1].DNS = []string{"192.0.2.54"} }, false, "192.0.2.54: SERVFAIL"},
		{boxapi.TestDNS, func(n *network) { n.interfaces[1].DNS = nil }, false, "no name server is known"},
		{boxapi.TestTime, nil, true, "ntp.example.org, +0.012 s"},
		{boxapi.TestTime, func(n *network) { n.ntp = errors.New("no answer") }, false, "ntp.example.org: no answer"},
		{boxapi.TestPort25, nil, true, "mx.example.org"},
		{boxapi.TestPort25, func(n *network) { n.greeting = "" }, false, "mx.example.org: connection timed out"},
		{boxapi.TestPort25, func(n *network) { n.greeting = "554 go away\r\n" }, false, `mx.example.org: greets with "554 go away"`},
		{boxapi.TestPort25, func(n *network) { n.greeting = "220" }, false, "mx.example.org: no greeting"},
		{boxapi.TestPort25, func(n *network) { n.dns = errors.New("timeout") }, false, "timeout"},
	} {
		n := working()
		if tt.breaks != nil {
			tt.breaks(n)
		}
		got, err := n.config().Run(t.Context(), tt.test)
		if err != nil || got.Test != tt.test || got.OK != tt.ok || !strings.Contains(got.Detail, tt.detail) {
			t.Errorf("%s: %+v, %v, want ok %v, %q", tt.test, got, err, tt.ok, tt.detail)
		}
	}
	var we *wire.Error
	if _, err := working().config().Run(t.Context(), "luck"); !errors.As(err, &we) || we.Field != "test" {
		t.Errorf("an unknown test: %v", err)
	}
}

// The loopback device is nobody's neighbour, and an interface may be gone.
func TestNeighbour(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*neighbourPoll)
	defer cancel()
	if err := neighbour(ctx, "lo", netip.MustParseAddr("127.0.0.1")); err == nil {
		t.Error("the loopback device has a router")
	}
	if err := neighbour(t.Context(), "gone0", netip.MustParseAddr("192.0.2.1")); err == nil {
		t.Error("a device that is not there has a router")
	}
}
