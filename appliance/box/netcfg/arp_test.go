package netcfg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/box/netlab"
)

// fakeNeighbours have addresses.
type fakeNeighbours struct {
	mu      sync.Mutex
	has     map[netip.Addr]string
	watched map[netip.Addr]func(*TakenError)
	probing func() // where set, called by the next probe
}

func (f *fakeNeighbours) Probe(_ context.Context, _ string, addr netip.Addr) error {
	f.mu.Lock()
	probing := f.probing
	f.probing = nil
	f.mu.Unlock()
	if probing != nil {
		probing()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if owner := f.has[addr]; owner != "" {
		return &TakenError{addr, owner}
	}
	return nil
}

func (f *fakeNeighbours) Watch(ctx context.Context, _ string, addr netip.Addr, taken func(*TakenError)) error {
	f.mu.Lock()
	if f.watched == nil {
		f.watched = map[netip.Addr]func(*TakenError){}
	}
	f.watched[addr] = taken
	f.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// take gives addr to a neighbour, none where owner is empty.
func (f *fakeNeighbours) take(addr, owner string) {
	f.mu.Lock()
	a := netip.MustParseAddr(addr)
	f.has[a] = owner
	taken := f.watched[a]
	f.mu.Unlock()
	if taken != nil && owner != "" {
		taken(&TakenError{a, owner})
	}
}

func TestFixedAddressIsTaken(t *testing.T) {
	run(t, boxapi.Network{Mode: boxapi.ModeStatic, Address: "198.51.100.7/24"}, nil, func(b *bench) {
		b.around.take("198.51.100.7", "02:00:00:00:00:99")
		b.k.set(link(1, true))
		time.Sleep(5 * time.Second)
		expect(t, "while it is taken", b.k.addresses(), "")
		_, problems, _ := b.Status()
		expect(t, "told", strings.Join(problems, "; "), "network on eth1: another device on the network, 02:00:00:00:00:99, has the address 198.51.100.7 as well: give one of the two another address")
		b.around.take("198.51.100.7", "")
		time.Sleep(lookAgain + time.Second)
		expect(t, "when it is free", b.k.addresses(), "1=198.51.100.7/24")

		b.around.take("198.51.100.7", "02:00:00:00:00:98")
		synctest.Wait()
		_, problems, _ = b.Status()
		expect(t, "told later", strings.Join(problems, "; "), "another device on the network, 02:00:00:00:00:98, has the address 198.51.100.7 as well: give one of the two another address")
		expect(t, "it is kept", b.k.addresses(), "1=198.51.100.7/24")
		before := b.changes.Load()
		for i := range 1000 { // one who means harm
			b.around.take("198.51.100.7", fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256))
		}
		synctest.Wait()
		if n := b.changes.Load() - before; n > 1 {
			t.Errorf("told %d times", n)
		}
		last := fmt.Sprintf("02:00:00:00:%02x:%02x", 999/256, 999%256)
		for range 3 { // one of them stays
			time.Sleep(defendInterval)
			b.around.take("198.51.100.7", last)
		}
		synctest.Wait()
		if n := b.changes.Load() - before; n != 1 {
			t.Errorf("told %d times, with the one that stays", n)
		}
		time.Sleep(takenShown)
		_, problems, _ = b.Status()
		expect(t, "no sign of it any more", strings.Join(problems, "; "), "")
	})
}

// decliner grants one address after the other.
type decliner struct {
	granter
	grants, declined *int
}

func (d decliner) Acquire(ctx context.Context, hint netip.Addr) (*Lease, error) {
	l, err := d.granter.Acquire(ctx, hint)
	if err == nil {
		*d.grants++
		a := l.Address.Addr().As4()
		a[3] = byte(4 + *d.grants)
		l.Address = netip.PrefixFrom(netip.AddrFrom4(a), 24)
	}
	return l, err
}

func (d decliner) Decline(context.Context, *Lease) error {
	*d.declined++
	return nil
}

func TestGrantedAddressIsTaken(t *testing.T) {
	run(t, boxapi.Network{}, nil, func(b *bench) {
		grants, declined := 0, 0
		b.Manager.DHCP = func(l Link) Exchange { return decliner{granter{link: l}, &grants, &declined} }
		b.around.take("192.0.1.5", "02:00:00:00:00:99")
		b.k.set(link(1, true))
		time.Sleep(5 * time.Second)
		expect(t, "the first", b.k.addresses(), "")
		time.Sleep(declinePause)
		expect(t, "the second", b.k.addresses(), "1=192.0.1.6/24")
		if grants != 2 || declined != 1 {
			t.Errorf("%d grants, %d declined", grants, declined)
		}
	})
}

// Two stations on one cable, in namespaces of their own.
func TestARPOnTheWire(t *testing.T) {
	box, other := netlab.New(t), netlab.New(t)
	box.Cable("eth0", other, "192.0.2.1/24")
	var mine, theirs *arpConn
	open := func(s *netlab.Space, c **arpConn) {
		s.Do(func() (err error) {
			l, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			if err := netlink.LinkSetUp(l); err != nil {
				return err
			}
			*c, err = openARP("eth0")
			return err
		})
		t.Cleanup(func() { (*c).Close() })
	}
	open(box, &mine)
	open(other, &theirs)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := mine.probe(ctx, netip.MustParseAddr("192.0.2.9")); err != nil {
		t.Errorf("a free address: %v", err)
	}
	var taken *TakenError
	if err := mine.probe(ctx, netip.MustParseAddr("192.0.2.1")); !errors.As(err, &taken) || taken.Owner != theirs.own.String() {
		t.Errorf("a taken address: %v, want one of %v", err, theirs.own)
	}
	conflicts, ended := make(chan *TakenError, 8), make(chan error)
	ours := netip.MustParseAddr("192.0.2.7")
	go func() { ended <- mine.watch(ctx, ours, func(e *TakenError) { conflicts <- e }) }()
	// It announces itself, then the other one does.
	for {
		m, err := theirs.read(ctx, time.Now().Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if m.sender == ours && m.target == ours && bytes.Equal(m.from, mine.own) {
			break
		}
	}
	if err := theirs.ask(ours, ours); err != nil {
		t.Fatal(err)
	}
	if c := <-conflicts; c.Owner != theirs.own.String() || c.Address != ours {
		t.Errorf("conflict: %v", c)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("watch: %v", err)
	}
}

func FuzzParseARP(f *testing.F) {
	f.Add([]byte("\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x00\x00\x00\x00\x00\xc0\x00\x02\x02"))
	f.Add([]byte("\x00\x01\x86\xdd\x06\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := parseARP(b); ok && (len(m.from) != 6 || !m.sender.Is4() || !m.target.Is4()) {
			t.Errorf("%+v", m)
		}
	})
}
