package firewall

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/box/netlab"
)

// soon is when a connection that was not let in at once is given up: before TCP
// asks a second time.
const soon = 900 * time.Millisecond

// open dials n times, and returns how often it was let in, if only when TCP asks
// again: a slow machine is no limit. It keeps the connections until the end of
// the test.
func open(t *testing.T, s *netlab.Space, from, to string, n int) int {
	t.Helper()
	var held []net.Conn
	t.Cleanup(func() {
		for _, c := range held {
			c.Close()
		}
	})
	return dialUntil(s, from, to, n, waitFor, func(c net.Conn) { held = append(held, c) })
}

// flood dials n times, or until the box drops what comes, returns how often it was
// let in and holds nothing. What takes long for another reason is tried again.
func (l lab) flood(from, to string, n int) (count int) {
	for before := l.dropped(); count < n && l.dropped() == before; {
		count += dialUntil(l.other, from, to, n-count, soon, func(c net.Conn) {
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		})
	}
	return count
}

// dropped is how many packets of limited sources the box has dropped.
func (l lab) dropped() (n uint64) {
	l.box.Do(func() error {
		list, err := Sources()
		for _, s := range list {
			n += s.Dropped
		}
		return err
	})
	return n
}

// dialUntil hands each connection to got, up to n or to the first that fails, and
// returns how many there were.
func dialUntil(s *netlab.Space, from, to string, n int, wait time.Duration, got func(net.Conn)) (count int) {
	s.Do(func() error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: wait}
		for ; count < n; count++ {
			c, err := d.Dial("tcp", to)
			if err != nil {
				return nil
			}
			got(c)
		}
		return nil
	})
	return count
}

// take accepts what comes in and holds it.
func take(t *testing.T, s *netlab.Space, address string) {
	t.Helper()
	s.Do(func() error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					c.Read(make([]byte, 1)) // until the peer ends
					c.Close()
				}()
			}
		}()
		return nil
	})
}

func TestLimitsAFlood(t *testing.T) {
	for _, tt := range []struct {
		name, port, listed string
		// flooder, its neighbour in the same network of IPv6, and another.
		from, near, other string
		to                string
		limits            limits
	}{
		{"mail over IPv4", "25", "192.0.2.2/32", "192.0.2.2", "192.0.2.2", "192.0.2.3", "192.0.2.1", servers()},
		{"logins over IPv4", "993", "192.0.2.2/32", "192.0.2.2", "192.0.2.2", "192.0.2.3", "192.0.2.1", people()},
		{"logins over IPv6", "993", "2001:db8::/64", "2001:db8::2", "2001:db8::2:3", "2001:db8:0:1::2", "2001:db8::1", people()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			l.other.Do(func() error { return netlab.Address("eth0", "192.0.2.3/24", "2001:db8::2:3/64", "2001:db8:0:1::2/64") })
			l.box.Do(func() error { return netlab.Address("eth0", "2001:db8:0:1::1/64") })
			to := net.JoinHostPort(tt.to, tt.port)
			take(t, l.box, ":"+tt.port)
			l.box.Do(func() error { return Apply(Config{Servers: []uint16{25}, People: []uint16{993}}) })

			// Even a slow machine connects faster than the limit allows.
			got := l.flood(tt.from, to, 5*int(tt.limits.burst))
			if got == 5*int(tt.limits.burst) {
				t.Errorf("a flood got %d connections, the burst is %d", got, tt.limits.burst)
			}
			if got := l.flood(tt.near, to, 100); got == 100 {
				t.Error("from the same source a flood goes on")
			}
			// Others are served meanwhile, and not limited, as the list shows.
			if got := open(t, l.other, tt.other, to, 100); got != 100 {
				t.Errorf("another source got %d of 100 connections", got)
			}
			l.box.Do(func() error {
				list, err := Sources()
				if err != nil {
					return err
				}
				if len(list) != 1 || list[0].Source != netip.MustParsePrefix(tt.listed) || list[0].Dropped == 0 || time.Since(list[0].Last).Abs() > time.Minute {
					t.Errorf("limited: %+v", list)
				}
				return nil
			})
		})
	}
}

