package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// The modes of Network and Interface.
const (
	ModeDHCP   = "dhcp"
	ModeStatic = "static"
	// ModeNone is an interface without addresses of its own, which others are
	// made of.
	ModeNone = "none"
)

// The modes of a bond.
const (
	// BondActiveBackup has one card carry everything and the next take over;
	// the switch needs to know nothing of it.
	BondActiveBackup = "active-backup"
	// BondLACP has all carry, by agreement with the switch (IEEE 802.1AX).
	BondLACP = "lacp"
)

const (
	// maxInterfaces bounds Network.Interfaces; a server has a dozen cards.
	maxInterfaces = 64
	// maxVLAN is the last id that IEEE 802.1Q gives to networks.
	maxVLAN = 4094
	// minMTU is what IPv6 needs of a link (RFC 8200 section 5), maxMTU what jumbo
	// frames and their kin reach.
	minMTU, maxMTU = 1280, 65535
	// maxSearch is how many search domains resolvers look at (resolv.conf(5)).
	maxSearch = 6
)

// Network is how the box gets its addresses: either the simple way, with Mode
// and what follows it up to MTU, for every card or for one; or by Interfaces,
// each with settings of its own, where the cards that are not named stay without
// an address. The zero value is DHCP on every wired card.
type Network struct {
	Mode      string `json:"mode" toml:"mode"`                     // ModeDHCP (also empty) or ModeStatic
	Interface string `json:"interface,omitempty" toml:"interface"` // empty: all by DHCP; static: the first with a link
	Address   string `json:"address,omitempty" toml:"address"`     // static: with prefix length, such as 192.0.2.5/24
	Gateway   string `json:"gateway,omitempty" toml:"gateway"`     // static; empty: none
	MTU       int    `json:"mtu,omitempty" toml:"mtu"`             // octets of a packet; 0: the card's own

	Interfaces []Interface `json:"interfaces,omitempty" toml:"interfaces"`

	DNS    []string `json:"dns,omitempty" toml:"dns"`       // resolvers; DHCP: instead of the lease's
	Search []string `json:"search,omitempty" toml:"search"` // domains; DHCP: instead of the lease's
}

// Interface is the settings of one interface: of a card; of a bond, which has
// Bond; or of a VLAN, which has VLAN and Parent.
type Interface struct {
	Name    string `json:"name" toml:"name"`                 // a card's own, such as eth0, or a new one
	Mode    string `json:"mode" toml:"mode"`                 // ModeDHCP (also empty), ModeStatic or ModeNone
	Address string `json:"address,omitempty" toml:"address"` // as in Network, and so the next two
	Gateway string `json:"gateway,omitempty" toml:"gateway"`
	MTU     int    `json:"mtu,omitempty" toml:"mtu"`

	Bond     []string `json:"bond,omitempty" toml:"bond"`           // the cards it is made of, the preferred one first
	BondMode string   `json:"bond_mode,omitempty" toml:"bond_mode"` // BondActiveBackup (also empty) or BondLACP
	VLAN     int      `json:"vlan,omitempty" toml:"vlan"`           // 1 to 4094
	Parent   string   `json:"parent,omitempty" toml:"parent"`       // of a VLAN: a card or a bond
}

// Given reports whether n says anything: a provisioning file that does not leaves
// the network as it is.
func (n *Network) Given() bool { return !reflect.ValueOf(*n).IsZero() }

// Check puts the values of n in normal form and calls problem with each that is
// not right, by its name within n, such as interfaces[2].address, counted from 1.
func (n *Network) Check(problem func(field, message string)) {
	c := &networkCheck{problem: problem}
	c.list("dns", n.DNS, IP)
	c.list("search", n.Search, searchDomain)
	if len(n.Search) > maxSearch {
		problem("search", fmt.Sprintf("must have at most %d domains", maxSearch))
	}
	if len(n.Interfaces) > 0 {
		c.interfaces(n)
		return
	}
	switch n.Mode {
	case "":
		n.Mode = ModeDHCP
	case ModeDHCP, ModeStatic:
	default:
		problem("mode", `must be "dhcp" or "static"`)
		return
	}
	c.interfaceName("interface", n.Interface)
	c.mtu("mtu", n.MTU)
	c.address("", n.Mode, &n.Address, &n.Gateway)
}

