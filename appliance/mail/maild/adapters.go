package maild

import (
	"context"
	"errors"
	"net/netip"

	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/delivery"
	"pillarbox/appliance/mail/route"
	"pillarbox/appliance/mail/smtpd"
)

// people is the directory as the pipeline asks it.
type people struct{ *account.Directory }

func (p people) Resolve(ctx context.Context, addr string) (delivery.Resolution, error) {
	r, err := p.Directory.Resolve(ctx, addr)
	return delivery.Resolution(r), err
}

// logins is the directory as the SMTP server asks it.
func logins(d *account.Directory) smtpd.Authenticate {
	return func(ctx context.Context, login, password string, remote netip.Addr) (string, error) {
		u, err := d.Authenticate(ctx, login, password, remote)
		switch {
		case err == nil:
			return u.Address, nil
		case errors.Is(err, account.ErrBadCredentials):
			return "", smtpd.ErrBadCredentials
		case errors.Is(err, account.ErrThrottled), errors.Is(err, account.ErrBusy):
			return "", smtpd.ErrThrottled
		}
		return "", err
	}
}

// smartHost is the one of the settings; nil for delivery by MX.
func (d *Daemon) smartHost() *route.SmartHost {
	s := d.people.Current()
	if s.SmartHost == "" {
		return nil
	}
	h, err := route.ParseSmartHost(s.SmartHost, s.SmartHostUser, s.SmartHostPassword)
	if err != nil {
		// The settings were checked when they were made: a fault of the program.
		d.log.Error("the smart host of the settings cannot be used; mail waits", "error", err)
		return &route.SmartHost{}
	}
	h.AnyCertificate = s.SmartHostAnyCertificate
	return h
}
