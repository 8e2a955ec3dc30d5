package netcfg

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/ndp"
)

// ownerPatience bounds the search for the owner of an address: a second or two
// until the interface has an address to ask from, and the answer.
const ownerPatience = 4 * time.Second

// owner6 asks for the hardware address of the station that has addr (RFC 4861
// section 7.2.2). It is empty where that does not say.
func owner6(ctx context.Context, device string, addr netip.Addr) string {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return ""
	}
	group, err := ndp.SolicitedNodeMulticast(addr)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	c, _, err := ndp.Listen(ifi, ndp.LinkLocal)
	for err != nil {
		if sleep(ctx, tentativePoll); ctx.Err() != nil {
			return ""
		}
		c, _, err = ndp.Listen(ifi, ndp.LinkLocal)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	ask := &ndp.NeighborSolicitation{TargetAddress: addr, Options: []ndp.Option{
		&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: ifi.HardwareAddr},
	}}
	if err := c.WriteTo(ask, nil, group); err != nil {
		return ""
	}
	for {
		m, _, _, err := c.ReadFrom()
		if gone := net.Error(nil); ctx.Err() != nil || errors.As(err, &gone) {
			return ""
		}
		answer, ok := m.(*ndp.NeighborAdvertisement)
		if err != nil || !ok || answer.TargetAddress != addr {
			continue
		}
		for _, o := range answer.Options {
			if a, ok := o.(*ndp.LinkLayerAddress); ok && a.Direction == ndp.Target {
				return a.Addr.String()
			}
		}
	}
}
