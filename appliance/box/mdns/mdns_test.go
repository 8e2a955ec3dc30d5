package mdns

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pillarbox/appliance/box/netlab"
)

// waitFor is far beyond what probing and announcing take.
const waitFor = 2 * time.Minute

// start runs a Responder in s until stop is called.
func start(t *testing.T, s *netlab.Space, hostname string) (stop func()) {
	r := New(Config{Hostname: func() string { return hostname }, Services: testZone().services, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	// All of its system calls but those on open sockets are of this goroutine,
	// which has the thread of the namespace to itself.
	go s.Do(func() error {
		done <- r.Run(ctx)
		return nil
	})
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return stop
}

// ear hears and speaks multicast DNS next to a box.
type ear struct {
	t    *testing.T
	by   *transport
	link int
}

func newEar(t *testing.T, s *netlab.Space) ear {
	e := ear{t: t}
	s.Do(func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if e.by, err = open4(); err != nil {
			return err
		}
		e.link = i.Index
		e.by.join(i.Index)
		return nil
	})
	t.Cleanup(e.by.close)
	return e
}

// hear returns the first message that is wanted.
func (e ear) hear(wanted func(m *dns.Msg) bool) *dns.Msg {
	e.t.Helper()
	if err := e.by.conn.SetReadDeadline(time.Now().Add(waitFor)); err != nil {
		e.t.Fatal(err)
	}
	buf := make([]byte, maxPacket)
	for {
		n, _, _, err := e.by.read(buf)
		if err != nil {
			e.t.Fatal(err)
		}
		var m dns.Msg
		if err := m.Unpack(buf[:n]); err != nil {
			e.t.Fatal(err)
		}
		if wanted(&m) {
			return &m
		}
	}
}

func (e ear) say(m *dns.Msg) {
	e.t.Helper()
	raw, err := m.Pack()
	if err != nil {
		e.t.Fatal(err)
	}
	e.by.send(raw, e.link, nil)
}

func has(m *dns.Msg, name string, kind uint16) bool {
	for _, rr := range m.Answer {
		if rr.Header().Name == name && rr.Header().Rrtype == kind {
			return true
		}
	}
	return false
}

func TestOnANetwork(t *testing.T) {
	box, other := netlab.New(t), netlab.New(t)
	box.Cable("eth0", other, "192.0.2.2/24")
	box.Do(func() error { return netlab.Address("eth0", "192.0.2.1/24") })
	e := newEar(t, other)
	stop := start(t, box, "mail.example.org")

	e.hear(func(m *dns.Msg) bool { return !m.Response && m.Question[0].Name == "mail.local." && len(m.Ns) > 0 })
	e.hear(func(m *dns.Msg) bool { return m.Response && has(m, "_imaps._tcp.local.", dns.TypePTR) })
	q := new(dns.Msg)
	q.SetQuestion("_submissions._tcp.local.", dns.TypePTR)
	e.say(q)
	m := e.hear(func(m *dns.Msg) bool { return m.Response && len(m.Answer) == 1 })
	// The link's IPv6 address is not there for the first seconds.
	if got := strings.TrimSuffix(text(m.Extra), ", mail.local. AAAA"); m.Answer[0].(*dns.PTR).Ptr != "mail._submissions._tcp.local." ||
		got != "mail._submissions._tcp.local. SRV, mail._submissions._tcp.local. TXT, mail.local. A" {
		t.Errorf("%v", m)
	}

	// Somebody else has the name: the box takes another.
	theirs := response()
	rr, err := dns.NewRR("mail.local. 120 IN A 192.0.2.77")
	if err != nil {
		t.Fatal(err)
	}
	theirs.Answer = []dns.RR{rr}
	e.say(theirs)
	e.hear(func(m *dns.Msg) bool { return m.Response && has(m, "mail-2.local.", dns.TypeA) })

	stop()
	e.hear(func(m *dns.Msg) bool {
		return m.Response && has(m, "mail-2.local.", dns.TypeA) && m.Answer[0].Header().Ttl == 0
	})
}

// Two boxes of one name on one network do not both keep it.
func TestTwoOfOneName(t *testing.T) {
	a, b := netlab.New(t), netlab.New(t)
	a.Cable("eth0", b, "192.0.2.2/24")
	a.Do(func() error { return netlab.Address("eth0", "192.0.2.1/24") })
	// The ears come first: the threads are the boxes' afterwards.
	besideA, besideB := newEar(t, b), newEar(t, a)
	stopA := start(t, a, "mail")
	defer stopA()
	besideA.hear(func(m *dns.Msg) bool { return m.Response && has(m, "mail.local.", dns.TypeA) })
	stopB := start(t, b, "mail")
	defer stopB()
	besideB.hear(func(m *dns.Msg) bool { return m.Response && has(m, "mail-2.local.", dns.TypeA) })
}
