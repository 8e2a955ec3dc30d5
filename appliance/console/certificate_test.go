package console

import (
	"context"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
)

func (f *fakeMail) Certificate(context.Context) (*mailapi.Certificate, error) {
	c := &mailapi.Certificate{
		Names: []string{"mail.example.org", "localhost", "127.0.0.1"}, NotAfter: time.Date(2027, 4, 3, 10, 20, 0, 0, time.UTC),
		SHA256: strings.TrimSuffix(strings.Repeat("AB:", 32), ":"), Issuer: "Pillarbox 0a1b2c3d", Source: mailapi.CertificateOwn, Mode: mailapi.CertificateOwn, Private: true,
	}
	if f.certificate != nil {
		f.certificate(c)
	}
	return c, nil
}

func (f *fakeMail) SetCertificate(ctx context.Context, c mailapi.CertificateChoice) (*mailapi.Certificate, error) {
	f.changed = append(f.changed, strings.Join([]string{"certificate", c.Mode, c.Email, c.Directory}, " "))
	f.certificate = func(now *mailapi.Certificate) { now.Mode, now.Email, now.Directory = c.Mode, c.Email, c.Directory }
	return f.Certificate(ctx)
}

func (f *fakeBox) CertificateFromStick(context.Context) error {
	if f.stick == "" {
		return wire.NotFound("There is no file certificate.pem on a USB stick.")
	}
	return nil
}

func TestCertificateOnTheConsole(t *testing.T) {
	d, mail, box := menuDrive(t)
	d.unlock()
	d.choose("Certificate")
	d.expect("menu-certificate")
	d.choose("Show it")
	d.expect("menu-certificate-own")
	d.keys("esc")
	d.choose("by a public authority")
	d.keys("ann", "enter")
	d.wants("must be an address")
	d.keys("@example.net", "enter", "http://ca.example.org/", "enter")
	d.wants("must be the https address")
	d.press(len("http://ca.example.org/"), "backspace")
	d.keys("https://ca.example.org/dir", "enter")
	d.expect("menu-certificate-public")
	d.keys("enter")
	d.wants("The authority is being asked: look here again in a minute.")
	d.choose("Show it")
	d.wants("The authority is being asked.")
	d.keys("esc")
	mail.certificate = func(c *mailapi.Certificate) {
		c.Mode, c.Directory = mailapi.CertificateACME, "https://ca.example.org/dir"
		c.Problem = "The certificate authority does not reach port 80 of this box (192.0.2.1: Timeout during connect)."
		c.NextTry = time.Date(2026, 3, 4, 10, 25, 30, 0, time.UTC)
	}
	d.choose("Show it")
	d.expect("menu-certificate-failed")
	d.keys("esc")
	d.choose("from a USB stick")
	d.keys("enter")
	d.wants("There is no file certificate.pem on a USB stick.")
	box.stick = "sdb"
	d.keys("enter")
	d.wants("The certificate was taken over; pull the stick out.")
	mail.certificate = func(c *mailapi.Certificate) {
		c.Mode, c.Source, c.Issuer = mailapi.CertificateImported, mailapi.CertificateImported, "Between"
	}
	d.choose("Show it")
	d.wants("Signed by Between")
	d.wants("between it and its authority are missing.")
	d.keys("esc")
	d.keys("esc")
	d.choose("Certificate")
	d.choose("by a public authority")
	d.keys("enter", "enter", "enter")
	d.expect("menu-certificate-leave")
	d.keys("enter", "esc")
	d.choose("by the box's own authority")
	d.keys("enter") // no
	if len(mail.changed) != 1 {
		t.Errorf("changed without a yes: %q", mail.changed)
	}
	d.choose("by the box's own authority")
	d.keys("down", "enter")
	d.wants("The box's own authority signs the certificate.")
	want := "certificate acme ann@example.net https://ca.example.org/dir, certificate own  "
	if got := strings.Join(mail.changed, ", "); got != want {
		t.Errorf("changed %q, want %q", got, want)
	}
}

// TestCertificateScreensFit walks through the menu of the certificate in each language.
func TestCertificateScreensFit(t *testing.T) {
	for _, l := range Languages() {
		d, _, _ := menuDrive(t)
		d.unlock()
		d.m.speak(l.Code)
		d.run(d.m.open(d.m.certificates()))
		d.fits(l.Code + " list")
		for range 4 {
			d.keys("enter")
			d.fits(l.Code + " screen")
			if len(d.m.stack) > 2 {
				d.keys("esc")
			}
			d.keys("down")
		}
	}
}
