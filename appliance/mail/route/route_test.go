package route

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pillarbox/appliance/mail/smtpclient"
)

// zone is a Resolver of records in a map. An error stands for itself.
type zone map[string]any

func (z zone) LookupMX(_ context.Context, domain string) ([]MX, error) {
	switch v := z["mx "+domain].(type) {
	case []MX:
		return v, nil
	case error:
		return nil, v
	}
	return nil, nil
}

func (z zone) LookupAddr(_ context.Context, host string) ([]netip.Addr, error) {
	switch v := z[host].(type) {
	case string:
		var addrs []netip.Addr
		for _, s := range strings.Fields(v) {
			addrs = append(addrs, netip.MustParseAddr(s))
		}
		return addrs, nil
	case error:
		return nil, v
	}
	return nil, ErrNoDomain
}

func TestRoute(t *testing.T) {
	errServer := errors.New("SERVFAIL")
	z := zone{
		"mx one.example":       []MX{{10, "mx.one.example"}},
		"mx order.example":     []MX{{30, "c.example"}, {10, "a.example"}, {20, "B.example."}, {40, "a.example"}},
		"mx null.example":      []MX{{0, "."}},
		"mx nullplus.example":  []MX{{0, "."}, {10, "mx.example"}},
		"mx nowhere.example":   ErrNoDomain,
		"mx broken.example":    errServer,
		"mx backup.example":    []MX{{10, "a.example"}, {20, "BOX.example.org"}, {20, "b.example"}, {30, "c.example"}},
		"mx loop.example":      []MX{{10, "box.example.org"}, {20, "b.example"}},
		"mx xn--exmple-cua.de": []MX{{10, "mx.de"}},
	}
	r := New(Config{Resolver: z, Hostname: func() string { return "box.example.org" }})
	for _, c := range []struct {
		address string
		hosts   string
		status  string
		perm    bool
	}{
		{address: "a@one.example", hosts: "mx.one.example"},
		{address: `"a@b"@ONE.example`, hosts: "mx.one.example"},
		{address: "a@order.example", hosts: "a.example b.example c.example"},
		{address: "a@implicit.example", hosts: "implicit.example"},
		{address: "a@implicit.example.", hosts: "implicit.example"},
		{address: "a@exämple.de", hosts: "mx.de"},
		{address: "a@null.example", status: "5.1.10", perm: true},
		{address: "a@nullplus.example", hosts: "mx.example"},
		{address: "a@nowhere.example", status: "5.1.2", perm: true},
		{address: "a@broken.example", status: "4.4.3"},
		{address: "a@backup.example", hosts: "a.example"},
		{address: "a@loop.example", status: "5.4.6", perm: true},
		{address: "a@box.example.org", status: "5.4.6", perm: true},
		{address: "a@[192.0.2.1]", status: "5.1.2", perm: true},
		{address: "a@", status: "5.1.2", perm: true},
		{address: "a@-bad-.example", status: "5.1.2", perm: true},
	} {
		got, err := r.Route(context.Background(), r.Destination(c.address))
		var names []string
		for _, h := range got.Hosts {
			names = append(names, h.Name)
			if h.Port != 25 || h.TLS.Mode != smtpclient.TLSOpportunistic || got.Auth != nil {
				t.Errorf("%s: %+v", c.address, h)
			}
		}
		if hosts := strings.Join(names, " "); hosts != c.hosts {
			t.Errorf("%s: hosts %q, want %q (%v)", c.address, hosts, c.hosts, err)
		}
		var e *Error
		if c.status == "" {
			if err != nil {
				t.Errorf("%s: %v", c.address, err)
			}
		} else if !errors.As(err, &e) || e.Status.String() != c.status || e.Permanent != c.perm || e.Temporary() == c.perm {
			t.Errorf("%s: %v, want %s permanent=%v", c.address, err, c.status, c.perm)
		}
	}
}

func TestEqualPreferencesAreShuffled(t *testing.T) {
	z := zone{"mx x.example": []MX{{10, "a.example"}, {10, "b.example"}, {20, "c.example"}}}
	r := New(Config{Resolver: z})
	first := map[string]int{}
	for range 200 {
		got, err := r.Route(context.Background(), r.Destination("u@x.example"))
		if err != nil || len(got.Hosts) != 3 || got.Hosts[2].Name != "c.example" {
			t.Fatalf("%+v %v", got, err)
		}
		first[got.Hosts[0].Name]++
	}
	if first["a.example"] == 0 || first["b.example"] == 0 { // once in 2^199 by chance
		t.Errorf("always the same host first: %v", first)
	}
	if want := (MX{10, "a.example"}); z["mx x.example"].([]MX)[0] != want {
		t.Error("the resolver's answer was reordered")
	}
}

func TestManyExchangers(t *testing.T) {
	var mxs []MX
	for i := range 100 {
		mxs = append(mxs, MX{uint16(i), "mx" + strings.Repeat("x", i) + ".example"})
	}
	r := New(Config{Resolver: zone{"mx x.example": mxs}})
	got, err := r.Route(context.Background(), r.Destination("u@x.example"))
	if err != nil || len(got.Hosts) != maxHosts {
		t.Errorf("%d hosts, %v", len(got.Hosts), err)
	}
}

