//go:build vm

package vmtest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// host is the machine that runs the test as the guest sees it, by QEMU's
// network: what listens on its loopback is reached there.
const host = "10.0.2.2"

// guestAddr is where the guest finds what listens at addr on loopback.
func guestAddr(t *testing.T, addr net.Addr) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(host, port)
}

// timeServer serves this machine's time by SNTP (RFC 5905) and returns where
// the guest finds it.
func timeServer(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		ask := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(ask)
			if err != nil {
				return
			}
			if n < 48 {
				continue
			}
			// Version 4, mode 4 (server), stratum 1; the reference is this clock.
			answer := make([]byte, 48)
			copy(answer, []byte{4<<3 | 4, 1, 6, 0xec})
			copy(answer[12:], "TEST")
			now := ntpTime(time.Now())
			binary.BigEndian.PutUint64(answer[16:], now)
			copy(answer[24:32], ask[40:48])
			binary.BigEndian.PutUint64(answer[32:], now)
			binary.BigEndian.PutUint64(answer[40:], now)
			// One that is lost is asked for again.
			_, _ = conn.WriteTo(answer, from)
		}
	}()
	return guestAddr(t, conn.LocalAddr())
}

// ntpTime is seconds since 1900 and their fraction of 2^32.
func ntpTime(at time.Time) uint64 {
	const from1900 = 2208988800
	return uint64(at.Unix()+from1900)<<32 | uint64(at.Nanosecond())<<32/1e9
}

// upsServer is a NUT server with one UPS, named rack.
type upsServer struct {
	where  string                 // as the box's settings name it
	status atomic.Pointer[string] // ups.status: OL on mains, OB on battery
}

func newUPSServer(t *testing.T) *upsServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	u := &upsServer{where: "rack@" + guestAddr(t, l.Addr())}
	u.set("OL")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go u.serve(conn)
		}
	}()
	return u
}

func (u *upsServer) set(status string) { u.status.Store(&status) }

func (u *upsServer) serve(conn net.Conn) {
	defer conn.Close()
	for in := bufio.NewScanner(conn); in.Scan(); {
		switch strings.TrimSpace(in.Text()) {
		case "LIST VAR rack":
			fmt.Fprintf(conn, "BEGIN LIST VAR rack\nVAR rack ups.status %q\nVAR rack battery.charge \"87\"\nVAR rack battery.runtime \"1260\"\nVAR rack ups.load \"23\"\nEND LIST VAR rack\n", *u.status.Load())
		case "LOGOUT":
			fmt.Fprint(conn, "OK Goodbye\n")
			return
		default:
			fmt.Fprint(conn, "ERR UNKNOWN-COMMAND\n")
		}
	}
}
