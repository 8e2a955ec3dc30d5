package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
)

const (
	// listsEvery spares the lists: they change within hours, and count who asks.
	listsEvery = 6 * time.Hour
	listsTime  = time.Minute
)

// blockLists are lists of addresses that many mail servers refuse mail from,
// and that answer anybody.
var blockLists = []string{"zen.spamhaus.org", "bl.spamcop.net", "psbl.surriel.com"}

// listed asks the block lists about the box's own addresses, as far as they are
// those that other servers see: behind a router that translates addresses the
// box does not know them, and none is asked about.
func listed(ctx context.Context, addresses []netip.Addr, lookup func(ctx context.Context, name string) ([]netip.Addr, error)) (found []finding) {
	for _, a := range addresses {
		f := finding{id: "blocklist/" + a.String()}
		var on []string
		answered := false
		for _, list := range blockLists {
			codes, err := lookup(ctx, reversed(a)+"."+list)
			var dns *net.DNSError
			if err != nil && (!errors.As(err, &dns) || !dns.IsNotFound) {
				continue // it does not answer: nothing is known
			}
			answered = true
			for _, code := range codes {
				if isListing(code) {
					on = append(on, list)
					break
				}
			}
		}
		if !answered {
			continue
		}
		if len(on) > 0 {
			f.level = healthapi.Watch
			f.what = fmt.Sprintf("The box's address %s is on a block list: %s.", a, strings.Join(on, ", "))
			f.means = "Many servers refuse mail from it, or take it for spam."
			f.do = "Look at the list's pages for the reason and for how to be removed; find out who sends spam through the box, or send by a smart host."
		}
		found = append(found, f)
	}
	return found
}

// reversed is the name that a list is asked for: octets or nibbles from the
// last to the first (RFC 5782 sections 2.1 and 2.4).
func reversed(a netip.Addr) string {
	var parts []string
	if a.Is4() {
		for _, b := range a.As4() {
			parts = append([]string{fmt.Sprint(b)}, parts...)
		}
	} else {
		for _, b := range a.As16() {
			parts = append([]string{fmt.Sprintf("%x", b&0xf), fmt.Sprintf("%x", b>>4)}, parts...)
		}
	}
	return strings.Join(parts, ".")
}

// isListing tells the answer for an address that is listed, 127.0.0.0/16, from
// others: 127.255.255.0/24 is how lists refuse who asks too much or by a public
// resolver, and some networks answer every name with an address of theirs.
func isListing(code netip.Addr) bool {
	return netip.MustParsePrefix("127.0.0.0/16").Contains(code)
}

// publicAddresses are the box's own that the Internet can reach.
func publicAddresses(s *boxapi.Status) (all []netip.Addr) {
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598: behind a provider's translation
	global := netip.MustParsePrefix("2000::/3")      // all of IPv6 that is allotted
	for _, i := range s.Interfaces {
		for _, text := range i.Addresses {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				continue
			}
			if a := p.Addr().Unmap(); a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a) && (a.Is4() || global.Contains(a)) {
				all = append(all, a)
			}
		}
	}
	return all
}

// lists asks the block lists where the box sends mail itself.
func (m *Monitor) lists(ctx context.Context, now time.Time) {
	if now.Sub(m.listsAsked) < listsEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listsTime)
	defer cancel()
	settings, err := m.cfg.Mail.Settings(ctx)
	if err != nil {
		return
	}
	if settings.SmartHost != "" {
		m.listsAsked = time.Time{}
		m.put("lists", nil, nil) // the smart host's address counts
		return
	}
	s, err := m.cfg.Box.Status(ctx)
	if err != nil {
		return
	}
	m.listsAsked = now
	m.put("lists", nil, listed(ctx, publicAddresses(s), func(ctx context.Context, name string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
	}))
}
