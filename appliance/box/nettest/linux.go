package nettest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
)

// neighbourPoll is how often the kernel's table is looked at for an answer.
const neighbourPoll = 100 * time.Millisecond

// Linux is the Config of the real box, but for what boxd knows.
func Linux() Config {
	return Config{
		Neighbour: neighbour,
		Exchange: func(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
			r, _, err := new(dns.Client).ExchangeContext(ctx, q, server)
			return r, err
		},
		Dial: new(net.Dialer).DialContext,
	}
}

// neighbour has the kernel ask for the hardware address of ip by sending a
// datagram there, and waits for the answer to stand in its table.
func neighbour(ctx context.Context, device string, ip netip.Addr) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	if ip.IsLinkLocalUnicast() && ip.Is6() {
		ip = ip.WithZone(device)
	}
	const discard = 9 // RFC 863; nobody needs to listen
	conn, err := new(net.Dialer).DialContext(ctx, "udp", netip.AddrPortFrom(ip, discard).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{0}); err != nil {
		return err
	}
	poll := time.NewTicker(neighbourPoll)
	defer poll.Stop()
	for {
		list, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
		if err != nil {
			return fmt.Errorf("neighbours: %w", err)
		}
		for _, n := range list {
			if n.IP.Equal(ip.WithZone("").AsSlice()) && len(n.HardwareAddr) > 0 && n.State&(netlink.NUD_FAILED|netlink.NUD_INCOMPLETE) == 0 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("does not answer")
		case <-poll.C:
		}
	}
}
