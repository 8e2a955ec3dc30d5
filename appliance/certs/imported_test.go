package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

// issuer signs what tests import.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  crypto.Signer
}

func newIssuer(t *testing.T, name string, by *issuer) *issuer {
	key, _, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t, nil, key}
	if by == nil {
		by = i
	}
	i.cert = by.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, key)
	return i
}

func (i *issuer) sign(c *x509.Certificate, key crypto.Signer) *x509.Certificate {
	i.t.Helper()
	parent := i.cert
	if parent == nil {
		parent = c
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = start.Add(-day), start.Add(90*day)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		i.t.Fatal(err)
	}
	return out
}

func certificates(list ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range list {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

func keyPEM(t *testing.T, key any) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestImport(t *testing.T) {
	root := newIssuer(t, "Root", nil)
	between := newIssuer(t, "Between", root)
	stranger := newIssuer(t, "Stranger", nil)
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	named := func(names ...string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: "server"}, DNSNames: names}
	}
	good := between.sign(named("mail.example.org", "www.example.org"), ec)
	byRSA := between.sign(named("*.example.org"), long)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	dated := func(from, to time.Time) *x509.Certificate {
		c := named("mail.example.org")
		c.NotBefore, c.NotAfter = from, to
		return between.sign(c, ec)
	}
	forMail := named("mail.example.org")
	forMail.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	chain := certificates(good, between.cert)
	for _, c := range []struct {
		name      string
		cert, key []byte
		want      string // "": it is taken
	}{
		{"the whole chain", chain, keyPEM(t, ec), ""},
		{"in another order, with the root", certificates(root.cert, between.cert, good), keyPEM(t, ec), ""},
		{"twice the same", certificates(good, good, between.cert), keyPEM(t, ec), ""},
		{"alone", certificates(good), keyPEM(t, ec), ""},
		{"all in one file", append(keyPEM(t, ec), chain...), nil, ""},
		{"RSA and a name with a star", certificates(byRSA, between.cert), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(long)}), ""},
		{"a key as openssl ecparam writes it", chain, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), ""},
		{"nothing", nil, nil, "the certificate is not in PEM"},
		{"DER", good.Raw, keyPEM(t, ec), "the certificate is not in PEM"},
		{"no key", chain, nil, "the key is not in PEM"},
		{"a damaged certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.Raw[:100]}), keyPEM(t, ec), "the certificate is damaged"},
		{"a damaged key", chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: sec1}), "the key is damaged"},
		{"a locked key", chain, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: sec1}), "the key is locked with a password"},
		{"an old locked key", chain, []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), "the key is locked with a password"},
		{"another key", chain, keyPEM(t, long), "the key is not that of the certificate"},
		{"a certificate that has nothing to do with it", certificates(good, stranger.cert), keyPEM(t, ec), `"Stranger", that did not sign it`},
		{"another name", certificates(between.sign(named("www.example.org"), ec)), keyPEM(t, ec), "the certificate is for www.example.org, and not for mail.example.org"},
		{"no name", certificates(between.sign(named(), ec)), keyPEM(t, ec), "the certificate is for no name at all"},
		{"ended", certificates(dated(start.Add(-9*day), start.Add(-day))), keyPEM(t, ec), "the certificate ended on 2026-02-28"},
		{"not yet valid", certificates(dated(start.Add(2*day), start.Add(9*day))), keyPEM(t, ec), "the certificate is valid only from 2026-03-03 on"},
		{"for mail, not for servers", certificates(between.sign(forMail, ec)), keyPEM(t, ec), "the certificate is not for servers"},
		{"a short key", certificates(between.sign(named("mail.example.org"), short)), keyPEM(t, short), "an RSA key of 1024 bits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			b.cfg.Roots = x509.NewCertPool()
			b.cfg.Roots.AddCert(root.cert)
			m := b.open(t, "mail.example.org", "imap.example.org")
			m.Choose(Choice{Source: Imported, Host: "mail.example.org"})
			err := m.Import(c.cert, c.key, "mail.example.org")
			if c.want != "" {
				var file *FileError
				if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &file) {
					t.Fatalf("got %v, want %q", err, c.want)
				}
				if i := m.Info(); i.Source != Own || i.Problem == "" {
					t.Errorf("%+v", i)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []*Manager{m, b.open(t, "mail.example.org", "imap.example.org")} {
				m.Choose(Choice{Source: Imported, Host: "mail.example.org"})
				i := m.Info()
				if i.Source != Imported || i.Problem != "" || i.Private != (c.name == "alone") || i.Issuer != "Between" {
					t.Errorf("%+v", i)
				}
				got, err := handshake(t, m, "mail.example.org", b.now, nil)
				if err == nil {
					t.Errorf("a client that knows the own authority alone takes %v", got.Subject)
				}
				star := strings.Contains(c.name, "star")
				if _, err := handshake(t, m, "imap.example.org", b.now, nil); (err == nil) == star {
					t.Errorf("a name that the own authority has too: %v", err)
				}
			}
		})
	}
}

// TestImportedEnds has the own authority step in where an imported certificate
// will not do any more.
func TestImportedEnds(t *testing.T) {
	root := newIssuer(t, "Root", nil)
	key, _, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	cert := root.sign(&x509.Certificate{DNSNames: []string{"mail.example.org"}}, key)
	b := newBox(t)
	m := b.open(t, "mail.example.org")
	if err := m.Import(certificates(cert), keyPEM(t, key), "mail.example.org"); err != nil {
		t.Fatal(err)
	}
	if i := m.Info(); i.Source != Own {
		t.Errorf("shown before it is chosen: %+v", i)
	}
	m.Choose(Choice{Source: Imported, Host: "mail.example.org"})
	for _, c := range []struct {
		after         time.Duration
		host, problem string
		source        Source
	}{
		{80 * day, "mail.example.org", "", Imported},
		{80 * day, "mail.example.net", "The imported certificate is not for mail.example.net, the name of this box.", Imported},
		{90 * day, "mail.example.org", "The imported certificate ended on 2026-05-30: the box's own is shown.", Own},
	} {
		b.now = start.Add(c.after)
		m.Choose(Choice{Source: Imported, Host: c.host})
		if err := m.SetNames([]string{c.host}); err != nil {
			t.Fatal(err)
		}
		if i := m.Info(); i.Source != c.source || i.Problem != c.problem {
			t.Errorf("after %v: %+v", c.after, i)
		}
		if _, err := handshake(t, m, c.host, b.now, nil); (err == nil) != (c.problem != "") {
			t.Errorf("after %v, %s: %v", c.after, c.host, err)
		}
	}
}

// What an authority sends along that vouches for nothing is left out, or what is
// kept could not be read again.
func TestChainIsKeptAsItCanBeRead(t *testing.T) {
	root := newIssuer(t, "root", nil)
	middle := newIssuer(t, "middle", root)
	stranger := newIssuer(t, "stranger", nil)
	key, _, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf := middle.sign(&x509.Certificate{DNSNames: []string{"mail.example.org"}}, key)
	chain, left := inLine(leaf, []*x509.Certificate{stranger.cert, root.cert, middle.cert})
	if len(chain) != 3 || len(left) != 1 || !left[0].Equal(stranger.cert) {
		t.Fatalf("%d in line, %d left", len(chain), len(left))
	}
	data, err := encodeChain(&tls.Certificate{Certificate: chain, PrivateKey: key})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := parseStored(data); err != nil || len(c.Certificate) != 3 || !c.Leaf.Equal(leaf) {
		t.Errorf("read again: %v", err)
	}
}
