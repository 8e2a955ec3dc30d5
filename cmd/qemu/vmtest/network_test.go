//go:build vm

package vmtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/cmd/qemu/vm"
)

// vlan is the network that the test is on by the switch's tap.
const vlan = 5

const bonded = `
[[network.interfaces]]
name = "bond0"
bond = ["eth0", "eth1"]
[[network.interfaces]]
name = "office"
parent = "bond0"
vlan = 5
mode = "static"
address = "198.51.100.5/24"
mtu = 1400
`

// TestBond pulls the cable of one card of a bond after the other while mail is
// being submitted, none of which may be lost, and asks on a VLAN for the box.
func TestBond(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "tap")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := newDisk(t, strings.Replace(provision, "[network]\nmode = \"dhcp\"\n", bonded, 1))
	b := startWith(t, vm.Config{Drive: raw(path), Cards: 2, Tap: socket})
	tap, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	b.served()
	b.shows(clientLimit, `bond0 \(eth0, eth1\) +10\.0\.2\.15`)
	b.shows(clientLimit, `office +198\.51\.100\.5/24`)

	t.Run("VLAN", func(t *testing.T) {
		mac, err := resolve(tap, "198.51.100.5")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("198.51.100.5 on VLAN %d is %v", vlan, mac)
	})
	go io.Copy(io.Discard, tap) // or the switch waits for us

	t.Run("conflict", func(t *testing.T) {
		seen, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- claims(tap, "198.51.100.5", seen) }()
		b.in(t).says(`another device on the network, 02:00:00:00:00:01, has the address 198.51.100.5 as well`)
		close(seen)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Run("failover", func(t *testing.T) {
		b := b.in(t)
		sent := &ledger{taken: make(map[string][32]byte), offered: make(map[string][32]byte)}
		s := submit(b, sent, 1)
		s.wait(t, warmUp)
		for i, card := range []string{"card0", "card1"} {
			b.link(card, false)
			s.wait(t, warmUp)
			b.says(fmt.Sprintf(`the cable of eth%d, a card of bond0, is not plugged in`, i))
			b.link(card, true)
			s.wait(t, warmUp)
		}
		s.ignore()
		s.end()
		sent.compare(t, b)
		if failed := len(sent.offered) - len(sent.taken); failed != 0 {
			t.Errorf("%d messages were not taken although one card was left", failed)
		}
	})
	t.Run("LACP", func(t *testing.T) { b.in(t).lacp() })
	b.restarts("Ctrl-Alt-Del", "sendkey ctrl-alt-delete")
}

// lacp makes the bond one of LACP while the box runs, as its owner would on the
// command line, and sends mail over it. The switch knows nothing of LACP: one
// card works then.
func (b *box) lacp() {
	b.t.Helper()
	b.openMenu()
	b.openCommandLine()
	b.typed(`printf '[[network.interfaces]]\nname="bond0"\nbond=["eth0","eth1"]\nbond_mode="lacp"\n' | mailctl network try -` + "\r")
	b.shows(clientLimit, `It is in force for two minutes`)
	b.typed("mailctl network keep\r")
	b.typed("mailctl network\r")
	b.shows(clientLimit, `bond_mode = .lacp.`)
	b.typed("exit\r")
	b.shows(clientLimit, `Check the mail store`)
	b.typed("\x1b")
	b.shows(clientLimit, `bond0 \(eth0, eth1\) +10\.0\.2\.15`)
	sent := &ledger{taken: make(map[string][32]byte), offered: make(map[string][32]byte)}
	s := submit(b, sent, 2)
	s.wait(b.t, warmUp)
	s.ignore()
	s.end()
	b.t.Logf("%d messages were taken over LACP", sent.count())
}

// restarts gives QEMU's monitor a command that makes the box restart, in order.
func (b *box) restarts(by, command string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientLimit)
	defer cancel()
	began := time.Now()
	if _, err := b.Monitor(ctx, command); err != nil {
		b.t.Fatal(err)
	}
	b.expect(clientLimit, `pillarbox: stores closed, restarting`)
	b.t.Logf("down %.1f s after %s", time.Since(began).Seconds(), by)
	b.expect(bootLimit, `pillarbox: Pillarbox .* on Linux`)
}

// link plugs a card's cable in or out.
func (b *box) link(card string, in bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientLimit)
	defer cancel()
	if err := b.SetLink(ctx, card, in); err != nil {
		b.t.Fatal(err)
	}
}

// station is who the test is on the VLAN.
var station = net.HardwareAddr{2, 0, 0, 0, 0, 1}

// tagged goes between the addresses of a frame and an ARP message on the VLAN
// (IEEE 802.1Q).
var tagged = []byte{0x81, 0, 0, vlan, 8, 6}

// ask sends an ARP request (RFC 826) from sender for target on the VLAN.
func ask(tap net.Conn, sender, target string) error {
	frame := bytes.Join([][]byte{
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, station, tagged,
		{0, 1, 8, 0, 6, 4, 0, 1}, station, net.ParseIP(sender).To4(), make([]byte, 6), net.ParseIP(target).To4(),
	}, nil)
	frame = append(frame, make([]byte, 64-len(frame))...)
	_, err := tap.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	return err
}

// claims says that the station has an address, again and again until the end of
// done: the box has its address a moment before it listens for others who use it.
func claims(tap net.Conn, address string, done <-chan struct{}) error {
	for {
		if err := ask(tap, address, address); err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		case <-time.After(time.Second):
		}
	}
}

// resolve asks for the station that has an address.
func resolve(tap net.Conn, address string) (net.HardwareAddr, error) {
	if err := ask(tap, "198.51.100.1", address); err != nil {
		return nil, err
	}
	if err := tap.SetReadDeadline(time.Now().Add(clientLimit)); err != nil {
		return nil, err
	}
	defer tap.SetReadDeadline(time.Time{})
	for {
		var length uint32
		if err := binary.Read(tap, binary.BigEndian, &length); err != nil {
			return nil, err
		}
		if length > 64<<10 {
			return nil, errors.New("a frame of more than 64 KiB")
		}
		answer := make([]byte, length)
		if _, err := io.ReadFull(tap, answer); err != nil {
			return nil, err
		}
		if len(answer) >= 46 && bytes.Equal(answer[:6], station) && bytes.Equal(answer[12:18], tagged) && answer[25] == 2 {
			return net.HardwareAddr(answer[26:32]), nil
		}
	}
}
