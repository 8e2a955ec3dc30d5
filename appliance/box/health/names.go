package health

import (
	"context"
	"fmt"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
)

const (
	// namesEvery is how often the name servers are tried.
	namesEvery = 3 * time.Minute

	// namesFailed is how many tries in a row must fail before it is told: a router
	// that restarts is away for a few minutes.
	namesFailed = 4
)

// names has boxd try the name servers: without one, no mail leaves.
func (m *Monitor) names(ctx context.Context, _ time.Time) {
	ctx, cancel := context.WithTimeout(ctx, sourceTime)
	defer cancel()
	t, err := m.cfg.Box.TestNetwork(ctx, boxapi.TestRequest{Test: boxapi.TestDNS})
	if err != nil {
		return // boxd is silent, which is told of by itself
	}
	f := finding{id: "network/names"}
	if t.OK {
		m.namesFailing = 0
	} else if m.namesFailing++; m.namesFailing >= namesFailed {
		f.level = healthapi.Watch
		f.what = fmt.Sprintf("No name server answers as it should: %s.", t.Detail)
		f.means = "Mail to other domains waits until one does."
		f.do = "Look whether the line to the Internet is up, and at the name servers in the menu, under Network."
	}
	m.put("names", nil, []finding{f})
}
