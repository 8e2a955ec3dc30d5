package netcfg

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Linux is the Kernel that netlink leads to.
type Linux struct {
	Sys  string // "/sys"
	Proc string // "/proc"
}

var _ Kernel = Linux{}

func (k Linux) Links() ([]Link, error) {
	list, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var links []Link
	for _, l := range list {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 {
			continue
		}
		link := Link{
			Index:   a.Index,
			Name:    a.Name,
			MAC:     a.HardwareAddr.String(),
			Driver:  k.driver(a.Name),
			Speed:   k.speed(a.Name),
			Wired:   a.EncapType == "ether" && (l.Type() == "device" || l.Type() == "veth"),
			Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0,
			MTU:     a.MTU,
		}
		switch l := l.(type) {
		case *netlink.Bond:
			link.Bond = bondModeName(l.Mode)
		case *netlink.Vlan:
			link.VLAN, link.Parent = l.VlanId, a.ParentIndex
		}
		if link.Wired {
			link.Master = a.MasterIndex
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return nil, err
		}
		for _, addr := range addrs {
			// An address that another station has is kept by the kernel, but not used.
			if p, ok := prefix(addr.IPNet); ok && !p.Addr().IsLinkLocalUnicast() && addr.Flags&unix.IFA_F_DADFAILED == 0 {
				link.Addresses = append(link.Addresses, p)
			}
		}
		if link.Router, err = advertised(a.Index); err != nil {
			return nil, err
		}
		links = append(links, link)
	}
	return links, nil
}

// advertised is the router that the kernel chose of those that advertise
// themselves on an interface, not valid if there is none.
func advertised(index int) (netip.Addr, error) {
	filter := &netlink.Route{LinkIndex: index, Protocol: unix.RTPROT_RA}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, r := range routes {
		all := r.Dst == nil
		if !all {
			p, ok := prefix(r.Dst)
			all = ok && p.Bits() == 0
		}
		if gw, ok := netip.AddrFromSlice(r.Gw); ok && all {
			return gw, nil
		}
	}
	return netip.Addr{}, nil
}

func (k Linux) driver(name string) string {
	target, err := os.Readlink(filepath.Join(k.Sys, "class/net", name, "device/driver"))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

func (k Linux) speed(name string) int {
	b, err := os.ReadFile(filepath.Join(k.Sys, "class/net", name, "speed"))
	if err != nil {
		return 0 // without a carrier it cannot be read
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (k Linux) Watch(ctx context.Context, changed func()) error {
	updates := make(chan netlink.LinkUpdate, 16)
	done := make(chan struct{})
	defer close(done)
	var fault error
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		ErrorCallback: func(err error) { fault = err },
	})
	if err != nil {
		return err
	}
	changed()
	for {
		select {
		case _, ok := <-updates:
			if !ok {
				return errors.Join(errors.New("no more link messages"), fault)
			}
			changed()
		case <-ctx.Done():
			return nil
		}
	}
}

func (k Linux) Prepare() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	// With this a second interface takes over when the cable of the first is
	// pulled.
	path := filepath.Join(k.Proc, "sys/net/ipv4/conf/all/ignore_routes_with_linkdown")
	return errors.Join(err, os.WriteFile(path, []byte("1"), 0o644))
}

func (k Linux) Up(index int) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	if l.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	return netlink.LinkSetUp(l)
}

