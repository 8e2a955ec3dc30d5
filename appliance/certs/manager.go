package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"pillarbox/appliance/config/atomicfile"
)

// checkEvery is how often dates are looked at. It is short beside the days in
// which anything changes, and long beside what the look costs; and a clock
// that is set right is noticed within it.
const checkEvery = time.Hour

// maxAddresses bounds the IP addresses in a certificate. A box that is carried
// from network to network gathers them; the oldest go.
const maxAddresses = 16

// Config sets up a Manager. Dir is required.
type Config struct {
	// Dir is the folder of the certificates, made where it is missing.
	Dir string
	// Floor is a time that no right clock is before, such as that of the
	// program's own making; the zero value knows none.
	Floor time.Time
	// Addresses are the IP addresses of the box; those of the network
	// interfaces where nil.
	Addresses func() []netip.Addr
	// Listen opens port 80 for the challenges of a public authority. Where nil
	// there is no such port, and no such certificate.
	Listen func() (net.Listener, error)
	// Roots are the authorities that vouch for the servers of public ones, and
	// that clients are taken to know; the system's where nil.
	Roots *x509.CertPool
	// Event, where set, is told what happened to the certificate of a public
	// authority: a sentence, and whether it is bad news.
	Event func(bad bool, text string)
	Now   func() time.Time
	Log   *slog.Logger
}

// Manager keeps the certificate. It is safe for concurrent use.
type Manager struct {
	cfg Config

	mu        sync.Mutex
	names     []string
	authority *pair
	server    *pair
	shown     *tls.Certificate // server as TLS wants it
	choice    Choice
	public    *tls.Certificate // of the public authority, nil: none
	imported  *tls.Certificate // nil: none
	ordered   ordered
	unkept    bool          // public is not on disk
	wake      chan struct{} // there may be something to order
}

// Open reads the certificates in the folder and makes what is missing or will
// not do, for localhost and names.
func Open(cfg Config, names []string) (*Manager, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Addresses == nil {
		cfg.Addresses = interfaceAddresses
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	if cfg.Event == nil {
		cfg.Event = func(bool, string) {}
	}
	m := &Manager{cfg: cfg, choice: Choice{Source: Own}, wake: make(chan struct{}, 1)}
	var err error
	if m.authority, err = read(m, authorityFile, parsePair); err != nil {
		return nil, err
	}
	if m.server, err = read(m, serverFile, parsePair); err != nil {
		return nil, err
	}
	if m.public, err = read(m, publicFile, parseStored); err != nil {
		return nil, err
	}
	if m.imported, err = read(m, importedFile, parseStored); err != nil {
		return nil, err
	}
	o, err := read(m, orderedFile, parseOrdered)
	if err != nil {
		return nil, err
	}
	if o != nil {
		m.ordered = *o
	}
	return m, m.SetNames(names)
}

const (
	authorityFile = "authority.pem"
	serverFile    = "server.pem"
	publicFile    = "public.pem"
	accountFile   = "account.pem"
	orderedFile   = "public.json"
	importedFile  = "imported.pem"
)

// read reads a file; nil where there is none or it is of no use.
func read[T any](m *Manager, name string, parse func([]byte) (*T, error)) (*T, error) {
	path := filepath.Join(m.cfg.Dir, name)
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("certs: %w", err)
	}
	p, err := parse(data)
	if err != nil {
		m.cfg.Log.Error("certificate file is damaged, going on without it", "path", path, "kept", path+".bad", "error", err)
		if err := os.Rename(path, path+".bad"); err != nil {
			return nil, fmt.Errorf("certs: %w", err)
		}
		return nil, nil
	}
	return p, nil
}

func (m *Manager) write(name string, p *pair) error {
	data, err := p.encode()
	if err != nil {
		return err
	}
	return m.writeFile(name, data)
}

