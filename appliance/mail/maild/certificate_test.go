package maild

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/certs/acmetest"
)

// seen is the certificate of a port, by STARTTLS where TLS does not begin at once.
func (r *running) seen(name string) *x509.Certificate {
	r.t.Helper()
	var c *tls.Conn
	switch name {
	case "smtp", "submission":
		s, err := smtp.Dial(r.addr[name])
		if err != nil {
			r.t.Fatal(err)
		}
		defer s.Close()
		if err := s.StartTLS(insecure()); err != nil {
			r.t.Fatalf("%s: %v", name, err)
		}
		state, _ := s.TLSConnectionState()
		return state.PeerCertificates[0]
	case "imap", "pop3":
		raw, err := net.Dial("tcp", r.addr[name])
		if err != nil {
			r.t.Fatal(err)
		}
		defer raw.Close()
		p := textproto.NewConn(raw)
		command := map[string]string{"imap": "a STARTTLS", "pop3": "STLS"}[name]
		greeting, _ := p.ReadLine()
		if err := p.PrintfLine("%s", command); err != nil {
			r.t.Fatal(err)
		}
		if answer, err := p.ReadLine(); err != nil || !strings.Contains(answer, "OK") {
			r.t.Fatalf("%s: %q, %q, %v", name, greeting, answer, err)
		}
		c = tls.Client(raw, insecure())
	default:
		raw, err := net.Dial("tcp", r.addr[name])
		if err != nil {
			r.t.Fatal(err)
		}
		defer raw.Close()
		c = tls.Client(raw, insecure())
	}
	if err := c.Handshake(); err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
	return c.ConnectionState().PeerCertificates[0]
}

// onAllPorts asks for the one certificate that every port shows.
func (r *running) onAllPorts() *x509.Certificate {
	r.t.Helper()
	first := r.seen("smtp")
	for _, name := range []string{"submission", "submissions", "imap", "imaps", "pop3", "pop3s"} {
		if c := r.seen(name); !c.Equal(first) {
			r.t.Errorf("%s shows %v, smtp %v", name, c.Subject, first.Subject)
		}
	}
	return first
}

// forFiles makes a certificate for name, good until an end, and its key.
func forFiles(t *testing.T, name string, end time.Time) (certificate, key string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := errors.Join(pem.Encode(&a, &pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: kder})); err != nil {
		t.Fatal(err)
	}
	return a.String(), b.String()
}

