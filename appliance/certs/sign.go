package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	day = 24 * time.Hour
	// authorityFor is the authority's life. People import it by hand, once.
	authorityFor = 3650 * day
	// serverFor is a certificate's life: clients of one large maker refuse more
	// than 398 days.
	serverFor = 397 * day
	// renewBefore its end a certificate is made anew.
	renewBefore = 30 * day
	// early is how long before its signing a certificate is valid, for clients
	// whose clock is behind.
	early = 2 * day
)

// PEM block types.
const (
	blockCertificate = "CERTIFICATE"
	blockKey         = "PRIVATE KEY"
)

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func parsePair(data []byte) (*pair, error) {
	p := new(pair)
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case blockCertificate:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			p.cert = c
		case blockKey:
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			var ok bool
			if p.key, ok = k.(*ecdsa.PrivateKey); !ok {
				return nil, fmt.Errorf("key of type %T", k)
			}
		}
	}
	if p.cert == nil || p.key == nil {
		return nil, errors.New("certificate or key is missing")
	}
	if pub, ok := p.cert.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(p.key.Public()) {
		return nil, errors.New("the key is not that of the certificate")
	}
	return p, nil
}

func (p *pair) encode() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	var b bytes.Buffer
	for _, block := range []*pem.Block{{Type: blockCertificate, Bytes: p.cert.Raw}, {Type: blockKey, Bytes: key}} {
		if err := pem.Encode(&b, block); err != nil {
			return nil, fmt.Errorf("certs: %w", err)
		}
	}
	return b.Bytes(), nil
}

// goodAuthority reports whether p can sign a certificate for its full life.
func (p *pair) goodAuthority(now time.Time) bool {
	return !now.Before(p.cert.NotBefore) && now.Add(serverFor).Before(p.cert.NotAfter) && !p.tooFar(now, authorityFor)
}

// goodServer reports whether the dates of a server's certificate are right and
// not near their end.
func (p *pair) goodServer(now time.Time) bool {
	return !now.Before(p.cert.NotBefore) && now.Add(renewBefore).Before(p.cert.NotAfter) && !p.tooFar(now, serverFor)
}

// goodFor reports whether p is a certificate of authority's for all names and
// addresses.
func (p *pair) goodFor(authority *pair, names []string, addresses []netip.Addr) bool {
	for _, n := range names {
		if !slices.Contains(p.cert.DNSNames, n) {
			return false
		}
	}
	for _, a := range addresses {
		if p.cert.VerifyHostname(a.String()) != nil {
			return false
		}
	}
	return p.cert.CheckSignatureFrom(authority.cert) == nil
}

// tooFar reports an end that lies further ahead than it can: the clock was
// wrong when p was signed.
func (p *pair) tooFar(now time.Time, life time.Duration) bool {
	return p.cert.NotAfter.After(now.Add(life + early))
}

// newAuthority makes the box's own authority. Its name has a part that tells
// one box from another, and later authorities of one box apart.
func newAuthority(now, floor time.Time) (*pair, error) {
	key, serial, err := newKey()
	if err != nil {
		return nil, err
	}
	return sign(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: fmt.Sprintf("Pillarbox %08x", serial.Uint64()&0xffffffff), Organization: []string{"Pillarbox"}},
		NotBefore:             begin(now, floor),
		NotAfter:              now.Add(authorityFor),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // signs servers alone
	}, key, nil)
}

// newServer makes a certificate for the servers, with old's key where old is not nil.
func newServer(now, floor time.Time, authority, old *pair, names []string, addresses []netip.Addr) (*pair, error) {
	key, serial, err := newKey()
	if err != nil {
		return nil, err
	}
	if old != nil {
		key = old.key
	}
	var ips []net.IP
	for _, a := range addresses {
		ips = append(ips, a.AsSlice())
	}
	notBefore := begin(now, floor)
	if notBefore.Before(authority.cert.NotBefore) {
		notBefore = authority.cert.NotBefore
	}
	return sign(&x509.Certificate{
		SerialNumber: serial,
		// Clients go by the names below; a subject of its own only tells people
		// what they look at.
		Subject:               pkix.Name{CommonName: "Pillarbox mail server"},
		NotBefore:             notBefore,
		NotAfter:              notBefore.Add(serverFor),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              names,
		IPAddresses:           ips,
	}, key, authority)
}

// begin is when the validity of what is signed now begins.
func begin(now, floor time.Time) time.Time {
	t := now.Add(-early)
	if t.Before(floor) {
		t = floor
	}
	return t.UTC().Truncate(time.Second)
}

func newKey() (*ecdsa.PrivateKey, *big.Int, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("certs: %w", err)
	}
	// RFC 5280 section 4.1.2.2: positive, at most 20 octets, unpredictable.
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("certs: %w", err)
	}
	return key, serial.Add(serial, big.NewInt(1)), nil
}

// sign makes the certificate of key; by itself where authority is nil.
func sign(t *x509.Certificate, key *ecdsa.PrivateKey, authority *pair) (*pair, error) {
	parent, signer := t, key
	if authority != nil {
		parent, signer = authority.cert, authority.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	return &pair{cert, key}, nil
}

// Names are the names that clients use for a box called hostname that is the
// mail server of domains: what people type, and what clients look for when
// they set themselves up.
func Names(hostname string, domains []string) []string {
	var names []string
	if hostname != "" {
		names = append(names, hostname)
	}
	for _, d := range domains {
		for _, prefix := range []string{"mail.", "imap.", "smtp.", "pop.", "autoconfig.", "autodiscover."} {
			names = append(names, prefix+d)
		}
	}
	return names
}
