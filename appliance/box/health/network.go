package health

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"pillarbox/appliance/api/healthapi"
)

const (
	// frameErrors is how many frames may be damaged within errorsWithin: a cable
	// that is good damages none, one that is pulled a few.
	frameErrors  = 100
	errorsWithin = 10 * time.Minute
)

// carriers remembers which network cards have had a link: a port that never
// had one is not missed. So it does their counts of errors.
type carriers struct {
	had    map[string]bool
	counts map[string]*errorCount
}

// errorCount is a counter as of some minutes ago.
type errorCount struct {
	since time.Time
	n     float64
	grew  float64 // in the errorsWithin before since
}

// take returns how much the counter has grown lately. A counter that begins
// anew, as with a driver that was loaded again, has not grown.
func (c *errorCount) take(now time.Time, n float64) float64 {
	if n < c.n {
		c.n, c.since, c.grew = n, now, 0
	}
	if now.Sub(c.since) >= errorsWithin {
		c.grew, c.n, c.since = n-c.n, n, now
	}
	return max(c.grew, n-c.n)
}

// read finds network cards that lost their link and counts damaged frames.
func (c carriers) read(sys string, now time.Time) (readings []healthapi.Reading, found []finding) {
	entries, err := os.ReadDir(filepath.Join(sys, "class/net"))
	if err != nil {
		return nil, nil
	}
	there := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		there[name] = true
		dir := filepath.Join(sys, "class/net", name)
		if _, err := os.Stat(filepath.Join(dir, "device")); err != nil {
			continue // lo, VLANs and bonds have no hardware
		}
		f := finding{id: "network/" + name + "/link"}
		up, known := integer(filepath.Join(dir, "carrier"))
		switch {
		case known && up == 1:
			c.had[name] = true
		case c.had[name]:
			f.level = healthapi.Bad
			f.what = fmt.Sprintf("The network card %s has lost its link.", name)
			f.means = "Nobody reaches the box through it."
			f.do = "Look at the cable, and at the switch on its other end."
		}
		found = append(found, f)
		var grew float64
		for _, counter := range []struct {
			file, name string
			fault      bool
		}{{"rx_errors", "damaged frames received", true}, {"tx_errors", "frames not sent", true}, {"rx_dropped", "frames dropped", false}} {
			n, ok := integer(filepath.Join(dir, "statistics", counter.file))
			if !ok {
				continue
			}
			id := "network/" + name + "/" + counter.file
			readings = append(readings, healthapi.Reading{ID: id, Kind: healthapi.Count, Name: counter.name + " by " + name, Value: n})
			if counter.fault { // a frame that nobody here wanted is dropped too
				if c.counts[id] == nil {
					c.counts[id] = &errorCount{since: now, n: n}
				}
				grew += c.counts[id].take(now, n)
			}
		}
		bad := finding{id: "network/" + name + "/errors"}
		if grew >= frameErrors {
			bad.level = healthapi.Watch
			bad.what = fmt.Sprintf("The network card %s damages frames: %.0f within minutes.", name, grew)
			bad.means = "The network is slow, and connections may break."
			bad.do = "Replace the cable; try another port of the switch."
		}
		found = append(found, bad)
	}
	for name := range c.had {
		if there[name] {
			continue
		}
		found = append(found, finding{
			id: "network/" + name + "/link", level: healthapi.Bad,
			what:  fmt.Sprintf("The network card %s is not there any more.", name),
			means: "Nobody reaches the box through it.",
			do:    "Plug it in again; where it is inside the box, the card or its slot may have failed.",
		})
	}
	return readings, found
}