// TestCertificateSources goes from one source to the next while mail is served:
// every protocol shows the new certificate without a restart, and after one.
func TestCertificateSources(t *testing.T) {
	t.Setenv("PEBBLE_VA_ALWAYS_VALID", "1") // this daemon takes any port, not the one that the authority would ask
	a := acmetest.Start(t, acmetest.Usual)
	dir := t.TempDir()
	trust := func(c *Config) { c.Roots = a.Roots }
	r := start(t, dir, "", trust)
	r.setUp()
	ctx := t.Context()
	r.waits(func(c *mailapi.Certificate) bool { return slices.Contains(c.Names, "mail.example.org") }) // follows the set-up
	own := r.onAllPorts()

	// From files.
	_, err := r.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mailapi.CertificateImported})
	wantRefused(t, err, "certificate_pem")
	certificate, key := forFiles(t, "www.example.org", time.Now().Add(time.Hour))
	_, err = r.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mailapi.CertificateImported, CertificatePEM: certificate, KeyPEM: key})
	wantRefused(t, err, "certificate_pem")
	_, other := forFiles(t, "mail.example.org", time.Now().Add(time.Hour))
	_, err = r.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mailapi.CertificateImported, CertificatePEM: certificate, KeyPEM: other})
	wantRefused(t, err, "key_pem")
	if c := r.onAllPorts(); !c.Equal(own) {
		t.Error("a certificate that was refused is shown")
	}
	certificate, key = forFiles(t, "mail.example.org", time.Now().Add(100*time.Hour))
	c, err := r.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mailapi.CertificateImported, CertificatePEM: certificate + key})
	if err != nil || c.Source != mailapi.CertificateImported || !c.Private || c.Problem != "" {
		t.Fatalf("%+v, %v", c, err)
	}
	imported := r.onAllPorts()
	if imported.SerialNumber.Int64() != 7 {
		t.Errorf("shown is %v", imported.Subject)
	}

	// From an authority that is not there, and mail goes on with the box's own.
	a.Down.Store(true)
	if c, err = r.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mailapi.CertificateACME, Email: "ann@example.org", Directory: a.URL}); err != nil || c.Source != mailapi.CertificateOwn || c.Mode != mailapi.CertificateACME {
		t.Fatalf("%+v, %v", c, err)
	}
	r.waits(func(c *mailapi.Certificate) bool { return c.Failure != "" })
	if shown := r.onAllPorts(); !shown.Equal(own) {
		t.Errorf("shown is %v", shown.Subject)
	}
	s, err := r.Status(ctx)
	if err != nil || len(s.Problems) != 1 || !strings.HasPrefix(s.Problems[0], "The certificate authority refused (") {
		t.Errorf("problems %q, %v", s.Problems, err)
	}
	if err := r.submit("ann@example.org", "in spite of it"); err != nil {
		t.Error(err)
	}
	_, err = r.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mailapi.CertificateACME, Directory: "ftp://x"})
	wantRefused(t, err, "directory")
	_, err = r.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mailapi.CertificateACME, KeyPEM: key})
	wantRefused(t, err, "certificate_pem")

	// From one that is.
	a.Down.Store(false)
	if _, err = r.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mailapi.CertificateACME, Directory: a.URL}); err != nil {
		t.Fatal(err)
	}
	r.waits(func(c *mailapi.Certificate) bool { return c.Source == mailapi.CertificateACME })
	public := r.onAllPorts()
	if !strings.HasPrefix(public.Issuer.CommonName, "Pebble") {
		t.Errorf("shown is one by %v", public.Issuer)
	}
	r.stop()
	r = start(t, dir, "", trust)
	if again := r.onAllPorts(); !again.Equal(public) {
		t.Error("a restart shows another certificate")
	}

	// And back to what was there before.
	for mode, want := range map[string]*x509.Certificate{mailapi.CertificateImported: imported, mailapi.CertificateOwn: own} {
		if _, err := r.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mode}); err != nil {
			t.Fatal(err)
		}
		if got := r.onAllPorts(); !got.PublicKey.(*ecdsa.PublicKey).Equal(want.PublicKey) {
			t.Errorf("%s shows %v", mode, got.Subject)
		}
	}
}

// TestCertificateOfTheSetUp has the choice come with the set-up, and by file.
func TestCertificateOfTheSetUp(t *testing.T) {
	t.Setenv("PEBBLE_VA_ALWAYS_VALID", "1")
	a := acmetest.Start(t, acmetest.Usual)
	trust := func(c *Config) { c.Roots = a.Roots }
	r := start(t, t.TempDir(), "", trust)
	setup := mailapi.Setup{
		Hostname: "mail.example.org", Domain: "example.org", AdminAddress: "ann@example.org", AdminPassword: "admin's own words",
		Certificate: &mailapi.CertificateChoice{Mode: mailapi.CertificateImported},
	}
	wantRefused(t, r.Setup(t.Context(), setup), "certificate.mode")
	setup.Certificate = &mailapi.CertificateChoice{Mode: mailapi.CertificateACME, Email: "ann"}
	wantRefused(t, r.Setup(t.Context(), setup), "certificate.email")
	setup.Certificate = &mailapi.CertificateChoice{Mode: mailapi.CertificateACME, Email: "ann@example.org", Directory: a.URL}
	if err := r.Setup(t.Context(), setup); err != nil {
		t.Fatal(err)
	}
	r.waits(func(c *mailapi.Certificate) bool { return c.Source == mailapi.CertificateACME })

	dir := t.TempDir()
	file := filepath.Join(dir, "pillarbox.toml")
	text := "[box]\nhostname = \"mx.example.org\"\n[certificate]\nmode = \"acme\"\ndirectory = \"" + a.URL + "\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r = start(t, dir, file, trust)
	r.waits(func(c *mailapi.Certificate) bool {
		return c.Source == mailapi.CertificateACME && c.Names[0] == "mx.example.org"
	})
}

// waits until the certificate is as it should be.
func (r *running) waits(is func(*mailapi.Certificate) bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
	defer cancel()
	for {
		c, err := r.Certificate(ctx)
		if err != nil {
			r.t.Fatalf("not as it should be: %v", err)
		}
		if is(c) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func wantRefused(t *testing.T, err error, field string) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != wire.CodeInvalid || e.Field != field {
		t.Errorf("got %v, want %s refused", err, field)
	}
}
