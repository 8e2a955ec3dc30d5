package machine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/box/firewall"
)

// maxAdministration is how many networks the list may have: each is a rule that a
// new connection to these ports is held against.
const maxAdministration = 64

// Firewall is what stands before the services.
type Firewall interface {
	// Apply puts it up, or in place of what is up. Who is in one of the networks
	// may reach the ports of administration; where there are none, who is in one
	// of firewall.Local.
	Apply(administration []netip.Prefix) error
	Limited() ([]firewall.Limited, error)
}

// wall is how the firewall was put up last.
type wall struct {
	up             bool
	administration []string
	err            error // why it is not as it should be
}

// protect puts up the firewall unless it is as it should be: to do it again
// forgets who was limited.
func (m *Manager) protect(administration []string) error {
	if m.cfg.Firewall == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wall.up && m.wall.err == nil && slices.Equal(m.wall.administration, administration) {
		return nil
	}
	var networks []netip.Prefix
	for _, a := range administration {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			// Of a file that somebody has changed: the others are in force.
			m.cfg.Log.Error("administration from a network that is none", "error", err)
			continue
		}
		networks = append(networks, p)
	}
	if m.wall.err = m.cfg.Firewall.Apply(networks); m.wall.err != nil {
		m.cfg.Log.Error("no firewall", "error", m.wall.err)
		return fmt.Errorf("put up the firewall: %w", m.wall.err)
	}
	m.wall.up, m.wall.administration = true, slices.Clone(administration)
	m.cfg.Log.Info("the firewall is up", "administration", administration)
	return nil
}

// Firewall tells who may manage the box and who was limited.
func (m *Manager) Firewall(context.Context) (*boxapi.Firewall, error) {
	f := &boxapi.Firewall{Administration: slices.Clone(m.Current().Administration), Limited: []boxapi.Limited{}}
	if len(f.Administration) == 0 {
		for _, p := range firewall.Local() {
			f.Administration = append(f.Administration, p.String())
		}
	}
	if m.cfg.Firewall == nil {
		return f, nil
	}
	list, err := m.cfg.Firewall.Limited()
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		f.Limited = append(f.Limited, boxapi.Limited{Source: l.Source.String(), Dropped: l.Dropped, Last: l.Last})
	}
	return f, nil
}
