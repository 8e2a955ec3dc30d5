package guard

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestLogins(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := NewLogins(func() time.Time { return now })
	attacker, owner := netip.MustParseAddr("192.0.2.66"), netip.MustParseAddr("192.0.2.1")
	want := func(remote netip.Addr, login string, wait time.Duration) {
		t.Helper()
		if got, ok := l.Allowed(remote, login); got != wait || ok != (wait == 0) {
			t.Errorf("Allowed(%v, %s) = %v, %v; want to wait %v", remote, login, got, ok, wait)
		}
	}
	l.Succeeded(owner, "ann@example.org")
	for range freeFailures {
		want(attacker, "ann@example.org", 0)
		l.Failed(attacker, "Ann@example.org")
	}
	want(attacker, "ann@example.org", 0)
	l.Failed(attacker, "ann@example.org")
	want(attacker, "ann@example.org", firstWait)
	want(attacker, "other@example.org", firstWait)
	want(netip.MustParseAddr("192.0.2.67"), "ann@example.org", firstWait)
	want(owner, "ann@example.org", 0) // trusted
	want(owner, "other@example.org", 0)
	now = now.Add(firstWait)
	want(attacker, "ann@example.org", 0)
	for range 40 {
		l.Failed(attacker, "ann@example.org")
	}
	want(attacker, "ann@example.org", maxWaitAddress)
	want(netip.MustParseAddr("192.0.2.67"), "ann@example.org", maxWaitAccount)
	want(netip.Addr{}, "ann@example.org", maxWaitAccount)
	want(owner, "ann@example.org", 0)

	// The attacker's own account must not wash the address clean.
	l.Succeeded(attacker, "attacker@example.org")
	want(attacker, "bob@example.org", maxWaitAddress)
	// A login of the owner's clears the account.
	l.Succeeded(owner, "ann@example.org")
	want(netip.MustParseAddr("192.0.2.67"), "ann@example.org", 0)

	now = now.Add(forgetAfter)
	want(attacker, "ann@example.org", 0)
	l.Failed(attacker, "ann@example.org")
	want(attacker, "ann@example.org", 0)
}

func TestLoginsIPv6(t *testing.T) {
	now := time.Now()
	l := NewLogins(func() time.Time { return now })
	for i := range 20 {
		l.Failed(netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i)), fmt.Sprintf("u%d", i))
	}
	if _, ok := l.Allowed(netip.MustParseAddr("2001:db8::ffff"), "new"); ok {
		t.Error("a /64 network gets around the limit by changing addresses")
	}
}

func TestLoginsAreBounded(t *testing.T) {
	l := NewLogins(nil)
	for i := range 3 * maxEntries {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		l.Failed(a, strings.Repeat("x", 200)+fmt.Sprint(i))
		l.Failed(a, fmt.Sprint(i))
		l.Succeeded(a, fmt.Sprint(i, "ok"))
	}
	if n := len(l.addresses); n > maxEntries {
		t.Errorf("%d addresses", n)
	}
	if n := len(l.accounts); n > maxEntries {
		t.Errorf("%d accounts", n)
	}
	if n := len(l.trusted); n > maxEntries {
		t.Errorf("%d trusted pairs", n)
	}
}