func TestAddresses(t *testing.T) {
	z := zone{
		"both.example":     "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2",
		"local.example":    "127.0.0.1 ::1",
		"odd.example":      "0.0.0.0 224.0.0.1 fe80::1 ::ffff:127.0.0.1 192.0.2.7",
		"none.example":     "",
		"servfail.example": errors.New("SERVFAIL"),
	}
	r := New(Config{Resolver: z})
	lenient := New(Config{Resolver: z, AllowLoopback: true, Port: 2525})
	for _, c := range []struct {
		r      *Router
		host   Host
		want   string
		status string
	}{
		{r, Host{"both.example", 25, smtpclient.TLSPolicy{}, true}, "192.0.2.1:25 192.0.2.2:25 [2001:db8::1]:25 [2001:db8::2]:25", ""},
		{r, Host{"local.example", 25, smtpclient.TLSPolicy{}, true}, "", "5.4.4"},
		{r, Host{"local.example", 25, smtpclient.TLSPolicy{}, false}, "127.0.0.1:25 [::1]:25", ""},
		{lenient, Host{"local.example", 2525, smtpclient.TLSPolicy{}, true}, "127.0.0.1:2525 [::1]:2525", ""},
		{r, Host{"odd.example", 25, smtpclient.TLSPolicy{}, true}, "192.0.2.7:25", ""},
		{r, Host{"none.example", 25, smtpclient.TLSPolicy{}, true}, "", "5.4.4"},
		{r, Host{"unknown.example", 25, smtpclient.TLSPolicy{}, true}, "", "5.4.4"},
		{r, Host{"unknown.example", 25, smtpclient.TLSPolicy{}, false}, "", "4.4.4"},
		{r, Host{"servfail.example", 25, smtpclient.TLSPolicy{}, true}, "", "4.4.3"},
	} {
		got, err := c.r.Addresses(context.Background(), c.host)
		var s []string
		for _, a := range got {
			s = append(s, a.String())
		}
		if strings.Join(s, " ") != c.want {
			t.Errorf("%+v: %v, want %s", c.host, s, c.want)
		}
		var e *Error
		if errors.As(err, &e) != (c.status != "") || e != nil && (e.Status.String() != c.status || e.Permanent != (c.status[0] == '5')) {
			t.Errorf("%+v: error %v, want %s", c.host, err, c.status)
		}
	}
}

func TestParseSmartHost(t *testing.T) {
	for _, c := range []struct{ in, user, want string }{
		{"relay.example", "", "relay.example:25"},
		{"relay.example", "u", "relay.example:587"},
		{"relay.example:465", "u", "relay.example:465"},
		{"192.0.2.1:2525", "", "192.0.2.1:2525"},
		{"[2001:db8::1]:25", "", "[2001:db8::1]:25"},
		{"2001:db8::1", "", "[2001:db8::1]:25"},
		{"[2001:db8::1]", "", "[2001:db8::1]:25"},
		{"", "", ""}, {":25", "", ""}, {"a b", "", ""}, {"a:b:c", "", ""},
		{"relay.example:0", "", ""}, {"relay.example:65536", "", ""}, {"relay.example:smtp", "", ""},
		{"smtp://relay.example", "", ""},
	} {
		s, err := ParseSmartHost(c.in, c.user, "")
		got := ""
		if err == nil {
			got = s.String()
		}
		if got != c.want {
			t.Errorf("%q: %q %v, want %q", c.in, got, err, c.want)
		}
	}
	if _, err := ParseSmartHost("relay.example", "", "secret"); err == nil {
		t.Error("a password without a user passed")
	}
}

func TestSmartHostIsAskedEachTime(t *testing.T) {
	var current *SmartHost
	r := New(Config{Resolver: zone{"mx a.example": []MX{{1, "mx.a.example"}}}, SmartHost: func() *SmartHost { return current }})
	if d := r.Destination("u@a.example"); d.Key != "a.example" {
		t.Error(d)
	}
	current = &SmartHost{Host: "relay.example", Port: 465, User: "u", Password: "p"}
	d, e := r.Destination("u@a.example"), r.Destination("v@b.example")
	if d.Key != e.Key || d.Key == "a.example" {
		t.Error("mail through a smart host has one destination", d, e)
	}
	got, err := r.Route(context.Background(), d)
	if err != nil || len(got.Hosts) != 1 || got.Hosts[0].Name != "relay.example" || !got.Hosts[0].TLS.Immediate ||
		got.Hosts[0].TLS.Mode != smtpclient.TLSVerified || got.Auth == nil || got.Auth.Password != "p" {
		t.Errorf("%+v %v", got, err)
	}
	modes := []smtpclient.TLSMode{}
	for _, s := range []SmartHost{
		{Host: "relay.example"},
		{Host: "localhost", User: "u"},
		{Host: "127.0.0.1", User: "u"},
		{Host: "relay.example", User: "u", AnyCertificate: true},
		{Host: "relay.example", User: "u", AllowPlaintext: true},
	} {
		modes = append(modes, s.route().Hosts[0].TLS.Mode)
	}
	if want := []smtpclient.TLSMode{smtpclient.TLSOpportunistic, smtpclient.TLSOpportunistic, smtpclient.TLSOpportunistic,
		smtpclient.TLSRequired, smtpclient.TLSOpportunistic}; !slices.Equal(modes, want) {
		t.Errorf("modes %v, want %v", modes, want)
	}
}
