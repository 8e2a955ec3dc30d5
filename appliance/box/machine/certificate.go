package machine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
)

// maxCertificate bounds a file with a certificate or key, in octets: one with all
// that vouch for it has some ten thousand.
const maxCertificate = 1 << 18

// CertificateFromStick has maild import the certificate on the first stick that has
// one. The key does not stay with boxd, and the stick is not written to.
func (m *Manager) CertificateFromStick(ctx context.Context) error {
	if m.cfg.Mail == nil {
		return wire.Unavailable("the mail service cannot be asked")
	}
	c := mailapi.CertificateChoice{Mode: mailapi.CertificateImported}
	err := m.eachStick(ctx, func(_, dir string) error {
		if err := readCertificate(dir, &c); errors.Is(err, fs.ErrNotExist) {
			return nil // on another stick
		} else if err != nil {
			return err
		}
		return errEnough
	})
	switch {
	case err == nil:
		return wire.NotFound("There is no file %s on a USB stick.", boxapi.StickCertificate)
	case !errors.Is(err, errEnough):
		return err
	}
	_, err = m.cfg.Mail.SetCertificate(ctx, c)
	return err
}

// readCertificate reads the certificate in dir, and the key where it is a file of its own.
func readCertificate(dir string, c *mailapi.CertificateChoice) error {
	for _, f := range []struct {
		name string
		out  *string
	}{{boxapi.StickCertificate, &c.CertificatePEM}, {boxapi.StickKey, &c.KeyPEM}} {
		file, err := os.Open(filepath.Join(dir, f.name))
		if errors.Is(err, fs.ErrNotExist) && c.CertificatePEM != "" {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(io.LimitReader(file, maxCertificate+1))
		err = errors.Join(err, file.Close())
		if err != nil {
			return err
		}
		if len(data) > maxCertificate {
			return wire.Conflict("The file %s is too large to be a certificate or a key.", f.name)
		}
		*f.out = string(data)
	}
	return nil
}
