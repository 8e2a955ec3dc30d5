package netcfg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

const (
	// answerWait is the wait for the first answer; it doubles with each of the
	// tries of one exchange.
	answerWait = 3 * time.Second
	tries      = 3
)

// Client is the Exchange over the wire. Hostname is called for each message and
// returns the name that the server is told, for its list of clients.
type Client struct {
	Interface string
	Hostname  func() string
}

var _ Exchange = (*Client)(nil)

// asked are the options that the box makes use of.
var asked = dhcpv4.WithRequestedOptions(
	dhcpv4.OptionSubnetMask,
	dhcpv4.OptionClasslessStaticRoute,
	dhcpv4.OptionRouter,
	dhcpv4.OptionDomainNameServer,
	dhcpv4.OptionDomainName,
	dhcpv4.OptionDNSDomainSearchList,
	dhcpv4.OptionNTPServers,
	dhcpv4.OptionIPAddressLeaseTime,
	dhcpv4.OptionRenewTimeValue,
	dhcpv4.OptionRebindingTimeValue,
)

func (c *Client) modifiers() []dhcpv4.Modifier {
	list := []dhcpv4.Modifier{asked}
	if name := c.Hostname(); name != "" {
		list = append(list, dhcpv4.WithOption(dhcpv4.OptHostName(name)))
	}
	return list
}

// Acquire is DHCPDISCOVER to DHCPACK.
func (c *Client) Acquire(ctx context.Context, hint netip.Addr) (*Lease, error) {
	begin := time.Now()
	cl, err := nclient4.New(c.Interface, nclient4.WithTimeout(answerWait), nclient4.WithRetry(tries))
	if err != nil {
		return nil, fmt.Errorf("DHCP: %w", err)
	}
	defer cl.Close()
	discover := c.modifiers()
	if hint.Is4() {
		discover = append(discover, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(hint.AsSlice())))
	}
	offer, err := cl.DiscoverOffer(ctx, discover...)
	if err != nil {
		return nil, noAnswer(err)
	}
	lease, err := cl.RequestFromOffer(ctx, offer, c.modifiers()...)
	if err != nil {
		var nak *nclient4.ErrNak
		if errors.As(err, &nak) {
			return nil, ErrRefused
		}
		return nil, noAnswer(err)
	}
	return newLease(lease.ACK, begin)
}

// Renew speaks to the lease's server as one host to another: relays between the
// two do not forward broadcasts of clients that have an address.
func (c *Client) Renew(ctx context.Context, l *Lease) (*Lease, error) {
	return c.extend(ctx, l,
		&net.UDPAddr{IP: l.Server.AsSlice(), Port: nclient4.ServerPort},
		nclient4.WithUnicast(&net.UDPAddr{IP: l.Address.Addr().AsSlice(), Port: nclient4.ClientPort}))
}

func (c *Client) Rebind(ctx context.Context, l *Lease) (*Lease, error) {
	return c.extend(ctx, l, nclient4.DefaultServers)
}

func (c *Client) extend(ctx context.Context, l *Lease, to *net.UDPAddr, opts ...nclient4.ClientOpt) (*Lease, error) {
	ack, ok := l.Raw.(*dhcpv4.DHCPv4)
	if !ok {
		return nil, errors.New("DHCP: a lease of another client")
	}
	begin := time.Now()
	cl, err := nclient4.New(c.Interface, append(opts, nclient4.WithTimeout(answerWait), nclient4.WithRetry(tries))...)
	if err != nil {
		return nil, fmt.Errorf("DHCP: %w", err)
	}
	defer cl.Close()
	req, err := dhcpv4.NewRenewFromAck(ack, c.modifiers()...)
	if err != nil {
		return nil, fmt.Errorf("DHCP: %w", err)
	}
	answer, err := cl.SendAndRead(ctx, to, req, nclient4.IsMessageType(dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak))
	if err != nil {
		return nil, noAnswer(err)
	}
	if answer.MessageType() == dhcpv4.MessageTypeNak {
		return nil, ErrRefused
	}
	return newLease(answer, begin)
}

// Decline is DHCPDECLINE (RFC 2131 section 4.4.4), which is not answered.
func (c *Client) Decline(ctx context.Context, l *Lease) error {
	ack, ok := l.Raw.(*dhcpv4.DHCPv4)
	if !ok {
		return errors.New("DHCP: a lease of another client")
	}
	decline, err := dhcpv4.New(
		dhcpv4.WithHwAddr(ack.ClientHWAddr), dhcpv4.WithMessageType(dhcpv4.MessageTypeDecline),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ack.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ack.ServerIdentifier())))
	if err != nil {
		return fmt.Errorf("DHCP: %w", err)
	}
	conn, err := nclient4.NewRawUDPConn(c.Interface, nclient4.ClientPort)
	if err != nil {
		return fmt.Errorf("DHCP: %w", err)
	}
	defer conn.Close()
	if _, err := conn.WriteTo(decline.ToBytes(), nclient4.DefaultServers); err != nil {
		return fmt.Errorf("DHCP: decline: %w", err)
	}
	return nil
}

