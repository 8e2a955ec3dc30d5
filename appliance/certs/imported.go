package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// leastRSA is the shortest RSA key, in bits, that clients take (RFC 9325 section 4.5).
const leastRSA = 2048

// FileError is a certificate or key that was refused. Text goes on from its name:
// "holds no certificate in PEM".
type FileError struct {
	Key  bool // it is the key, else the certificate
	Text string
}

func (e *FileError) Error() string {
	if e.Key {
		return "the key " + e.Text
	}
	return "the certificate " + e.Text
}

func badCertificate(format string, args ...any) error {
	return &FileError{false, fmt.Sprintf(format, args...)}
}

func badKey(format string, args ...any) error { return &FileError{true, fmt.Sprintf(format, args...)} }

// Import checks a certificate, with those between it and its authority, and its
// key, both in PEM, and keeps them for the source Imported. host is the name that
// it has to cover. key may be empty where the key is in the same file. An error
// that is about them is a *FileError; what was imported before then stays.
func (m *Manager) Import(certificate, key []byte, host string) error {
	if len(bytes.TrimSpace(key)) == 0 {
		key = certificate
	}
	c, err := parseChain(certificate, key)
	if err != nil {
		return err
	}
	now, sure := m.now()
	if err := checkServer(c.Leaf, host, now, sure); err != nil {
		return err
	}
	data, err := encodeChain(c)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writeFile(importedFile, data); err != nil {
		return err
	}
	m.imported = c
	m.cfg.Log.Info("a certificate was imported", "names", strings.Join(c.Leaf.DNSNames, " "), "until", c.Leaf.NotAfter)
	return nil
}

// HasImported reports whether there is an imported certificate to choose.
func (m *Manager) HasImported() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.imported != nil
}

// checkServer says why c will not do for a server called host.
func checkServer(c *x509.Certificate, host string, now time.Time, sure bool) error {
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < leastRSA {
		return badCertificate("has an RSA key of %d bits; mail programs take no less than %d", k.N.BitLen(), leastRSA)
	}
	usable := len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 // RFC 5280 section 4.2.1.12
	for _, u := range c.ExtKeyUsage {
		usable = usable || u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny
	}
	switch {
	case !usable:
		return badCertificate("is not for servers: its use is another one")
	case sure && !now.Before(c.NotAfter):
		return badCertificate("ended on %s", c.NotAfter.UTC().Format(time.DateOnly))
	case sure && now.Before(c.NotBefore):
		return badCertificate("is valid only from %s on", c.NotBefore.UTC().Format(time.DateOnly))
	case host != "" && c.VerifyHostname(host) != nil:
		names := strings.Join(c.DNSNames, ", ")
		if names == "" {
			names = "no name at all"
		}
		return badCertificate("is for %s, and not for %s, the name of this box", names, host)
	}
	return nil
}

// parseStored reads what encodeChain wrote.
func parseStored(data []byte) (*tls.Certificate, error) { return parseChain(data, data) }

// parseChain reads a certificate with those that vouch for it, in any order, and
// its key. What it gives begins with the certificate of the key.
func parseChain(certificate, key []byte) (*tls.Certificate, error) {
	all, err := parseCertificates(certificate)
	if err != nil {
		return nil, err
	}
	signer, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(c *x509.Certificate) bool {
		pub, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		return ok && pub.Equal(signer.Public())
	})
	if at < 0 {
		return nil, badKey("is not that of the certificate")
	}
	out := &tls.Certificate{PrivateKey: signer, Leaf: all[at]}
	chain, left := inLine(out.Leaf, slices.Delete(all, at, at+1))
	if len(left) > 0 {
		return nil, badCertificate("comes with another, %q, that did not sign it", left[0].Subject.CommonName)
	}
	out.Certificate = chain
	return out, nil
}

// inLine puts others behind leaf, each having signed the one before it (RFC 8446
// section 4.4.2). What is left has not.
func inLine(leaf *x509.Certificate, others []*x509.Certificate) (chain [][]byte, left []*x509.Certificate) {
	chain = append(chain, leaf.Raw)
	for last := leaf; len(others) > 0; {
		at := slices.IndexFunc(others, func(c *x509.Certificate) bool { return last.CheckSignatureFrom(c) == nil })
		if at < 0 {
			break
		}
		last = others[at]
		chain = append(chain, last.Raw)
		others = slices.Delete(others, at, at+1)
	}
	return chain, others
}

// parseCertificates reads the certificates among what is in PEM, each once.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != blockCertificate {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, badCertificate("is damaged: %v", err)
		}
		if !slices.ContainsFunc(all, c.Equal) {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil, badCertificate("is not in PEM, the text that begins with -----BEGIN CERTIFICATE-----")
	}
	return all, nil
}

// parseKey reads the first private key among what is in PEM.
func parseKey(data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["DEK-Info"] != "":
			return nil, badKey("is locked with a password: take it off first, as `openssl pkey -in key.pem -out open.pem` does")
		case block.Type == blockKey:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, badKey("is damaged: %v", err)
		}
		switch key := key.(type) {
		case *ecdsa.PrivateKey:
			return key, nil
		case *rsa.PrivateKey:
			return key, nil
		case ed25519.PrivateKey:
			return key, nil
		}
		return nil, badKey("is of a kind that TLS does not use (%T)", key)
	}
	return nil, badKey("is not in PEM, the text that begins with -----BEGIN PRIVATE KEY-----")
}

// encodeChain is the certificates of c and its key in PEM.
func encodeChain(c *tls.Certificate) ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	var b bytes.Buffer
	for _, der := range c.Certificate {
		err = errors.Join(err, pem.Encode(&b, &pem.Block{Type: blockCertificate, Bytes: der}))
	}
	err = errors.Join(err, pem.Encode(&b, &pem.Block{Type: blockKey, Bytes: key}))
	return b.Bytes(), err
}
