package netcfg

import (
	"fmt"
	"slices"
	"strings"

	"pillarbox/appliance/api/boxapi"
)

// passes bounds how often arrange looks again at what it has changed: what is
// wrong is removed first, then bonds are made, and VLANs on them.
const passes = 4

// made reports whether l is made of others.
func (l Link) made() bool { return l.Bond != "" || l.VLAN != 0 }

// arrange turns the cards on, makes bonds and VLANs as the settings say, and
// returns all interfaces by name. What goes wrong is kept in m.faults. m.mu is
// held.
func (m *Manager) arrange() ([]Link, error) {
	for pass := 1; ; pass++ {
		links, err := m.Kernel.Links()
		if err != nil {
			return nil, err
		}
		slices.SortFunc(links, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
		m.faults = nil
		if !m.rearrange(links) || pass == passes {
			m.turnOn(links)
			m.setMTUs(links)
			return links, nil
		}
	}
}

// rearrange takes the next steps from links to what the settings want, and
// reports whether it changed anything. m.mu is held.
func (m *Manager) rearrange(links []Link) (changed bool) {
	try := func(what string, err error) {
		if err != nil {
			m.faults = append(m.faults, fmt.Errorf("%s: %w", what, err))
			m.Log.Warn(what, "error", err)
			return
		}
		m.Log.Info(what)
		changed = true
	}
	find := func(name string) *Link {
		i := slices.IndexFunc(links, func(l Link) bool { return l.Name == name })
		if i < 0 {
			return nil
		}
		return &links[i]
	}
	for _, l := range links {
		if l.made() && !m.fits(l, find) {
			try("remove "+l.Name, m.Kernel.Remove(l.Index))
		}
	}
	if changed {
		return true // with a bond go its VLANs
	}
	in := make(map[int]int) // card: the bond it belongs into
	for _, x := range m.settings.Interfaces {
		l := find(x.Name)
		switch {
		case len(x.Bond) > 0 && l == nil:
			primary := 0
			if card := find(x.Bond[0]); card != nil {
				primary = card.Index
			}
			try("make the bond "+x.Name, m.Kernel.MakeBond(x.Name, x.BondMode, primary))
		case len(x.Bond) > 0 && l.Bond == "", x.VLAN != 0 && l != nil && l.VLAN == 0:
			m.faults = append(m.faults, fmt.Errorf("the name %s of the settings is that of a card", x.Name))
		case len(x.Bond) > 0:
			for _, name := range x.Bond {
				if card := find(name); card != nil && card.Wired {
					in[card.Index] = l.Index
				} else {
					m.faults = append(m.faults, fmt.Errorf("the card %s of the bond %s is not there", name, x.Name))
				}
			}
		case x.VLAN != 0 && l == nil:
			parent := find(x.Parent)
			if parent == nil {
				m.faults = append(m.faults, fmt.Errorf("the interface %s of the VLAN %s is not there", x.Parent, x.Name))
				continue
			}
			try("make the VLAN "+x.Name, m.Kernel.MakeVLAN(x.Name, parent.Index, x.VLAN))
		}
	}
	for _, l := range links {
		if bond := in[l.Index]; l.Wired && l.Master != bond {
			what := "take " + l.Name + " out of its bond"
			if bond != 0 {
				what = "put " + l.Name + " into its bond"
			}
			try(what, m.Kernel.Join(l.Index, bond))
		}
	}
	return changed
}

// fits reports whether the bond or VLAN l is as the settings say. m.mu is held.
func (m *Manager) fits(l Link, find func(string) *Link) bool {
	return slices.ContainsFunc(m.settings.Interfaces, func(x boxapi.NetworkInterface) bool {
		if x.Name != l.Name {
			return false
		}
		if l.VLAN != 0 {
			parent := find(x.Parent)
			return x.VLAN == l.VLAN && parent != nil && parent.Index == l.Parent
		}
		return len(x.Bond) > 0 && x.BondMode == l.Bond
	})
}

// turnOn turns interfaces on; without it they have no carrier to tell of.
func (m *Manager) turnOn(links []Link) {
	for _, l := range links {
		if !l.Wired && !l.made() || l.Master != 0 {
			continue
		}
		if err := m.Kernel.Up(l.Index); err != nil {
			m.Log.Warn("network interface", "name", l.Name, "error", err)
		}
	}
}

// setMTUs gives interfaces the MTU of the settings, and back their own where the
// settings do not say one any more. A bond hands its MTU on to its cards. m.mu is
// held.
func (m *Manager) setMTUs(links []Link) {
	for _, l := range links {
		if !l.Wired && !l.made() || l.Master != 0 {
			continue
		}
		own, changed := m.ownMTU[l.Index]
		want := m.mtuOf(l)
		if want == 0 {
			want = own
		}
		if want == 0 || want == l.MTU {
			continue
		}
		if err := m.Kernel.SetMTU(l.Index, want); err != nil {
			m.faults = append(m.faults, fmt.Errorf("packets of %d octets on %s: %w", want, l.Name, err))
			continue
		}
		switch {
		case want == own:
			delete(m.ownMTU, l.Index)
		case !changed:
			m.ownMTU[l.Index] = l.MTU
		}
	}
}

// mtuOf is the MTU that the settings say for l, 0 if none. m.mu is held.
func (m *Manager) mtuOf(l Link) int {
	for _, x := range m.settings.Interfaces {
		if x.Name == l.Name {
			return x.MTU
		}
	}
	if s := m.settings; len(s.Interfaces) == 0 && (s.Interface == "" || s.Interface == l.Name) {
		return s.MTU
	}
	return 0
}
