package netcfg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/insomniacslk/dhcp/iana"
)

// refreshAfter is when what a server said without a lease is asked for again,
// where it does not say (RFC 8415 section 7.6).
const refreshAfter = 24 * time.Hour

// Client6 is the Exchange by DHCPv6 (RFC 8415): for an address where Managed, else
// for name servers and the like alone, in leases without an address.
type Client6 struct {
	Interface string
	Managed   bool
}

var _ Exchange = (*Client6)(nil)

// asked6 are the options that the box makes use of.
var asked6 = []dhcpv6.OptionCode{dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionNTPServer, dhcpv6.OptionSNTPServerList}

func (c *Client6) open(begin time.Time) (*nclient6.Client, dhcpv6.Modifier, error) {
	cl, err := nclient6.New(c.Interface, nclient6.WithTimeout(answerWait), nclient6.WithRetry(tries))
	if err != nil {
		return nil, nil, fmt.Errorf("DHCPv6: %w", err)
	}
	return cl, dhcpv6.WithOption(dhcpv6.OptElapsedTime(time.Since(begin))), nil
}

// Acquire is Solicit to Reply, or an Information-request. The hint is of no use
// here: servers know their clients.
func (c *Client6) Acquire(ctx context.Context, _ netip.Addr) (*Lease, error) {
	begin := time.Now()
	cl, elapsed, err := c.open(begin)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	if !c.Managed {
		return c.inform(ctx, cl, begin)
	}
	advertise, err := cl.Solicit(ctx, self(cl), dhcpv6.WithRequestedOptions(asked6...), elapsed)
	if err != nil {
		return nil, noAnswer6(err)
	}
	if _, err := granted(advertise); err != nil {
		return nil, err
	}
	reply, err := cl.Request(ctx, advertise, dhcpv6.WithRequestedOptions(asked6...))
	if err != nil {
		return nil, noAnswer6(err)
	}
	return newLease6(reply, begin)
}

// self is by what servers know the box: the hardware address alone, so that it is
// the same client, and gets the same address, after a restart (RFC 8415 section
// 11.4). Nothing has to be kept for that.
func self(cl *nclient6.Client) dhcpv6.Modifier {
	return dhcpv6.WithClientID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: cl.InterfaceAddr()})
}

func (c *Client6) inform(ctx context.Context, cl *nclient6.Client, begin time.Time) (*Lease, error) {
	m, err := dhcpv6.NewMessage(dhcpv6.WithRequestedOptions(append(asked6, dhcpv6.OptionInformationRefreshTime)...),
		dhcpv6.WithOption(dhcpv6.OptElapsedTime(0)), self(cl))
	if err != nil {
		return nil, fmt.Errorf("DHCPv6: %w", err)
	}
	m.MessageType = dhcpv6.MessageTypeInformationRequest
	reply, err := cl.SendAndRead(ctx, nclient6.AllDHCPRelayAgentsAndServers, m, nclient6.IsMessageType(dhcpv6.MessageTypeReply))
	if err != nil {
		return nil, noAnswer6(err)
	}
	l := said(reply, begin)
	after := max(reply.Options.InformationRefreshTime(refreshAfter), 10*time.Minute) // RFC 8415 section 21.23
	l.Lifetime, l.T1, l.T2 = 2*after, after, after*3/2
	return l, nil
}

// Renew asks the server of the lease (RFC 8415 section 18.2.4).
func (c *Client6) Renew(ctx context.Context, l *Lease) (*Lease, error) {
	return c.extend(ctx, l, dhcpv6.MessageTypeRenew)
}

// Rebind asks any server (RFC 8415 section 18.2.5).
func (c *Client6) Rebind(ctx context.Context, l *Lease) (*Lease, error) {
	return c.extend(ctx, l, dhcpv6.MessageTypeRebind)
}

func (c *Client6) extend(ctx context.Context, l *Lease, kind dhcpv6.MessageType) (*Lease, error) {
	if !c.Managed {
		return c.Acquire(ctx, netip.Addr{})
	}
	begin := time.Now()
	cl, elapsed, err := c.open(begin)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	m, err := about(l, kind, elapsed, dhcpv6.WithRequestedOptions(asked6...))
	if err != nil {
		return nil, err
	}
	reply, err := cl.SendAndRead(ctx, nclient6.AllDHCPRelayAgentsAndServers, m, nclient6.IsMessageType(dhcpv6.MessageTypeReply))
	if err != nil {
		return nil, noAnswer6(err)
	}
	return newLease6(reply, begin)
}

