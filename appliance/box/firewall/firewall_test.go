package firewall

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/box/netlab"
)

// waitFor is far beyond what a packet takes between two namespaces.
const waitFor = 20 * time.Second

// lab is a box with the firewall, and somebody else on its network.
type lab struct{ box, other *netlab.Space }

func newLab(t *testing.T) lab {
	l := lab{netlab.New(t), netlab.New(t)}
	l.box.Cable("eth0", l.other, "192.0.2.2/24", "2001:db8::2/64")
	l.box.Do(func() error { return netlab.Address("eth0", "192.0.2.1/24", "2001:db8::1/64") })
	return l
}

func listen(t *testing.T, s *netlab.Space, address string) {
	s.Do(func() error {
		l, err := net.Listen("tcp", address)
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
}

// dial returns what becomes of a connection.
func dial(s *netlab.Space, address string) (err error) {
	s.Do(func() error {
		var c net.Conn
		c, err = net.DialTimeout("tcp", address, waitFor)
		if err == nil {
			c.Close()
		}
		return nil
	})
	return err
}

func TestLetsInServicesOnly(t *testing.T) {
	l := newLab(t)
	for _, port := range []string{"25", "993", "8080"} {
		listen(t, l.box, ":"+port)
	}
	listen(t, l.other, ":25")
	// Twice: rules are replaced, not added.
	for range 2 {
		l.box.Do(func() error { return Apply(Config{Servers: []uint16{25}, People: []uint16{993}}) })
		for _, to := range []string{"192.0.2.1:25", "192.0.2.1:993", "[2001:db8::1]:25", "[2001:db8::1]:993"} {
			if err := dial(l.other, to); err != nil {
				t.Errorf("a service: %v", err)
			}
		}
		for _, to := range []string{"192.0.2.1:8080", "[2001:db8::1]:8080", "192.0.2.1:113"} {
			if err := dial(l.other, to); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("%s, not a service: %v", to, err)
			}
		}
		// The box itself goes anywhere, and to itself.
		for _, to := range []string{"192.0.2.2:25", "[2001:db8::2]:25", "127.0.0.1:8080"} {
			if err := dial(l.box, to); err != nil {
				t.Errorf("from the box: %v", err)
			}
		}
	}
	l.box.Do(Remove)
	l.box.Do(Remove)
	if err := dial(l.other, "192.0.2.1:8080"); err != nil {
		t.Errorf("without a firewall: %v", err)
	}
}

func TestLetsInUDPThatIsNeeded(t *testing.T) {
	l := newLab(t)
	l.box.Do(func() error { return Apply(Config{}) })
	for _, port := range []int{9999, 68, 546, 5353} {
		var in net.PacketConn
		l.box.Do(func() (err error) {
			in, err = net.ListenUDP("udp", &net.UDPAddr{Port: port})
			return err
		})
		// A packet that is kept out never comes: one that is let in afterwards
		// tells, since they stay in order.
		l.other.Do(func() error {
			c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port})
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("first"))
			return err
		})
		// It has been judged when the answer to what comes after it is there.
		if err := dial(l.other, "192.0.2.1:113"); !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatal(err)
		}
		l.box.Do(Remove)
		l.other.Do(func() error {
			c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port})
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("second"))
			return err
		})
		buf := make([]byte, 64)
		if err := in.SetReadDeadline(time.Now().Add(waitFor)); err != nil {
			t.Fatal(err)
		}
		n, _, err := in.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		in.Close()
		l.box.Do(func() error { return Apply(Config{}) })
		want := "first"
		if port == 9999 {
			want = "second"
		}
		if got := string(buf[:n]); got != want {
			t.Errorf("port %d: %s packet came in, want %s", port, got, want)
		}
	}
}
