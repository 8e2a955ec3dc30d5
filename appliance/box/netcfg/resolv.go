package netcfg

import (
	"strings"

	"pillarbox/appliance/config/atomicfile"
)

// maxServers is how many name servers resolvers look at (resolv.conf(5)).
const maxServers = 3

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
	if r.Domain != "" {
		b.WriteString("search " + r.Domain + "\n")
	}
	b.WriteString("options timeout:3 attempts:2\n")
	return atomicfile.Write(path, []byte(b.String()), 0o644)
}