func (k Linux) Configure(index int, s Setup, metric int) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipNet(s.Address)}
	if s.Valid > 0 {
		secs := int(min(s.Valid.Seconds(), math.MaxInt32))
		addr.ValidLft, addr.PreferedLft = max(secs, 1), max(secs, 1)
	}
	if err := netlink.AddrReplace(l, addr); err != nil {
		return fmt.Errorf("address %v: %w", s.Address, err)
	}
	if err := k.clear(l, s.Address); err != nil {
		return err
	}
	var keep []string
	var faults []error
	for _, r := range s.Routes {
		route := &netlink.Route{LinkIndex: index, Dst: ipNet(r.Dst), Priority: metric, Protocol: unix.RTPROT_DHCP}
		if r.Gateway.IsValid() {
			route.Gw = r.Gateway.AsSlice()
			if !s.Address.Contains(r.Gateway) {
				// Cloud providers like a router outside the network.
				route.Flags = int(netlink.FLAG_ONLINK)
			}
		} else {
			route.Scope = netlink.SCOPE_LINK
		}
		if err := netlink.RouteReplace(route); err != nil {
			faults = append(faults, fmt.Errorf("route to %v by %v: %w", r.Dst, r.Gateway, err))
			continue
		}
		keep = append(keep, r.Dst.String())
	}
	if err := k.dropRoutes(l, keep); err != nil {
		return err
	}
	if len(faults) > 0 && len(keep) > 0 {
		return &RouteError{faults}
	}
	return errors.Join(faults...)
}

func (k Linux) AddAddress6(ctx context.Context, index int, a netip.Prefix, valid time.Duration) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipNet(a)}
	if valid > 0 {
		addr.ValidLft = max(int(min(valid.Seconds(), math.MaxInt32)), 1)
		addr.PreferedLft = addr.ValidLft
	}
	if err := netlink.AddrReplace(l, addr); err != nil {
		return fmt.Errorf("address %v: %w", a, err)
	}
	for {
		addrs, err := netlink.AddrList(l, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(addrs, func(x netlink.Addr) bool { p, ok := prefix(x.IPNet); return ok && p == a })
		switch {
		case i < 0 || addrs[i].Flags&unix.IFA_F_DADFAILED != 0:
			if i >= 0 {
				err = netlink.AddrDel(l, &addrs[i])
			}
			return errors.Join(&TakenError{Address: a.Addr(), Owner: owner6(ctx, l.Attrs().Name, a.Addr())}, err)
		case addrs[i].Flags&unix.IFA_F_TENTATIVE == 0:
			return nil
		}
		if sleep(ctx, tentativePoll); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// tentativePoll is how often the kernel is asked whether an address is free, which
// takes it a second or two (RFC 4862 section 5.4).
const tentativePoll = 200 * time.Millisecond

func (k Linux) RemoveAddress(index int, a netip.Prefix) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(l, &netlink.Addr{IPNet: ipNet(a)}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("take away %v: %w", a, err)
	}
	return nil
}

func (k Linux) Clear(index int) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	return errors.Join(k.dropRoutes(l, nil), k.clear(l, netip.Prefix{}))
}

// clear takes all IPv4 addresses but keep from l, and all of IPv6 that are fixed,
// such as those of earlier settings: what routers advertise is not permanent and
// stays. Routes that use the addresses go too.
func (k Linux) clear(l netlink.Link, keep netip.Prefix) error {
	addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		p, ok := prefix(a.IPNet)
		kernels := ok && p.Addr().Is6() && (p.Addr().IsLinkLocalUnicast() || a.Flags&unix.IFA_F_PERMANENT == 0)
		if ok && p == keep || kernels {
			continue
		}
		if err := netlink.AddrDel(l, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("take away %v: %w", a.IPNet, err)
		}
	}
	return nil
}

// dropRoutes takes the routes that Configure made from l, but for those to keep.
func (k Linux) dropRoutes(l netlink.Link, keep []string) error {
	filter := &netlink.Route{LinkIndex: l.Attrs().Index, Protocol: unix.RTPROT_DHCP}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return err
	}
	for _, r := range routes {
		dst := ""
		if r.Dst != nil {
			if p, ok := prefix(r.Dst); ok {
				dst = p.String()
			}
		} else if r.Gw.To4() != nil {
			dst = defaultRoute(netip.IPv4Unspecified()).String()
		} else {
			dst = defaultRoute(netip.IPv6Unspecified()).String()
		}
		if slices.Contains(keep, dst) {
			continue
		}
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, size := n.Mask.Size()
	if !ok || size == 0 {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr.Unmap(), ones), true
}
