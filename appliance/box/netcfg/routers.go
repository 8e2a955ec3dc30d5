package netcfg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"
)

// Advertisement is what a router says of its network that the kernel leaves to
// programs (RFC 4861 section 4.2, RFC 8106).
type Advertisement struct {
	Router  netip.Addr
	Managed bool // addresses are to be had by DHCPv6
	Other   bool // the rest is to be had by DHCPv6

	DNS       []netip.Addr
	DNSFor    time.Duration // how long they hold
	Search    []string
	SearchFor time.Duration

	heard time.Time
}

// Routers is the Advertisements over the wire.
func Routers(ctx context.Context, device string, heard func(Advertisement)) error {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return fmt.Errorf("routers: %w", err)
	}
	c, _, err := ndp.Listen(ifi, ndp.LinkLocal)
	if err != nil {
		return fmt.Errorf("routers: %w", err)
	}
	defer c.Close()
	return listenRouters(ctx, c, heard)
}

func listenRouters(ctx context.Context, c *ndp.Conn, heard func(Advertisement)) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeRouterAdvertisement)
	if err := c.SetICMPFilter(&only); err != nil {
		return fmt.Errorf("routers: %w", err)
	}
	allNodes, allRouters := netip.IPv6LinkLocalAllNodes(), netip.IPv6LinkLocalAllRouters()
	if err := c.JoinGroup(allNodes); err != nil {
		return fmt.Errorf("routers: %w", err)
	}
	// The kernel has asked as well; what was answered before we listened is lost.
	if err := c.WriteTo(&ndp.RouterSolicitation{}, nil, allRouters); err != nil {
		return fmt.Errorf("routers: %w", err)
	}
	for {
		m, cm, from, err := c.ReadFrom()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if netErr := net.Error(nil); errors.As(err, &netErr) {
			return fmt.Errorf("routers: %w", err)
		}
		ra, ok := m.(*ndp.RouterAdvertisement)
		// RFC 4861 section 6.1.2: from the link itself, or it is none.
		if err != nil || !ok || !from.IsLinkLocalUnicast() || cm != nil && cm.HopLimit != 0 && cm.HopLimit != ndp.HopLimit {
			continue
		}
		heard(newAdvertisement(ra, from.WithZone("")))
	}
}

func newAdvertisement(ra *ndp.RouterAdvertisement, from netip.Addr) Advertisement {
	a := Advertisement{Router: from, Managed: ra.ManagedConfiguration, Other: ra.OtherConfiguration, heard: time.Now()}
	for _, o := range ra.Options {
		switch o := o.(type) {
		case *ndp.RecursiveDNSServer:
			for _, s := range o.Servers {
				// A link-local one could be meant on any interface.
				if !s.IsUnspecified() && !s.IsMulticast() && !s.IsLinkLocalUnicast() && len(a.DNS) < maxServers {
					a.DNS = append(a.DNS, s)
				}
			}
			a.DNSFor = o.Lifetime
		case *ndp.DNSSearchList:
			for _, name := range o.DomainNames {
				if d := domain(strings.TrimSuffix(name, ".")); d != "" && len(a.Search) < maxSearch {
					a.Search = append(a.Search, d)
				}
			}
			a.SearchFor = o.Lifetime
		}
	}
	return a
}

// dns and search are what holds still at a time.
func (a Advertisement) dns(now time.Time) []netip.Addr {
	if now.Sub(a.heard) >= a.DNSFor {
		return nil
	}
	return a.DNS
}

func (a Advertisement) search(now time.Time) []string {
	if now.Sub(a.heard) >= a.SearchFor {
		return nil
	}
	return a.Search
}
