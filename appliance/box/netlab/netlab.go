// Package netlab gives tests networks of their own: two network namespaces with a
// cable between them. It needs root.
package netlab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Space is a network namespace. Functions run in it one after the other.
type Space struct {
	work chan func()
	file *os.File
	t    testing.TB
}

// New makes a namespace with its loopback on, for the time of the test. Without
// root, or where root may not make one, the test is skipped.
func New(t testing.TB) *Space {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	s := &Space{work: make(chan func()), t: t}
	ready := make(chan error)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, and the
		// namespace with it.
		runtime.LockOSThread()
		ready <- s.enter()
		for f := range s.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(s.work)
		if errors.Is(err, unix.EPERM) {
			t.Skip("network namespaces are not allowed here: ", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(s.work)
		s.file.Close()
	})
	return s
}

func (s *Space) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	var err error
	if s.file, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// Do runs f in the namespace and fails the test with its error. Sockets that f
// makes itself belong to the namespace for good; goroutines that it starts do not.
func (s *Space) Do(f func() error) {
	s.t.Helper()
	done := make(chan error)
	s.work <- func() { done <- f() }
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// Cable connects s, where its end is called name, to peer, where it is eth0.
// Addresses, such as "192.0.2.1/24", are set at the end in peer.
func (s *Space) Cable(name string, peer *Space, addresses ...string) {
	s.t.Helper()
	s.CableTo(name, peer, "eth0", addresses...)
}

// CableTo is Cable with a name for the other end as well. Go keeps the indexes of
// interfaces by their names, of all namespaces in one table (the zones of IPv6
// addresses): a test that speaks to link-local addresses needs names of its own.
func (s *Space) CableTo(name string, peer *Space, peerName string, addresses ...string) {
	s.t.Helper()
	s.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peerName, PeerNamespace: netlink.NsFd(int(peer.file.Fd()))})
	})
	peer.Do(func() error { return Address(peerName, addresses...) })
}

// Address sets addresses of an interface of the present namespace and turns it on.
func Address(name string, addresses ...string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		// No search for another that has it: nobody does.
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(l, addr); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return netlink.LinkSetUp(l)
}
