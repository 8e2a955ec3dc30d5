package netcfg

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/api/boxapi"
)

// shape describes the interfaces: "bond0=active-backup(eth1 eth2) vlan5=5@bond0".
func (k *fakeKernel) shape() string {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	name := func(index int) string {
		for _, l := range k.links {
			if l.Index == index {
				return l.Name
			}
		}
		return "?"
	}
	var out []string
	for _, l := range k.links {
		text := l.Name
		switch {
		case l.Bond != "":
			var cards []string
			for _, c := range k.links {
				if c.Master == l.Index {
					cards = append(cards, c.Name)
				}
			}
			text += "=" + l.Bond + "(" + strings.Join(cards, " ") + ")"
		case l.VLAN != 0:
			text += fmt.Sprintf("=%d@%s", l.VLAN, name(l.Parent))
		}
		if l.MTU != 0 && l.MTU != 1500 {
			text += fmt.Sprintf(" mtu %d", l.MTU)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// named are the addresses by the interfaces' names.
func (k *fakeKernel) named() string {
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, l := range k.links {
		if s, ok := k.setups[l.Index]; ok {
			out = append(out, l.Name+"="+s.Address.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestBondsAndVLANs(t *testing.T) {
	settings := boxapi.Network{DNS: []string{"198.51.100.2"}, Search: []string{"example.org"}, Interfaces: []boxapi.NetworkInterface{
		{Name: "bond0", Mode: boxapi.ModeStatic, Address: "198.51.100.7/24", Gateway: "198.51.100.1", Bond: []string{"eth1", "eth2"}, BondMode: boxapi.BondActiveBackup, MTU: 9000},
		{Name: "office", Mode: boxapi.ModeStatic, Address: "192.0.2.7/24", VLAN: 5, Parent: "bond0"},
		{Name: "eth3", Mode: boxapi.ModeStatic, Address: "203.0.113.7/24"},
	}}
	run(t, settings, []Link{link(1, true), link(3, true), {Index: 8, Name: "bond9", Bond: "other"}}, func(b *bench) {
		b.look()
		expect(t, "without a card", b.k.shape(), "bond0=active-backup(eth1) mtu 9000, eth1, eth3, office=5@bond0")
		expect(t, "addresses", b.k.named(), "bond0=198.51.100.7/24 eth3=203.0.113.7/24 office=192.0.2.7/24")
		expect(t, "resolver", fmt.Sprint(b.names()), "{[198.51.100.2] [example.org]}")
		_, problems, _ := b.Status()
		expect(t, "told", fmt.Sprint(problems), "[the card eth2 of the bond bond0 is not there]")

		b.k.set(link(2, false))
		expect(t, "the card comes", b.k.shape(), "bond0=active-backup(eth1 eth2) mtu 9000, eth1, eth2, eth3, office=5@bond0")
		list, problems, _ := b.Status()
		expect(t, "told", fmt.Sprint(problems), "[the cable of eth2, a card of bond0, is not plugged in, or what is at its other end is off]")
		expect(t, "parts", fmt.Sprint(list[0].Name, list[0].Parts, list[4].Name, list[4].Parts), "bond0[eth1 eth2]office[bond0]")

		lacp := settings
		lacp.Interfaces = slices.Clone(settings.Interfaces)
		lacp.Interfaces[0].BondMode, lacp.Interfaces[0].MTU = boxapi.BondLACP, 0
		b.Set(lacp)
		expect(t, "another mode", b.k.shape(), "bond0=lacp(eth1 eth2), eth1, eth2, eth3, office=5@bond0")
		expect(t, "addresses", b.k.named(), "bond0=198.51.100.7/24 eth3=203.0.113.7/24 office=192.0.2.7/24")

		b.Set(boxapi.Network{MTU: 1400})
		time.Sleep(time.Second)
		expect(t, "the simple way", b.k.shape(), "eth1 mtu 1400, eth2 mtu 1400, eth3 mtu 1400")
		expect(t, "addresses", b.k.named(), "eth1=192.0.1.5/24 eth3=192.0.3.5/24")

		b.Set(boxapi.Network{Interfaces: []boxapi.NetworkInterface{{Name: "eth1", Mode: boxapi.ModeNone}, {Name: "eth1.7", VLAN: 7, Parent: "eth1", Mode: boxapi.ModeStatic, Address: "192.0.2.7/24"}}})
		expect(t, "a VLAN on a card", b.k.shape(), "eth1, eth1.7=7@eth1, eth2, eth3")
		expect(t, "addresses", b.k.named(), "eth1.7=192.0.2.7/24")
	})
}

func TestWrongParts(t *testing.T) {
	settings := boxapi.Network{Interfaces: []boxapi.NetworkInterface{
		{Name: "eth1", Mode: boxapi.ModeStatic, Address: "198.51.100.7/24", Bond: []string{"eth2"}, BondMode: boxapi.BondLACP},
		{Name: "v", Mode: boxapi.ModeStatic, Address: "192.0.2.7/24", VLAN: 5, Parent: "eth9"},
	}}
	run(t, settings, []Link{link(1, true), link(2, true)}, func(b *bench) {
		_, problems, _ := b.Status()
		expect(t, "told", strings.Join(problems, "\n"), "the network interface v of the settings is not there\nthe name eth1 of the settings is that of a card\nthe interface eth9 of the VLAN v is not there")
	})
}
