package netcfg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// How long probing takes (RFC 5227 section 1.1). The times there are for networks
// that take seconds to answer; a wired one does so within milliseconds, and mail
// waits meanwhile.
const (
	probes         = 3
	probeInterval  = 300 * time.Millisecond
	announcements  = 2
	announceAfter  = 2 * time.Second
	defendInterval = 10 * time.Second
)

// TakenError says that another station has an address.
type TakenError struct {
	Address netip.Addr
	Owner   string // its hardware address, empty where that is not known
}

func (e *TakenError) Error() string {
	if e.Owner == "" {
		return fmt.Sprintf("another device on the network has the address %s as well: give one of the two another address", e.Address)
	}
	return fmt.Sprintf("another device on the network, %s, has the address %s as well: give one of the two another address", e.Owner, e.Address)
}

// ARP is the Neighbourhood of Ethernet and IPv4 (RFC 826, RFC 5227). Of IPv6
// addresses the kernel itself finds out whether they are taken (RFC 4862).
type ARP struct{}

var _ Neighbourhood = ARP{}

// Probe asks for addr without having it (RFC 5227 section 2.1.1).
func (ARP) Probe(ctx context.Context, device string, addr netip.Addr) error {
	if !addr.Is4() {
		return nil
	}
	c, err := openARP(device)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.probe(ctx, addr)
}

// Watch announces addr, which the interface has, and listens for others who use
// it, whom it tells (RFC 5227 sections 2.3 and 2.4), until ctx ends.
func (ARP) Watch(ctx context.Context, device string, addr netip.Addr, taken func(*TakenError)) error {
	if !addr.Is4() {
		return nil
	}
	c, err := openARP(device)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.watch(ctx, addr, taken)
}

// arpConn is a socket for the ARP messages of one interface.
type arpConn struct {
	*packet.Conn
	own net.HardwareAddr
}

func openARP(device string) (*arpConn, error) {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("ARP on %s: %w", device, err)
	}
	c, err := packet.Listen(ifi, packet.Datagram, unix.ETH_P_ARP, nil)
	if err != nil {
		return nil, fmt.Errorf("ARP on %s: %w", device, err)
	}
	return &arpConn{c, ifi.HardwareAddr}, nil
}

func (c *arpConn) probe(ctx context.Context, addr netip.Addr) error {
	for range probes {
		if err := c.ask(netip.IPv4Unspecified(), addr); err != nil {
			return err
		}
		end := time.Now().Add(probeInterval)
		for {
			m, err := c.read(ctx, end)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return err
			}
			// One who has it, or who is about to take it as well.
			rival := m.asked && m.sender.IsUnspecified() && m.target == addr
			if (m.sender == addr || rival) && m.from.String() != c.own.String() {
				return &TakenError{addr, m.from.String()}
			}
		}
	}
	return nil
}

func (c *arpConn) watch(ctx context.Context, addr netip.Addr, taken func(*TakenError)) error {
	var defended time.Time
	for n := 0; ; {
		until := time.Now().Add(time.Hour)
		if n < announcements {
			if err := c.ask(addr, addr); err != nil {
				return err
			}
			n++
			until = time.Now().Add(announceAfter)
		}
		m, err := c.read(ctx, until)
		for err == nil {
			if m.sender == addr && m.from.String() != c.own.String() {
				taken(&TakenError{addr, m.from.String()})
				// Once in a while: two who both defend would go on for ever.
				if time.Since(defended) >= defendInterval {
					defended = time.Now()
					if err := c.ask(addr, addr); err != nil {
						return err
					}
				}
			}
			m, err = c.read(ctx, until)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// arpMessage is what matters here of an ARP message.
type arpMessage struct {
	from           net.HardwareAddr
	sender, target netip.Addr
	asked          bool
}

// arpSize is the octets of a message about IPv4 on Ethernet.
const arpSize = 28

// ask sends a request to all. With the sender 0.0.0.0 it changes nobody's table.
func (c *arpConn) ask(sender, target netip.Addr) error {
	b := make([]byte, 0, arpSize)
	b = binary.BigEndian.AppendUint16(b, 1) // Ethernet
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
	b = append(b, 6, 4)
	b = binary.BigEndian.AppendUint16(b, 1) // request
	b = append(b, c.own...)
	b = append(b, sender.AsSlice()...)
	b = append(b, make([]byte, 6)...)
	b = append(b, target.AsSlice()...)
	_, err := c.WriteTo(b, &packet.Addr{HardwareAddr: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
	return err
}

// read waits for the next message, until a time, or ctx ends: with its error, or
// os.ErrDeadlineExceeded.
func (c *arpConn) read(ctx context.Context, until time.Time) (arpMessage, error) {
	if err := c.SetReadDeadline(until); err != nil {
		return arpMessage{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b := make([]byte, 64)
	for {
		n, _, err := c.ReadFrom(b)
		if ctx.Err() != nil {
			return arpMessage{}, ctx.Err()
		}
		if err != nil {
			return arpMessage{}, err
		}
		if m, ok := parseARP(b[:n]); ok {
			return m, nil
		}
	}
}

// parseARP reads a message about IPv4 on Ethernet.
func parseARP(b []byte) (m arpMessage, ok bool) {
	if len(b) < arpSize || binary.BigEndian.Uint16(b) != 1 || binary.BigEndian.Uint16(b[2:]) != unix.ETH_P_IP || b[4] != 6 || b[5] != 4 {
		return m, false
	}
	m.asked = binary.BigEndian.Uint16(b[6:]) == 1
	m.from = net.HardwareAddr(append([]byte(nil), b[8:14]...))
	m.sender, m.target = netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	return m, true
}
