package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

// Source is where the certificate comes from.
type Source string

// The sources.
const (
	Own      Source = "own"
	Public   Source = "acme"
	Imported Source = "imported"
)

// Choice is what an administrator decided.
type Choice struct {
	Source Source // Own where empty
	// Host is the full name of the box, which a public authority is asked for and
	// an imported certificate has to cover; empty until the box is set up.
	Host string
	// Email and Directory are for a public authority: where it may write to, ""
	// for nowhere, and the URL it is asked at.
	Email, Directory string
}

// Choose takes a certificate from the source of c from now on. A choice that
// differs from the one before is acted on at once.
func (m *Manager) Choose(c Choice) {
	if c.Source == "" {
		c.Source = Own
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c == m.choice {
		return
	}
	m.choice = c
	m.wakeUp()
}

// Retry has the public authority asked now, where it is to be asked at all.
func (m *Manager) Retry() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ordered.Next = time.Time{}
	m.wakeUp()
}

// wakeUp has Run look again; it does not block.
func (m *Manager) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// pick is the certificate for a client that asks for name, "" for none. mu is held.
func (m *Manager) pick(name string) *tls.Certificate {
	chosen, _ := m.chosen()
	if chosen == nil || name != "" && chosen.Leaf.VerifyHostname(name) != nil && m.server.cert.VerifyHostname(name) == nil {
		return m.shown
	}
	return chosen
}

// longTrouble is how long a renewal may fail before people are told. Authorities
// have bad days, and the certificate there is lasts a third of its life longer.
const longTrouble = 3 * day

// chosen is the certificate of the chosen source and what is wrong with it, as a
// sentence; nil where it has none that is valid or it is the own authority. mu is
// held.
func (m *Manager) chosen() (cert *tls.Certificate, problem string) {
	now, sure := m.now()
	valid := func(c *tls.Certificate) bool { return c != nil && (!sure || now.Before(c.Leaf.NotAfter)) }
	switch m.choice.Source {
	case Public:
		o := &m.ordered
		if valid(m.public) {
			cert = m.public
		}
		if o.Failure != "" && o.current(m.choice) && (cert == nil || now.Sub(o.Since) > longTrouble) {
			problem = o.Failure
		}
	case Imported:
		switch c := m.imported; {
		case c == nil:
			problem = "The imported certificate is missing: the box's own is shown."
		case !valid(c):
			problem = fmt.Sprintf("The imported certificate ended on %s: the box's own is shown.", c.Leaf.NotAfter.UTC().Format(time.DateOnly))
		case m.choice.Host != "" && c.Leaf.VerifyHostname(m.choice.Host) != nil:
			cert, problem = c, fmt.Sprintf("The imported certificate is not for %s, the name of this box.", m.choice.Host)
		default:
			cert = c
		}
	}
	return cert, problem
}

// Info is what people want to know of the certificate.
type Info struct {
	Choice Choice
	// Source is where the certificate that is shown comes from: not that of Choice
	// while that has none.
	Source              Source
	Names               []string // DNS names, then IP addresses
	NotBefore, NotAfter time.Time
	SHA256              string // fingerprint, hexadecimal with colons
	Issuer              string // who signed it
	// Private tells that no authority that programs know vouches for it.
	Private      bool
	Authority    string // the name of the own authority
	AuthorityPEM []byte
	// Problem is a sentence about what is wrong, "": nothing that matters yet.
	Problem string
	// Failure is why the last order failed, and NextTry when the next is; zero
	// where none failed.
	Failure string
	NextTry time.Time
}

// Info describes the certificate that clients see which ask for the box's name.
func (m *Manager) Info() Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	chosen, problem := m.chosen()
	i := Info{
		Choice: m.choice, Source: m.choice.Source, Problem: problem, Authority: m.authority.cert.Subject.CommonName,
		AuthorityPEM: pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: m.authority.cert.Raw}),
	}
	if o := m.ordered; m.choice.Source == Public && o.current(m.choice) && o.Failure != "" {
		i.Failure, i.NextTry = o.Failure, o.Next
	}
	if chosen == nil {
		chosen, i.Source = m.shown, Own
	}
	c := chosen.Leaf
	i.NotBefore, i.NotAfter, i.SHA256, i.Issuer = c.NotBefore, c.NotAfter, fingerprint(c), c.Issuer.CommonName
	i.Private = i.Source == Own || !m.vouched(chosen)
	i.Names = slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		i.Names = append(i.Names, ip.String())
	}
	return i
}

// vouched reports whether a client that knows the usual authorities takes c, all
// that it needs being in it.
func (m *Manager) vouched(c *tls.Certificate) bool {
	now, _ := m.now()
	if now.Before(c.Leaf.NotBefore) {
		now = c.Leaf.NotBefore // signed by a clock that is a little ahead
	}
	between := x509.NewCertPool()
	for _, der := range c.Certificate[1:] {
		if other, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(other)
		}
	}
	_, err := c.Leaf.Verify(x509.VerifyOptions{Roots: m.cfg.Roots, Intermediates: between, CurrentTime: now})
	return err == nil
}