// networkCheck is one run of Check.
type networkCheck struct {
	problem func(field, message string)
}

func (c *networkCheck) list(field string, v []string, check func(string) (string, error)) {
	for i := range v {
		normal, err := check(v[i])
		if err != nil {
			c.problem(fmt.Sprintf("%s[%d]", field, i+1), err.Error())
			continue
		}
		v[i] = normal
	}
}

func searchDomain(s string) (string, error) {
	name, err := asciiName(s)
	if err != nil {
		return "", errors.New("must be a domain such as example.org")
	}
	return name, nil
}

func (c *networkCheck) mtu(field string, mtu int) {
	if mtu != 0 && (mtu < minMTU || mtu > maxMTU) {
		c.problem(field, fmt.Sprintf("must be between %d and %d", minMTU, maxMTU))
	}
}

// interfaceName checks a name as the kernel takes it: 15 octets at most, which
// stand in paths.
func (c *networkCheck) interfaceName(field, name string) {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_", r)
	}
	bad := strings.ContainsFunc(name, func(r rune) bool { return !ok(r) })
	if len(name) > 15 || bad || name == "." || name == ".." || name == "lo" {
		c.problem(field, "must be the name of an interface such as eth0: at most 15 letters, digits, dots and dashes")
	}
}

// address checks what a mode needs and what it must not have.
func (c *networkCheck) address(prefix, mode string, address, gateway *string) {
	if mode != ModeStatic {
		for field, v := range map[string]string{"address": *address, "gateway": *gateway} {
			if v != "" {
				c.problem(prefix+field, `is for mode = "static" alone`)
			}
		}
		return
	}
	if *address == "" {
		c.problem(prefix+"address", "is missing")
		return
	}
	normal, err := InterfaceAddress(*address)
	if err != nil {
		c.problem(prefix+"address", err.Error())
		return
	}
	*address = normal
	if *gateway == "" {
		return
	}
	if normal, err = IP(*gateway); err != nil {
		c.problem(prefix+"gateway", err.Error())
		return
	}
	*gateway = normal
	// A router outside the network cannot be reached; one with a link-local
	// address can (IPv6).
	router, network := netip.MustParseAddr(*gateway), netip.MustParsePrefix(*address)
	switch {
	case router == network.Addr():
		c.problem(prefix+"gateway", "must not be the address of the box itself")
	case router.Is4() != network.Addr().Is4() || !network.Contains(router) && !router.IsLinkLocalUnicast():
		c.problem(prefix+"gateway", "must be an address in the network "+network.Masked().String())
	}
}

