package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
)

func TestBlockLists(t *testing.T) {
	gone := &net.DNSError{IsNotFound: true}
	answers := func(codes map[string]string, otherwise error) func(context.Context, string) ([]netip.Addr, error) {
		return func(_ context.Context, name string) ([]netip.Addr, error) {
			for list, code := range codes {
				if strings.HasPrefix(name, "7.113.0.203.") && strings.HasSuffix(name, "."+list) {
					return []netip.Addr{netip.MustParseAddr(code)}, nil
				}
			}
			return nil, otherwise
		}
	}
	for name, tt := range map[string]struct {
		lookup func(context.Context, string) ([]netip.Addr, error)
		level  healthapi.Level
		known  bool
	}{
		"on none":             {answers(nil, gone), healthapi.OK, true},
		"on one":              {answers(map[string]string{"bl.spamcop.net": "127.0.0.2"}, gone), healthapi.Watch, true},
		"refused by the list": {answers(map[string]string{"zen.spamhaus.org": "127.255.255.254"}, gone), healthapi.OK, true},
		"a network that lies": {answers(map[string]string{"zen.spamhaus.org": "198.51.100.1"}, gone), healthapi.OK, true},
		"nobody answers":      {answers(nil, errors.New("timeout")), healthapi.OK, false},
		"one answers, listed": {answers(map[string]string{"psbl.surriel.com": "127.0.0.2"}, errors.New("timeout")), healthapi.Watch, true},
	} {
		found := listed(t.Context(), []netip.Addr{netip.MustParseAddr("203.0.113.7")}, tt.lookup)
		if f := find(found, "blocklist/203.0.113.7"); len(found) > 0 != tt.known || f.level != tt.level || (f.what == "") != (f.level == healthapi.OK) {
			t.Errorf("%s: %+v", name, found)
		}
	}
	if got := reversed(netip.MustParseAddr("2001:db8::1")); got != "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2" {
		t.Error(got)
	}
	public := publicAddresses(&boxapi.Status{Interfaces: []boxapi.Interface{{Addresses: []string{"192.168.1.5/24", "203.0.113.7/29", "100.64.3.4/10", "fe80::1/64", "2a00:db8::5/64", "fd00::1/8", "fec0::2/64", "?"}}}})
	if len(public) != 2 || public[0].String() != "203.0.113.7" || public[1].String() != "2a00:db8::5" {
		t.Errorf("%v", public)
	}
}
