package mdns

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// port of multicast DNS, and the limit of hops that shows a packet to be of the
// local network (RFC 6762 sections 3 and 11).
const (
	port = 5353
	hops = 255
)

// maxPacket is the longest message (section 17).
const maxPacket = 9000

// packet is a message that came.
type packet struct {
	by    *transport
	index int // of the interface
	from  netip.AddrPort
	data  []byte
}

// transport is the socket of one IP version.
type transport struct {
	conn net.PacketConn
	join func(index int)
	read func(buf []byte) (n, index int, from net.Addr, err error)
	send func(data []byte, index int, to net.Addr) // nil: to all
}

// listen opens the socket; other programs may have one too.
func listen(network, address string) (net.PacketConn, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var fault error
		err := raw.Control(func(fd uintptr) {
			fault = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		})
		if err != nil {
			return err
		}
		return fault
	}}
	return c.ListenPacket(context.Background(), network, address)
}

// Where sending or joining fails the interface is on its way out: the next look at
// the interfaces notices.

func open4() (*transport, error) {
	conn, err := listen("udp4", "0.0.0.0:5353")
	if err != nil {
		return nil, err
	}
	p := ipv4.NewPacketConn(conn)
	group := &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: port}
	for _, err := range []error{
		p.SetControlMessage(ipv4.FlagInterface, true), p.SetMulticastTTL(hops), p.SetTTL(hops), p.SetMulticastLoopback(false),
	} {
		if err != nil {
			conn.Close()
			return nil, err
		}
	}
	return &transport{
		conn: conn,
		join: func(index int) { _ = p.JoinGroup(&net.Interface{Index: index}, group) },
		read: func(buf []byte) (int, int, net.Addr, error) {
			n, cm, from, err := p.ReadFrom(buf)
			if err != nil || cm == nil {
				return n, 0, from, err
			}
			return n, cm.IfIndex, from, nil
		},
		send: func(data []byte, index int, to net.Addr) {
			if to == nil {
				to = group
			}
			_, _ = p.WriteTo(data, &ipv4.ControlMessage{IfIndex: index}, to)
		},
	}, nil
}

func open6() (*transport, error) {
	conn, err := listen("udp6", "[::]:5353")
	if err != nil {
		return nil, err
	}
	p := ipv6.NewPacketConn(conn)
	group := &net.UDPAddr{IP: net.ParseIP("ff02::fb"), Port: port}
	for _, err := range []error{
		p.SetControlMessage(ipv6.FlagInterface, true), p.SetMulticastHopLimit(hops), p.SetHopLimit(hops), p.SetMulticastLoopback(false),
	} {
		if err != nil {
			conn.Close()
			return nil, err
		}
	}
	return &transport{
		conn: conn,
		join: func(index int) { _ = p.JoinGroup(&net.Interface{Index: index}, group) },
		read: func(buf []byte) (int, int, net.Addr, error) {
			n, cm, from, err := p.ReadFrom(buf)
			if err != nil || cm == nil {
				return n, 0, from, err
			}
			return n, cm.IfIndex, from, nil
		},
		send: func(data []byte, index int, to net.Addr) {
			if to == nil {
				to = group
			}
			_, _ = p.WriteTo(data, &ipv6.ControlMessage{IfIndex: index}, to)
		},
	}, nil
}

func (t *transport) close() { t.conn.Close() }

// run hands on what comes until the socket is closed.
func (t *transport) run(ctx context.Context, packets chan<- packet) {
	buf := make([]byte, maxPacket)
	for {
		n, index, from, err := t.read(buf)
		if err != nil {
			return
		}
		udp, ok := from.(*net.UDPAddr)
		if !ok {
			continue
		}
		ap := udp.AddrPort()
		p := packet{by: t, index: index, from: netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), data: append([]byte(nil), buf[:n]...)}
		select {
		case packets <- p:
		case <-ctx.Done():
			return
		}
	}
}