func (m *Manager) writeFile(name string, data []byte) error {
	return atomicfile.Write(filepath.Join(m.cfg.Dir, name), data, 0o600)
}

// SetNames sets the names that clients use for the box. The certificate is
// made anew where it lacks one of them.
func (m *Manager) SetNames(names []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = slices.Compact(slices.Sorted(slices.Values(append([]string{"localhost"}, names...))))
	return m.ensure()
}

// Run looks after the dates, and orders from the public authority, until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	for {
		next := checkEvery
		if wait, ordering := m.nextOrder(); ordering {
			if wait <= 0 {
				m.order(ctx)
				wait, _ = m.nextOrder()
			}
			next = min(next, max(wait, time.Second))
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-m.wake:
			timer.Stop()
			continue
		case <-timer.C:
		}
		if err := m.Check(); err != nil {
			m.cfg.Log.Error("cannot make the certificate anew", "error", err)
		}
	}
}

// Check makes anew what will not do now.
func (m *Manager) Check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unkept {
		if err := m.keep(); err != nil {
			return errors.Join(err, m.ensure())
		}
	}
	return m.ensure()
}

// ensure makes authority and certificate where they are missing or will not
// do. mu is held.
func (m *Manager) ensure() error {
	now, sure := m.now()
	if m.authority == nil || sure && !m.authority.goodAuthority(now) {
		a, err := newAuthority(now, m.cfg.Floor)
		if err != nil {
			return err
		}
		if err := m.write(authorityFile, a); err != nil {
			return err
		}
		m.cfg.Log.Info("made the box's own certificate authority", "name", a.cert.Subject.CommonName, "until", a.cert.NotAfter)
		m.authority = a
	}
	addresses := m.addresses()
	if m.server == nil || !m.server.goodFor(m.authority, m.names, m.cfg.Addresses()) || sure && !m.server.goodServer(now) {
		s, err := newServer(now, m.cfg.Floor, m.authority, m.server, m.names, addresses)
		if err != nil {
			return err
		}
		if err := m.write(serverFile, s); err != nil {
			return err
		}
		m.cfg.Log.Info("made a certificate for the servers", "names", strings.Join(m.names, " "), "until", s.cert.NotAfter)
		m.server, m.shown = s, nil
	}
	if m.shown == nil {
		m.shown = &tls.Certificate{
			Certificate: [][]byte{m.server.cert.Raw, m.authority.cert.Raw}, PrivateKey: m.server.key, Leaf: m.server.cert,
		}
	}
	return nil
}

// now is the time to date by. It is not sure where the clock is plainly wrong:
// then nothing is judged by it.
func (m *Manager) now() (now time.Time, sure bool) {
	if now = m.cfg.Now(); now.Before(m.cfg.Floor) {
		return m.cfg.Floor, false
	}
	return now, true
}

// addresses are those the box has now, then those of the certificate so far.
func (m *Manager) addresses() []netip.Addr {
	list := m.cfg.Addresses()
	if m.server != nil {
		for _, ip := range m.server.cert.IPAddresses {
			if a, ok := netip.AddrFromSlice(ip); ok && !slices.Contains(list, a.Unmap()) {
				list = append(list, a.Unmap())
			}
		}
	}
	return list[:min(len(list), maxAddresses)]
}

// interfaceAddresses are the addresses of the network interfaces, loopback
// first, without those that only mean something on one wire.
func interfaceAddresses() []netip.Addr {
	list := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return list
	}
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && !ip.IsLinkLocalUnicast() && !slices.Contains(list, ip.Unmap()) {
			list = append(list, ip.Unmap())
		}
	}
	return list[:min(len(list), maxAddresses)]
}

// TLSConfig is the configuration for servers. It always shows the newest
// certificate. TLS 1.2 is the least, with the cipher suites that Go's library
// holds to be secure; what older clients offer beside those is not taken.
func (m *Manager) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.pick(hello.ServerName), nil
		},
	}
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}