func noAnswer(err error) error {
	if errors.Is(err, nclient4.ErrNoResponse) || errors.Is(err, context.DeadlineExceeded) {
		return ErrNoServer
	}
	return fmt.Errorf("DHCP: %w", err)
}

// newLease reads a DHCPACK.
func newLease(ack *dhcpv4.DHCPv4, begin time.Time) (*Lease, error) {
	addr, ok := ip4(ack.YourIPAddr)
	if !ok || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() {
		return nil, fmt.Errorf("DHCP: the server grants %v, which is no address for a host", ack.YourIPAddr)
	}
	bits := 32
	if mask := ack.SubnetMask(); mask != nil {
		ones, size := mask.Size()
		if size != 32 || ones == 0 {
			return nil, fmt.Errorf("DHCP: the server gives the network mask %v", mask)
		}
		bits = ones
	} else if d := addr.AsSlice(); net.IP(d).DefaultMask() != nil {
		bits, _ = net.IP(d).DefaultMask().Size()
	}
	l := &Lease{
		Address: netip.PrefixFrom(addr, bits),
		DNS:     ip4s(ack.DNS()),
		NTP:     ip4s(ack.NTPServers()),
		Search:  search(ack),
		Begin:   begin,
		Raw:     ack,
	}
	if server, ok := ip4(ack.ServerIdentifier()); ok {
		l.Server = server
	}
	l.Routes = routes(ack)
	l.setTimes(ack.IPAddressLeaseTime(0), ack.IPAddressRenewalTime(0), ack.IPAddressRebindingTime(0))
	return l, nil
}

// infinite is the lease time that stands for no end (RFC 2131 section 3.3).
const infinite = 0xffffffff * time.Second

// setTimes takes over the server's times where they make sense, and the usual
// parts of the lease time (RFC 2131 section 4.4.5) where not.
func (l *Lease) setTimes(lifetime, t1, t2 time.Duration) {
	if lifetime == 0 || lifetime >= infinite {
		return
	}
	l.Lifetime = max(lifetime, shortestLease)
	l.T1, l.T2 = t1, t2
	if !(0 < t1 && t1 < t2 && t2 < l.Lifetime) {
		l.T1, l.T2 = l.Lifetime/2, l.Lifetime*7/8
	}
}

// routes returns those of option 121, or the one default route. Who gets option
// 121 must ignore the router option (RFC 3442).
func routes(ack *dhcpv4.DHCPv4) []Route {
	var list []Route
	for _, r := range ack.ClasslessStaticRoute() {
		dst, ok := ip4(r.Dest.IP)
		ones, size := r.Dest.Mask.Size()
		gw, okGW := ip4(r.Router)
		if !ok || !okGW || size != 32 {
			continue
		}
		if gw.IsUnspecified() {
			gw = netip.Addr{} // on the link
		}
		list = append(list, Route{Dst: netip.PrefixFrom(dst, ones).Masked(), Gateway: gw})
	}
	if len(list) > 0 {
		return list
	}
	for _, gw := range ip4s(ack.Router()) {
		return []Route{{Dst: defaultRoute(gw), Gateway: gw}}
	}
	return nil
}

func ip4(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip.To4())
	return a, ok
}

func ip4s(list []net.IP) []netip.Addr {
	var out []netip.Addr
	for _, ip := range list {
		if a, ok := ip4(ip); ok && !a.IsUnspecified() {
			out = append(out, a)
		}
	}
	return out
}

// search gives the search domains (RFC 3397), the domain of the network where the
// server names none.
func search(ack *dhcpv4.DHCPv4) []string {
	names := []string{ack.DomainName()}
	if list := ack.DomainSearch(); list != nil && len(list.Labels) > 0 {
		names = list.Labels
	}
	var out []string
	for _, name := range names {
		if d := domain(strings.TrimSuffix(name, ".")); d != "" && len(out) < maxSearch {
			out = append(out, d)
		}
	}
	return out
}

// domain returns s if it can go into resolv.conf as it is, and else nothing.
func domain(s string) string {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return ""
		}
	}
	if len(s) > 253 {
		return ""
	}
	return s
}
