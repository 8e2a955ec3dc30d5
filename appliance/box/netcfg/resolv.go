package netcfg

import (
	"strings"

	"pillarbox/appliance/config/atomicfile"
)

// maxServers and maxSearch are how many name servers and search domains resolvers
// look at (resolv.conf(5)).
const (
	maxServers = 3
	maxSearch  = 6
)

// WriteResolvConf writes r as a resolv.conf(5) at path. Programs that watch the
// file, as Go's resolver does, notice within seconds.
func WriteResolvConf(path string, r Resolver) error {
	var b strings.Builder
	for i, s := range r.Servers {
		if i == maxServers {
			break
		}
		b.WriteString("nameserver " + s.String() + "\n")
	}
	// Each is one more name that is asked for, and routers may tell of any number.
	if list := r.Search[:min(len(r.Search), maxSearch)]; len(list) > 0 {
		b.WriteString("search " + strings.Join(list, " ") + "\n")
	}
	b.WriteString("options timeout:3 attempts:2\n")
	return atomicfile.Write(path, []byte(b.String()), 0o644)
}
