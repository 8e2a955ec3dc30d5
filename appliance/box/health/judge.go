package health

import (
	"slices"
	"strings"
	"time"

	"pillarbox/appliance/api/healthapi"
)

const (
	// confirmations is how many readings in a row must be beyond a limit. One
	// may be a sensor's slip.
	confirmations = 2

	// margins by which a value must come back before its state does.
	marginCelsius  = 3.0
	marginFraction = 0.05

	// forget is when the state of something that is not read any more goes: a
	// disk that was pulled, a daemon's question that it does not ask again.
	forget = 15 * time.Minute
)

// Change is a state that is not what it was.
type Change struct {
	State healthapi.State
	Was   healthapi.Level
}

// Judge makes states of readings and findings. It is not safe for concurrent use.
type Judge struct {
	known map[string]*judged
}

type judged struct {
	state   healthapi.State
	pending healthapi.Level // what the last readings say, where that is another level
	count   int             // how many in a row
	seen    time.Time
	least   *float64 // of a count that is known: what it was then
}

// NewJudge starts with the states that were known before a restart.
func NewJudge(before []healthapi.State, now time.Time) *Judge {
	j := &Judge{known: map[string]*judged{}}
	for _, s := range before {
		j.known[s.ID] = &judged{state: s, seen: now}
	}
	return j
}

// Keep says that readings which were judged before are still the last there are.
func (j *Judge) Keep(now time.Time, readings []healthapi.Reading) {
	for _, r := range readings {
		j.of(r.ID, now)
	}
}

// Take judges what was read now, each reading once, and returns what changed, the worst first.
func (j *Judge) Take(now time.Time, readings []healthapi.Reading, found []finding) []Change {
	var changes []Change
	for _, r := range readings {
		k := j.of(r.ID, now)
		level := levelOf(r, k.state.Level)
		if level == k.state.Level {
			k.count = 0
			if r.Kind == healthapi.Count && level != healthapi.OK {
				changes = append(changes, k.grow(r)...)
			}
			continue
		}
		if level != k.pending {
			k.pending, k.count = level, 0
		}
		if k.count++; k.count < confirmations && r.Kind != healthapi.Count {
			continue
		}
		changes = append(changes, k.change(now, describe(r, level)))
	}
	for _, f := range found {
		k := j.of(f.id, now)
		if f.level == k.state.Level {
			if f.level != healthapi.OK {
				k.state.What, k.state.Means, k.state.Do = f.what, f.means, f.do
			}
			continue
		}
		changes = append(changes, k.change(now, f))
	}
	for id, k := range j.known {
		if now.Sub(k.seen) < forget {
			continue
		}
		if k.state.Level != healthapi.OK {
			changes = append(changes, k.change(now, finding{id: id}))
		}
		delete(j.known, id)
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return int(b.State.Level) - int(a.State.Level) })
	return changes
}

func (j *Judge) of(id string, now time.Time) *judged {
	k := j.known[id]
	if k == nil {
		k = &judged{state: healthapi.State{ID: id, Since: now}}
		j.known[id] = k
	}
	k.seen = now
	return k
}

// grow takes on a count that is beyond a limit as it was before. One that
// somebody knows of is to be looked at again when there is more of it.
func (k *judged) grow(r healthapi.Reading) []Change {
	k.state.What = describe(r, k.state.Level).what
	switch {
	case !k.state.Known:
		k.least = nil
	case k.least == nil:
		k.least = &r.Value
	case r.Value > *k.least:
		k.state.Known, k.least = false, nil
		return []Change{{k.state, healthapi.OK}}
	}
	return nil
}

// SetKnown says whether somebody knows of a state; false if there is none.
func (j *Judge) SetKnown(id string, known bool) bool {
	k := j.known[id]
	if k == nil || k.state.Level == healthapi.OK {
		return false
	}
	k.state.Known, k.least = known, nil
	return true
}

// change takes on a new level. A state that is well again keeps the sentence of
// what was the matter, for the message that says so.
func (k *judged) change(now time.Time, f finding) Change {
	was := k.state.Level
	if f.level == healthapi.OK {
		f.what, f.means, f.do = k.state.What, "", ""
	}
	k.state = healthapi.State{ID: k.state.ID, Level: f.level, What: f.what, Means: f.means, Do: f.do, Since: now}
	k.count, k.pending = 0, f.level
	return Change{k.state, was}
}

// States are those that are not well, the worst and then the oldest first, those
// that are known last.
func (j *Judge) States() []healthapi.State {
	var all []healthapi.State
	for _, k := range j.known {
		if k.state.Level != healthapi.OK {
			all = append(all, k.state)
		}
	}
	slices.SortFunc(all, func(a, b healthapi.State) int {
		if a.Known != b.Known {
			if a.Known {
				return 1
			}
			return -1
		}
		if a.Level != b.Level {
			return int(b.Level) - int(a.Level)
		}
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}

// levelOf compares a reading with its limits. From a worse level it comes back
// only by a margin.
func levelOf(r healthapi.Reading, now healthapi.Level) healthapi.Level {
	beyond := func(low, high *float64, level healthapi.Level) bool {
		back := 0.0
		if now >= level {
			back = 1
		}
		margin := func(limit float64) float64 {
			switch r.Kind {
			case healthapi.Temperature:
				return back * marginCelsius
			case healthapi.Count:
				return 0
			}
			return back * marginFraction * max(limit, -limit)
		}
		return low != nil && r.Value <= *low+margin(*low) || high != nil && r.Value >= *high-margin(*high)
	}
	switch {
	case beyond(r.BadLow, r.BadHigh, healthapi.Bad):
		return healthapi.Bad
	case beyond(r.WatchLow, r.WatchHigh, healthapi.Watch):
		return healthapi.Watch
	}
	return healthapi.OK
}
