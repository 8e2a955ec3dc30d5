package machine

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/firewall"
)

type fakeFirewall struct {
	applied [][]netip.Prefix
	err     error
}

func (f *fakeFirewall) Apply(administration []netip.Prefix) error {
	f.applied = append(f.applied, administration)
	return f.err
}

func (f *fakeFirewall) Limited() ([]firewall.Limited, error) {
	return []firewall.Limited{{Source: netip.MustParsePrefix("198.51.100.7/32"), Dropped: 3, Last: time.Unix(1e9, 0)}}, nil
}

func TestFirewallFollowsTheSettings(t *testing.T) {
	m, _ := newTest(t)
	f := new(fakeFirewall)
	m.cfg.Firewall = f
	m.Start(t.Context())
	if len(f.applied) != 1 || len(f.applied[0]) != 0 {
		t.Fatalf("at the start: %v", f.applied)
	}
	got, err := m.Firewall(t.Context())
	if err != nil || !slices.Contains(got.Administration, "192.168.0.0/16") || len(got.Limited) != 1 || got.Limited[0].Source != "198.51.100.7/32" {
		t.Errorf("%+v, %v", got, err)
	}

	s, err := m.SetSettings(t.Context(), boxapi.Settings{Administration: []string{"192.0.2.7/24", " 2001:db8::1"}})
	if err != nil || !slices.Equal(s.Administration, []string{"192.0.2.0/24", "2001:db8::1/128"}) || len(f.applied) != 2 {
		t.Fatalf("%+v, %v, %v", s, f.applied, err)
	}
	// Something else changes: counters stay.
	s.Timezone = "Europe/Berlin"
	if _, err := m.SetSettings(t.Context(), *s); err != nil || len(f.applied) != 2 {
		t.Errorf("%v, %v", f.applied, err)
	}
	for _, bad := range []string{"", "office", "192.0.2.0/33", "192.0.2.1-9", "::ffff:192.0.2.0/120"} {
		var refused *wire.Error
		_, err := m.SetSettings(t.Context(), boxapi.Settings{Administration: []string{bad}})
		if !errors.As(err, &refused) || refused.Field != "administration" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err = m.SetSettings(t.Context(), boxapi.Settings{Administration: slices.Repeat([]string{"192.0.2.0/24"}, maxAdministration+1)})
	if err == nil {
		t.Error("a list without end")
	}

	f.err = errors.New("no such device")
	if _, err := m.SetSettings(t.Context(), boxapi.Settings{Administration: []string{"192.0.2.0/24"}}); err == nil {
		t.Error("a firewall that cannot be put up is not told")
	}
	st, err := m.Status(t.Context())
	if err != nil || !strings.Contains(strings.Join(st.Problems, "\n"), "firewall") {
		t.Errorf("problems: %v, %v", st.Problems, err)
	}
}

func TestTimeServersProveAllOrNothing(t *testing.T) {
	m, _ := newTest(t)
	for _, servers := range [][]string{{"nts://a.example.org", "nts://b.example.org:4461"}, {"a.example.org"}, nil} {
		if _, err := m.SetSettings(t.Context(), boxapi.Settings{NTP: servers}); err != nil {
			t.Errorf("%v: %v", servers, err)
		}
	}
	var refused *wire.Error
	_, err := m.SetSettings(t.Context(), boxapi.Settings{NTP: []string{"nts://a.example.org", "b.example.org"}})
	if !errors.As(err, &refused) || refused.Field != "ntp" {
		t.Errorf("mixed: %v", err)
	}
}