// interfaces checks the settings of several interfaces and how they fit together.
func (c *networkCheck) interfaces(n *Network) {
	if len(n.Interfaces) > maxInterfaces {
		c.problem("interfaces", fmt.Sprintf("must be at most %d", maxInterfaces))
		return
	}
	for field, used := range map[string]bool{
		"mode": n.Mode != "", "interface": n.Interface != "", "address": n.Address != "", "gateway": n.Gateway != "", "mtu": n.MTU != 0,
	} {
		if used {
			c.problem(field, "must be given with each of the interfaces, since there are some")
		}
	}
	byName := make(map[string]*Interface)
	for i := range n.Interfaces {
		x := &n.Interfaces[i]
		field := fmt.Sprintf("interfaces[%d].", i+1)
		if x.Name == "" {
			c.problem(field+"name", "is missing")
			continue
		}
		c.interfaceName(field+"name", x.Name)
		if byName[x.Name] != nil {
			c.problem(field+"name", "is there twice: "+x.Name)
		}
		byName[x.Name] = x
		c.one(field, x)
	}
	bonded := make(map[string]string) // card: by which bond
	for i := range n.Interfaces {
		x := &n.Interfaces[i]
		for j, card := range x.Bond {
			field := fmt.Sprintf("interfaces[%d].bond[%d]", i+1, j+1)
			switch other := byName[card]; {
			case bonded[card] != "":
				c.problem(field, fmt.Sprintf("is in %s already: %s", bonded[card], card))
			case other != nil && (other.VLAN != 0 || len(other.Bond) > 0):
				c.problem(field, "must be a card, not a bond or a VLAN: "+card)
			case other != nil && other.Mode != ModeNone:
				c.problem(field, fmt.Sprintf(`must have mode = "none", or no settings at all, since the bond has the address: %s`, card))
			}
			bonded[card] = x.Name
		}
	}
	parents := make(map[string]int) // parent and VLAN: index from 1
	for i := range n.Interfaces {
		x := &n.Interfaces[i]
		if x.VLAN == 0 {
			continue
		}
		field := fmt.Sprintf("interfaces[%d].", i+1)
		parent := byName[x.Parent]
		switch {
		case parent != nil && parent.VLAN != 0:
			c.problem(field+"parent", "must be a card or a bond, not a VLAN: "+x.Parent)
		case bonded[x.Parent] != "":
			c.problem(field+"parent", fmt.Sprintf("must be %s, which the card %s belongs to", bonded[x.Parent], x.Parent))
		case parent != nil && parent.MTU != 0 && x.MTU > parent.MTU:
			c.problem(field+"mtu", fmt.Sprintf("must not be more than that of %s, %d", x.Parent, parent.MTU))
		}
		tag := fmt.Sprint(x.Parent, " ", x.VLAN)
		if parents[tag] != 0 {
			c.problem(field+"vlan", fmt.Sprintf("is there twice on %s: %d", x.Parent, x.VLAN))
		}
		parents[tag] = i + 1
	}
}

// one checks the settings of one interface by themselves.
func (c *networkCheck) one(field string, x *Interface) {
	switch x.Mode {
	case "":
		x.Mode = ModeDHCP
	case ModeDHCP, ModeStatic, ModeNone:
	default:
		c.problem(field+"mode", `must be "dhcp", "static" or "none"`)
		return
	}
	c.mtu(field+"mtu", x.MTU)
	c.address(field, x.Mode, &x.Address, &x.Gateway)
	if len(x.Bond) > 0 {
		switch x.BondMode {
		case "":
			x.BondMode = BondActiveBackup
		case BondActiveBackup, BondLACP:
		default:
			c.problem(field+"bond_mode", fmt.Sprintf("must be %q or %q", BondActiveBackup, BondLACP))
		}
		for i, card := range x.Bond {
			c.interfaceName(fmt.Sprintf("%sbond[%d]", field, i+1), card)
			if card == x.Name || slices.Contains(x.Bond[:i], card) {
				c.problem(fmt.Sprintf("%sbond[%d]", field, i+1), "must be another card: "+card)
			}
		}
	} else if x.BondMode != "" {
		c.problem(field+"bond_mode", "needs bond, the cards it is made of")
	}
	switch {
	case x.VLAN == 0 && x.Parent == "":
	case len(x.Bond) > 0:
		c.problem(field+"vlan", "must have an interface of its own, with the bond as its parent")
	case x.VLAN < 1 || x.VLAN > maxVLAN:
		c.problem(field+"vlan", fmt.Sprintf("must be between 1 and %d", maxVLAN))
	case x.Parent == "":
		c.problem(field+"parent", "is missing: the card or bond that the VLAN is on")
	case x.Parent == x.Name:
		c.problem(field+"parent", "must be another interface: "+x.Parent)
	default:
		c.interfaceName(field+"parent", x.Parent)
	}
}
