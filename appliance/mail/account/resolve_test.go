package account

import (
	"slices"
	"strings"
	"testing"

	"pillarbox/appliance/store/store"
)

func TestResolve(t *testing.T) {
	d, _, _ := provisioned(t)
	ann, bob := id(t, d, "ann@example.org"), id(t, d, "bob@example.org")
	for _, tt := range []struct {
		addr string
		want Resolution
	}{
		{"ann@example.org", Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{ann}}},
		{"ANN@Example.ORG", Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{ann}}},
		{`"ann"@example.org`, Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{ann}}},
		{"ann+lists@example.org", Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{ann}, Detail: "lists"}},
		{"info+x@example.org", Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{ann}, Detail: "x"}},
		{"info@example.org", Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{ann}}},
		{"all@example.org", Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{ann, bob}, Forward: []string{"Carl@elsewhere.example"}}},
		{"postmaster@example.net", Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{ann}}},
		{"postmaster@mail.example.org", Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{ann}}},
		{"ann@mail.example.org", Resolution{}},
		{"postmaster@elsewhere.example", Resolution{}},
		{"PostMaster", Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{ann}}},
		{"nobody@example.org", Resolution{Hosted: true}},
		{"nobody+x@example.org", Resolution{Hosted: true, Detail: "x"}},
		{"+x@example.org", Resolution{Hosted: true}},
		{"bob@example.net", Resolution{Hosted: true}},
		{"ann@elsewhere.example", Resolution{}},
		{"root", Resolution{}},
		{"", Resolution{}},
		{"ann@[192.0.2.1]", Resolution{}},
	} {
		got, err := d.Resolve(t.Context(), tt.addr)
		slices.Sort(got.Mailboxes)
		if err != nil || got.Hosted != tt.want.Hosted || got.Known != tt.want.Known || got.Known && got.Detail != tt.want.Detail ||
			!slices.Equal(got.Mailboxes, tt.want.Mailboxes) || !slices.Equal(got.Forward, tt.want.Forward) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.addr, got, err, tt.want)
		}
	}
}

// TestResolveLoops has loops that the checks of the API keep out but a store
// may hold.
func TestResolveLoops(t *testing.T) {
	d, _, _ := provisioned(t)
	d.aliases["a@example.org"] = aliasRecord{Address: "a@example.org", Target: "b@example.org"}
	d.aliases["b@example.org"] = aliasRecord{Address: "b@example.org", Target: "a@example.org"}
	d.groups["g@example.org"] = groupRecord{Address: "g@example.org", Members: []string{"g@example.org", "a@example.org", "bob@example.org", "gone@example.org"}}
	last := "bob@example.org"
	for i := range 30 {
		a := strings.Repeat("x", i+1) + "@example.org"
		d.aliases[a] = aliasRecord{Address: a, Target: last}
		last = a
	}
	for addr, want := range map[string]int{"a@example.org": 0, "g@example.org": 1, "xxx@example.org": 1, last: 0} {
		got, err := d.Resolve(t.Context(), addr)
		if err != nil || !got.Known || len(got.Mailboxes) != want || got.TooMuch != (addr == last) {
			t.Errorf("%s: got %+v, %v, want %d mailboxes", addr, got, err, want)
		}
	}
	if ok, err := d.SenderAllowed(t.Context(), "bob@example.org", "a@example.org"); ok || err != nil {
		t.Errorf("sender in a loop: %v, %v", ok, err)
	}
}

func TestSenderAllowed(t *testing.T) {
	d, _, _ := provisioned(t)
	for _, tt := range []struct {
		user, from string
		want       bool
	}{
		{"ann@example.org", "ann@example.org", true},
		{"ann@example.org", "Ann@EXAMPLE.org", true},
		{"ann@example.org", "ann+shop@example.org", true},
		{"ann@example.org", "ann@example.net", true},
		{"ann@example.org", "info@example.org", true},
		{"ann@example.org", "", true},
		{"ann@example.org", "postmaster@example.net", true},
		{"bob@example.org", "postmaster@example.net", false},
		{"bob@example.org", "ann@example.org", false},
		{"bob@example.org", "info@example.org", false},
		{"bob@example.org", "staff@example.org", false},
		{"bob@example.org", "bob@elsewhere.example", false},
		{"bob@example.org", "not an address", false},
		{"nobody@example.org", "nobody@example.org", false},
	} {
		got, err := d.SenderAllowed(t.Context(), tt.user, tt.from)
		if err != nil || got != tt.want {
			t.Errorf("%s as %q: %v, %v", tt.user, tt.from, got, err)
		}
	}
}
