package maild

import (
	"cmp"
	"context"
	"errors"
	"net"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/certs"
	"pillarbox/appliance/mail/guard"
)

// certificateChoice is where the certificate comes from, by the settings.
func (d *Daemon) certificateChoice() certs.Choice {
	s := d.people.Current()
	c := certs.Choice{Source: certs.Source(s.Certificate.Mode), Host: s.Hostname, Email: s.Certificate.Email}
	if c.Source == certs.Public {
		c.Directory = cmp.Or(s.Certificate.Directory, certs.LetsEncrypt)
	}
	return c
}

// certificateEvent tells administrators of a public authority.
func (d *Daemon) certificateEvent(bad bool, text string) {
	level := mailapi.LevelInfo
	if bad {
		level = mailapi.LevelWarn
	}
	d.events.add(level, text)
}

// challengers bounds who may be connected at the port of challenges: an authority
// asks from a handful of places.
var challengers = guard.Limits{PerIP: 8, Total: 64}

func (d *Daemon) listenForChallenges() (net.Listener, error) {
	l, err := net.Listen("tcp", d.cfg.address(challenges))
	if err != nil {
		return nil, err
	}
	return guard.Listen(l, challengers, d.log.With("part", "challenges")), nil
}

// Certificate describes what clients see.
func (s *service) Certificate(context.Context) (*mailapi.Certificate, error) {
	i := s.d.certs.Info()
	return &mailapi.Certificate{
		Names: i.Names, NotBefore: i.NotBefore, NotAfter: i.NotAfter, SHA256: i.SHA256, Issuer: i.Issuer, Private: i.Private,
		Source: string(i.Source), Mode: string(i.Choice.Source), Email: i.Choice.Email, Directory: i.Choice.Directory,
		Problem: i.Problem, Failure: i.Failure, NextTry: i.NextTry, Authority: i.Authority, AuthorityPEM: string(i.AuthorityPEM),
	}, nil
}

// SetCertificate chooses where the certificate comes from.
func (s *service) SetCertificate(ctx context.Context, c mailapi.CertificateChoice) (*mailapi.Certificate, error) {
	switch {
	case c.Mode == mailapi.CertificateImported && c.CertificatePEM+c.KeyPEM != "":
		if err := s.importCertificate(c); err != nil {
			return nil, err
		}
	case c.Mode == mailapi.CertificateImported && !s.d.certs.HasImported():
		return nil, wire.Invalid("certificate_pem", "is missing")
	case c.Mode != mailapi.CertificateImported && c.CertificatePEM+c.KeyPEM != "":
		return nil, wire.Invalid("certificate_pem", "is for the mode imported alone")
	}
	if err := s.d.people.ChooseCertificate(ctx, c); err != nil {
		return nil, err
	}
	s.d.certs.Choose(s.d.certificateChoice())
	s.d.certs.Retry() // a person waits for it, who may just have mended what was wrong
	return s.Certificate(ctx)
}

func (s *service) importCertificate(c mailapi.CertificateChoice) error {
	err := s.d.certs.Import([]byte(c.CertificatePEM), []byte(c.KeyPEM), s.d.people.Current().Hostname)
	var bad *certs.FileError
	switch {
	case errors.As(err, &bad) && bad.Key:
		return wire.Invalid("key_pem", "The key %s.", bad.Text)
	case errors.As(err, &bad):
		return wire.Invalid("certificate_pem", "The certificate %s.", bad.Text)
	case err == nil:
		s.d.events.add(mailapi.LevelInfo, "a certificate was imported")
	}
	return err
}
