package health

import (
	"fmt"
	"os"
	"path/filepath"

	"pillarbox/appliance/api/healthapi"
)

// carriers remembers which network cards have had a link: a port that never
// had one is not missed.
type carriers map[string]bool

// read finds network cards that lost their link and counts damaged frames.
func (c carriers) read(sys string) (readings []healthapi.Reading, found []finding) {
	entries, err := os.ReadDir(filepath.Join(sys, "class/net"))
	if err != nil {
		return nil, nil
	}
	for _, e := range entries {
		name := e.Name()
		dir := filepath.Join(sys, "class/net", name)
		if _, err := os.Stat(filepath.Join(dir, "device")); err != nil {
			continue // lo, VLANs and bonds have no hardware
		}
		f := finding{id: "network/" + name + "/link"}
		up, known := integer(filepath.Join(dir, "carrier"))
		switch {
		case known && up == 1:
			c[name] = true
		case c[name]:
			f.level = healthapi.Bad
			f.what = fmt.Sprintf("The network card %s has lost its link.", name)
			f.means = "Nobody reaches the box through it."
			f.do = "Look at the cable, and at the switch on its other end."
		}
		found = append(found, f)
		for _, counter := range []struct{ file, name string }{{"rx_errors", "damaged frames received"}, {"tx_errors", "frames not sent"}} {
			if n, ok := integer(filepath.Join(dir, "statistics", counter.file)); ok {
				readings = append(readings, healthapi.Reading{ID: "network/" + name + "/" + counter.file, Kind: healthapi.Count, Name: counter.name + " by " + name, Value: n})
			}
		}
	}
	return readings, found
}
