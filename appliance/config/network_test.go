package config

import (
	"strings"
	"testing"
)

func TestNetworkCheck(t *testing.T) {
	ifs := func(list ...Interface) Network { return Network{Interfaces: list} }
	static := func(x Interface) Interface {
		x.Mode, x.Address = ModeStatic, "192.0.2.5/24"
		return x
	}
	for _, tt := range []struct {
		name string
		n    Network
		want string // field and message of each problem; empty: right
	}{
		{"nothing", Network{}, ""},
		{"a card by DHCP", Network{Interface: "enp3s0", MTU: 9000, Search: []string{"example.org"}, DNS: []string{"192.0.2.1"}}, ""},
		{"a fixed address", Network{Mode: ModeStatic, Address: "192.0.2.5/24", Gateway: "192.0.2.1"}, ""},
		{"of IPv6", Network{Mode: ModeStatic, Address: "2001:db8::5/64", Gateway: "fe80::1"}, ""},
		{"a bond and a VLAN on it", ifs(
			static(Interface{Name: "bond0", Bond: []string{"eth0", "eth1"}, BondMode: BondLACP, MTU: 9000}),
			Interface{Name: "office", VLAN: 5, Parent: "bond0", MTU: 1500},
			Interface{Name: "eth1", Mode: ModeNone},
		), ""},
		{"another mode", Network{Mode: "magic"}, `mode must be "dhcp" or "static"`},
		{"an address by DHCP", Network{Address: "192.0.2.5/24"}, `address is for mode = "static" alone`},
		{"no address", Network{Mode: ModeStatic}, "address is missing"},
		{"the box as its router", Network{Mode: ModeStatic, Address: "192.0.2.5/24", Gateway: "192.0.2.5"}, "gateway must not be the address of the box itself"},
		{"a router elsewhere", Network{Mode: ModeStatic, Address: "192.0.2.5/24", Gateway: "192.0.3.1"}, "gateway must be an address in the network 192.0.2.0/24"},
		{"a router of the other family", Network{Mode: ModeStatic, Address: "192.0.2.5/24", Gateway: "fe80::1"}, "gateway must be an address in the network 192.0.2.0/24"},
		{"small packets", Network{MTU: 500}, "mtu must be between 1280 and 65535"},
		{"a path for a name", Network{Interface: "../x"}, "interface must be the name of an interface such as eth0: at most 15 letters, digits, dots and dashes"},
		{"no domain", Network{Search: []string{"a b"}}, "search[1] must be a domain such as example.org"},
		{"two ways at once", Network{Mode: ModeDHCP, Interfaces: []Interface{{Name: "eth0"}}}, "mode must be given with each of the interfaces, since there are some"},
		{"without a name", ifs(Interface{}), "interfaces[1].name is missing"},
		{"twice", ifs(Interface{Name: "eth0"}, Interface{Name: "eth0"}), "interfaces[2].name is there twice: eth0"},
		{"a bond of a card with an address", ifs(Interface{Name: "bond0", Bond: []string{"eth0"}}, Interface{Name: "eth0"}),
			`interfaces[1].bond[1] must have mode = "none", or no settings at all, since the bond has the address: eth0`},
		{"a card in two bonds", ifs(Interface{Name: "a", Bond: []string{"eth0"}}, Interface{Name: "b", Bond: []string{"eth0"}}),
			"interfaces[2].bond[1] is in a already: eth0"},
		{"a bond of itself", ifs(Interface{Name: "a", Bond: []string{"a"}}),
			`interfaces[1].bond[1] must be another card: a; interfaces[1].bond[1] must be a card, not a bond or a VLAN: a`},
		{"a bond's mode alone", ifs(Interface{Name: "a", BondMode: BondLACP}), "interfaces[1].bond_mode needs bond, the cards it is made of"},
		{"another bond", ifs(Interface{Name: "a", Bond: []string{"eth0"}, BondMode: "x"}), `interfaces[1].bond_mode must be "active-backup" or "lacp"`},
		{"a VLAN of nothing", ifs(Interface{Name: "a", VLAN: 5}), "interfaces[1].parent is missing: the card or bond that the VLAN is on"},
		{"a VLAN too many", ifs(Interface{Name: "a", VLAN: 4095, Parent: "eth0"}), "interfaces[1].vlan must be between 1 and 4094"},
		{"a VLAN on a VLAN", ifs(Interface{Name: "a", VLAN: 5, Parent: "b"}, Interface{Name: "b", VLAN: 6, Parent: "eth0"}),
			"interfaces[1].parent must be a card or a bond, not a VLAN: b"},
		{"a VLAN on a card of a bond", ifs(Interface{Name: "a", Bond: []string{"eth0"}}, Interface{Name: "b", VLAN: 6, Parent: "eth0"}),
			"interfaces[2].parent must be a, which the card eth0 belongs to"},
		{"a VLAN twice", ifs(Interface{Name: "a", VLAN: 6, Parent: "eth0"}, Interface{Name: "b", VLAN: 6, Parent: "eth0"}),
			"interfaces[2].vlan is there twice on eth0: 6"},
		{"a VLAN of larger packets", ifs(Interface{Name: "eth0", MTU: 1500}, Interface{Name: "b", VLAN: 6, Parent: "eth0", MTU: 9000}),
			"interfaces[2].mtu must not be more than that of eth0, 1500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			tt.n.Check(func(field, message string) { got = append(got, field+" "+message) })
			if s := strings.Join(got, "; "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

func TestNetworkNormalForm(t *testing.T) {
	n := Network{Search: []string{"Example.ORG"}, Interfaces: []Interface{{Name: "bond0", Bond: []string{"eth0", "eth1"}}}}
	n.Check(func(field, message string) { t.Error(field, message) })
	if x := n.Interfaces[0]; x.Mode != ModeDHCP || x.BondMode != BondActiveBackup || n.Search[0] != "example.org" {
		t.Errorf("%+v", n)
	}
}
