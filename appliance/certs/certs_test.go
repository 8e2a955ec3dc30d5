package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

type box struct {
	cfg       Config
	now       time.Time
	addresses []netip.Addr
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newBox(t *testing.T) *box {
	b := &box{now: start, addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	b.cfg = Config{
		Dir: filepath.Join(t.TempDir(), "certs"), Floor: start.Add(-100 * day),
		Now: func() time.Time { return b.now }, Addresses: func() []netip.Addr { return slices.Clone(b.addresses) },
	}
	return b
}

func (b *box) open(t *testing.T, names ...string) *Manager {
	t.Helper()
	m, err := Open(b.cfg, names)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// handshake connects to a server of m's as a client that trusts its authority
// and has the clock at now, and gives the certificate it saw.
func handshake(t *testing.T, m *Manager, name string, now time.Time, change func(*tls.Config)) (*x509.Certificate, error) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(m.Info().AuthorityPEM) {
		t.Fatal("no authority")
	}
	cfg := &tls.Config{RootCAs: roots, ServerName: name, Time: func() time.Time { return now }}
	if change != nil {
		change(cfg)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // whose buffers let both sides write at once
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if a, err := l.Accept(); err == nil {
			tls.Server(a, m.TLSConfig()).Handshake()
			a.Close()
		}
	}()
	b, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(b, cfg)
	err = c.Handshake()
	b.Close()
	<-done
	l.Close()
	if err != nil {
		return nil, err
	}
	return c.ConnectionState().PeerCertificates[0], nil
}

func TestFirstStart(t *testing.T) {
	b := newBox(t)
	m := b.open(t, Names("mail.example.org", []string{"example.org"})...)
	for _, name := range []string{"mail.example.org", "imap.example.org", "autoconfig.example.org", "localhost", "127.0.0.1"} {
		for _, skew := range []time.Duration{-day, 0, 360 * day} {
			if _, err := handshake(t, m, name, b.now.Add(skew), nil); err != nil {
				t.Errorf("%s after %v: %v", name, skew, err)
			}
		}
	}
	if _, err := handshake(t, m, "example.com", b.now, nil); err == nil {
		t.Error("good for any name")
	}
	if _, err := handshake(t, m, "localhost", b.now, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 }); err == nil {
		t.Error("TLS 1.1 was taken")
	}
	for _, name := range []string{authorityFile, serverFile} {
		fi, err := os.Stat(filepath.Join(b.cfg.Dir, name))
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
	again := b.open(t, "mail.example.org")
	if again.Info().SHA256 != m.Info().SHA256 {
		t.Error("a restart made another certificate")
	}
	if i := m.Info(); i.NotAfter.Sub(b.now) > 398*day || len(i.SHA256) != 95 || !slices.Contains(i.Names, "127.0.0.1") || i.Authority == "" {
		t.Errorf("info: %+v", i)
	}
}

func TestRenewal(t *testing.T) {
	b := newBox(t)
	m := b.open(t, "mail.example.org")
	first, key := m.Info(), m.server.key
	step := func(what string, renewed bool, change func()) {
		t.Helper()
		before := m.Info().SHA256
		change()
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		if got := m.Info().SHA256 != before; got != renewed {
			t.Errorf("%s: made anew %v, want %v", what, got, renewed)
		}
		if _, err := handshake(t, m, "mail.example.org", b.now, nil); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	step("nothing happens", false, func() { b.now = b.now.Add(300 * day) })
	step("near its end", true, func() { b.now = start.Add(serverFor - renewBefore) })
	step("a new name", true, func() {
		if err := m.SetNames([]string{"mail.example.org", "imap.example.net"}); err != nil {
			t.Fatal(err)
		}
		m.server.cert.DNSNames = nil // what Check has to notice by itself
	})
	step("one name less", false, func() {
		if err := m.SetNames([]string{"mail.example.org"}); err != nil {
			t.Fatal(err)
		}
	})
	step("a new address", true, func() { b.addresses = append(b.addresses, netip.MustParseAddr("192.0.2.7")) })
	step("an address gone", false, func() { b.addresses = b.addresses[:1] })
	if !slices.Contains(m.Info().Names, "192.0.2.7") {
		t.Error("the old address is forgotten")
	}
	if !m.server.key.Equal(key) || m.Info().Authority != first.Authority {
		t.Error("key or authority changed")
	}
	step("the authority's end", true, func() { b.now = start.Add(authorityFor - serverFor) })
	if m.Info().Authority == first.Authority {
		t.Error("the authority was not replaced in time")
	}
}

// TestClock has a clock that is wrong when the box first starts and right later.
func TestClock(t *testing.T) {
	for name, wrong := range map[string]time.Time{
		"dead battery": time.Unix(0, 0), "years ahead": start.AddDate(15, 0, 0), "a month behind": start.Add(-30 * day),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.now = wrong
			m := b.open(t, "mail.example.org")
			b.now = start
			if err := m.Check(); err != nil {
				t.Fatal(err)
			}
			c, err := handshake(t, m, "mail.example.org", start, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.NotAfter.Sub(start) > serverFor || c.NotAfter.Sub(start) < renewBefore {
				t.Errorf("valid until %v", c.NotAfter)
			}
			// A clock that fails later changes nothing.
			b.now = time.Unix(0, 0)
			if err := m.Check(); err != nil {
				t.Fatal(err)
			}
			if m.Info().SHA256 != fingerprint(c) {
				t.Error("made anew because the clock failed")
			}
		})
	}
}

func TestDamagedFiles(t *testing.T) {
	b := newBox(t)
	b.open(t, "mail.example.org")
	server, err := os.ReadFile(filepath.Join(b.cfg.Dir, serverFile))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(filepath.Join(b.cfg.Dir, authorityFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty": nil, "half": server[:len(server)/2], "not PEM": []byte("hello"),
		"another key": append(slices.Clone(server[:len(server)-250]), authority[len(authority)-250:]...),
	} {
		if err := os.WriteFile(filepath.Join(b.cfg.Dir, serverFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		m := b.open(t, "mail.example.org")
		if _, err := handshake(t, m, "mail.example.org", b.now, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(b.cfg.Dir, serverFile+".bad")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Another authority: its server certificate does not fit any more.
	if err := os.Remove(filepath.Join(b.cfg.Dir, authorityFile)); err != nil {
		t.Fatal(err)
	}
	m := b.open(t, "mail.example.org")
	if _, err := handshake(t, m, "mail.example.org", b.now, nil); err != nil {
		t.Error(err)
	}
}

func TestInterfaceAddresses(t *testing.T) {
	if list := interfaceAddresses(); !slices.Contains(list, netip.IPv6Loopback()) {
		t.Errorf("got %v", list)
	}
}