// An office of fifty people behind one address, whose line comes back: each mail
// program opens five connections, at four kinds of ports, and holds them.
func TestLetsAnOfficeIn(t *testing.T) {
	l := newLab(t)
	ports := []uint16{993, 143, 465, 995}
	for _, p := range ports {
		take(t, l.box, netip.AddrPortFrom(netip.IPv4Unspecified(), p).String())
	}
	l.box.Do(func() error { return Apply(Config{People: ports}) })
	for _, share := range []struct {
		to string
		n  int
	}{{"192.0.2.1:993", 150}, {"192.0.2.1:143", 50}, {"192.0.2.1:465", 25}, {"192.0.2.1:995", 25}} {
		if got := open(t, l.other, "192.0.2.2", share.to, share.n); got != share.n {
			t.Errorf("%s: %d of %d connections", share.to, got, share.n)
		}
	}
	l.box.Do(func() error {
		list, err := Sources()
		if err == nil && len(list) > 0 {
			t.Errorf("limited: %+v", list)
		}
		return err
	})
}

func TestLimitsConnectionsHeld(t *testing.T) {
	l := newLab(t)
	l.other.Do(func() error { return netlab.Address("eth0", "192.0.2.3/24") })
	take(t, l.box, ":25")
	l.box.Do(func() error { return Apply(Config{Servers: []uint16{25}}) })
	most := int(servers().open)
	var held []net.Conn
	hold := func(c net.Conn) { held = append(held, c) }
	if got := dialUntil(l.other, "192.0.2.2", "192.0.2.1:25", most, waitFor, hold); got != most {
		t.Errorf("%d connections were held, want %d", got, most)
	}
	if got := dialUntil(l.other, "192.0.2.2", "192.0.2.1:25", 1, soon, hold); got != 0 {
		t.Errorf("one more than %d was held", most)
	}
	if got := open(t, l.other, "192.0.2.3", "192.0.2.1:25", 10); got != 10 {
		t.Errorf("another source got %d of 10 connections", got)
	}
	// Those that end make room.
	for _, c := range held {
		c.Close()
	}
	if err := dialFrom(l.other, "192.0.2.2", "192.0.2.1:25"); err != nil {
		t.Errorf("after all have ended: %v", err)
	}
}

func TestAdministrationIsForItsNetworks(t *testing.T) {
	l := newLab(t)
	l.other.Do(func() error { return netlab.Address("eth0", "10.1.2.3/24", "fd00::2/64") })
	l.box.Do(func() error { return netlab.Address("eth0", "10.1.2.1/24", "fd00::1/64") })
	take(t, l.box, ":443")
	for _, tt := range []struct {
		networks []string
		from, to string
		in       bool
	}{
		{nil, "10.1.2.3", "10.1.2.1", true},
		{nil, "fd00::2", "fd00::1", true},
		{nil, "192.0.2.2", "192.0.2.1", false},
		{nil, "2001:db8::2", "2001:db8::1", false},
		{[]string{"192.0.2.0/24", "2001:db8::2/128"}, "192.0.2.2", "192.0.2.1", true},
		{[]string{"192.0.2.0/24", "2001:db8::2/128"}, "2001:db8::2", "2001:db8::1", true},
		{[]string{"192.0.2.0/24", "2001:db8::2/128"}, "10.1.2.3", "10.1.2.1", false},
		{[]string{"192.0.2.128/25"}, "192.0.2.2", "192.0.2.1", false},
	} {
		cfg := Config{Administration: []uint16{443}}
		for _, n := range tt.networks {
			cfg.Networks = append(cfg.Networks, netip.MustParsePrefix(n))
		}
		l.box.Do(func() error { return Apply(cfg) })
		err := dialFrom(l.other, tt.from, net.JoinHostPort(tt.to, "443"))
		if tt.in && err != nil || !tt.in && !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%v, from %s: %v", tt.networks, tt.from, err)
		}
	}
}

// dialFrom returns what becomes of a connection from an address.
func dialFrom(s *netlab.Space, from, to string) (err error) {
	s.Do(func() error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: waitFor}
		var c net.Conn
		if c, err = d.Dial("tcp", to); err == nil {
			c.Close()
		}
		return nil
	})
	return err
}
