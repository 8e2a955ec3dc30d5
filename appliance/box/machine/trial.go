package machine

import (
	"context"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/wire"
)

// tryFor is how long a network is tried: time to see that the box is still
// reached, and to say so.
const tryFor = 2 * time.Minute

// trial is a network in force that is not kept yet.
type trial struct {
	network boxapi.Network
	end     *time.Timer
}

// TryNetwork puts a network in force for a while.
func (m *Manager) TryNetwork(_ context.Context, n boxapi.Network) error {
	s, err := check(boxapi.Settings{Network: n})
	if err != nil {
		return err
	}
	m.changes.Lock()
	defer m.changes.Unlock()
	m.mu.Lock()
	if m.trial != nil {
		m.trial.end.Stop()
	}
	t := &trial{network: s.Network}
	t.end = time.AfterFunc(m.cfg.TryFor, func() {
		m.changes.Lock()
		defer m.changes.Unlock()
		m.endTrial(t)
	})
	m.trial = t
	network := m.network
	m.mu.Unlock()
	if network != nil {
		network.Set(s.Network)
	}
	m.cfg.Log.Info("a network is being tried", "for", m.cfg.TryFor)
	return nil
}

// endTrial goes back to the network that is kept. changes is held.
func (m *Manager) endTrial(t *trial) {
	m.mu.Lock()
	if m.trial != t {
		m.mu.Unlock()
		return
	}
	m.trial = nil
	before, network := m.settings.Network, m.network
	m.mu.Unlock()
	m.cfg.Log.Warn("the network that was tried was not kept: it is as before")
	if network != nil {
		network.Set(before)
	}
}

// KeepNetwork keeps the network that is being tried. One that cannot be kept is not
// left in force either: the next start would not know of it.
func (m *Manager) KeepNetwork(context.Context) error {
	m.changes.Lock()
	defer m.changes.Unlock()
	m.mu.Lock()
	t := m.trial
	if t == nil || !t.end.Stop() {
		m.mu.Unlock()
		return wire.Conflict("no network is being tried any more; it is as it was before")
	}
	s := m.settings
	m.mu.Unlock()
	s.Network = t.network
	if err := m.keep(s); err != nil {
		m.endTrial(t)
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trial = nil
	return nil
}