// Decline gives back an address that another station has (RFC 8415 section 18.2.8).
func (c *Client6) Decline(ctx context.Context, l *Lease) error {
	cl, elapsed, err := c.open(time.Now())
	if err != nil {
		return err
	}
	defer cl.Close()
	m, err := about(l, dhcpv6.MessageTypeDecline, elapsed)
	if err != nil {
		return err
	}
	if _, err := cl.SendAndRead(ctx, nclient6.AllDHCPRelayAgentsAndServers, m, nclient6.IsMessageType(dhcpv6.MessageTypeReply)); err != nil {
		return noAnswer6(err)
	}
	return nil
}

// about is a message about a lease that the client has.
func about(l *Lease, kind dhcpv6.MessageType, modifiers ...dhcpv6.Modifier) (*dhcpv6.Message, error) {
	reply, ok := l.Raw.(*dhcpv6.Message)
	if !ok {
		return nil, errors.New("DHCPv6: a lease of another client")
	}
	ia := reply.Options.OneIANA()
	modifiers = append(modifiers, dhcpv6.WithClientID(reply.Options.ClientID()),
		dhcpv6.WithOption(&dhcpv6.OptIANA{IaId: ia.IaId, Options: dhcpv6.IdentityOptions{Options: dhcpv6.Options{ia.Options.OneAddress()}}}))
	if kind != dhcpv6.MessageTypeRebind {
		modifiers = append(modifiers, dhcpv6.WithServerID(reply.Options.ServerID()))
	}
	m, err := dhcpv6.NewMessage(modifiers...)
	if err != nil {
		return nil, fmt.Errorf("DHCPv6: %w", err)
	}
	m.MessageType = kind
	return m, nil
}

func noAnswer6(err error) error {
	if errors.Is(err, nclient6.ErrNoResponse) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no DHCPv6 server answers")
	}
	return fmt.Errorf("DHCPv6: %w", err)
}

// granted finds the address in a message; ErrRefused where the server has none for
// the client, or none any more.
func granted(m *dhcpv6.Message) (*dhcpv6.OptIAAddress, error) {
	if s := m.Options.Status(); s != nil && s.StatusCode != 0 {
		return nil, fmt.Errorf("DHCPv6: %w: %v %s", ErrRefused, s.StatusCode, s.StatusMessage)
	}
	ia := m.Options.OneIANA()
	if ia == nil {
		return nil, fmt.Errorf("DHCPv6: %w: no address", ErrRefused)
	}
	if s := ia.Options.Status(); s != nil && s.StatusCode != 0 {
		return nil, fmt.Errorf("DHCPv6: %w: %v %s", ErrRefused, s.StatusCode, s.StatusMessage)
	}
	a := ia.Options.OneAddress()
	if a == nil || a.ValidLifetime == 0 {
		return nil, fmt.Errorf("DHCPv6: %w: no address", ErrRefused)
	}
	addr, ok := netip.AddrFromSlice(a.IPv6Addr)
	if !ok || !addr.Is6() || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
		return nil, fmt.Errorf("DHCPv6: the server grants %v, which is no address for a host", a.IPv6Addr)
	}
	return a, nil
}

// newLease6 reads a Reply that grants an address. Routes are the routers' to say.
func newLease6(reply *dhcpv6.Message, begin time.Time) (*Lease, error) {
	a, err := granted(reply)
	if err != nil {
		return nil, err
	}
	addr, _ := netip.AddrFromSlice(a.IPv6Addr)
	l := said(reply, begin)
	l.Address = netip.PrefixFrom(addr, 128)
	ia := reply.Options.OneIANA()
	l.setTimes(a.ValidLifetime, ia.T1, ia.T2)
	return l, nil
}

// said is what a Reply says beside addresses.
func said(reply *dhcpv6.Message, begin time.Time) *Lease {
	l := &Lease{Begin: begin, Raw: reply, DNS: ip6s(reply.Options.DNS())}
	if list := reply.Options.DomainSearchList(); list != nil {
		for _, name := range list.Labels {
			if d := domain(strings.TrimSuffix(name, ".")); d != "" && len(l.Search) < maxSearch {
				l.Search = append(l.Search, d)
			}
		}
	}
	l.NTP = ip6s(append(reply.Options.NTPServers(), reply.Options.SNTP()...))
	return l
}

func ip6s(list []net.IP) []netip.Addr {
	var out []netip.Addr
	for _, ip := range list {
		if a, ok := netip.AddrFromSlice(ip.To16()); ok && !a.IsUnspecified() && !a.IsLinkLocalUnicast() {
			out = append(out, a.Unmap())
		}
	}
	return out
}
