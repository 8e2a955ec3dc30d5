package maild

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/delivery"
	"pillarbox/appliance/mail/probe"
	"pillarbox/appliance/mail/route"
	"pillarbox/appliance/mail/smtpd"
	"pillarbox/appliance/store/store"
)

// people is the directory as the pipeline asks it.
type people struct {
	*account.Directory
	probe *probe.Probe
}

func (p people) Resolve(ctx context.Context, addr string) (delivery.Resolution, error) {
	if id, ok := p.probe.Mailbox(addr); ok {
		return delivery.Resolution{Hosted: true, Known: true, Mailboxes: []store.AccountID{id}, Untraced: true}, nil
	}
	r, err := p.Directory.Resolve(ctx, addr)
	return delivery.Resolution{
		Hosted: r.Hosted, Known: r.Known, Mailboxes: r.Mailboxes, Forward: r.Forward, Detail: r.Detail, TooMuch: r.TooMuch,
	}, err
}

// dialSMTP connects to the daemon's own SMTP port, on loopback where it
// listens on all addresses.
func (d *Daemon) dialSMTP(ctx context.Context) (net.Conn, error) {
	for _, l := range d.listeners {
		if l.name == "smtp" {
			host, port, err := net.SplitHostPort(l.guard.Addr().String())
			if err != nil {
				return nil, err
			}
			if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
				host = "127.0.0.1"
			}
			return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
		}
	}
	return nil, errors.New("mail is not served")
}

// authenticate is account.Directory's method.
type authenticate func(ctx context.Context, login, password string, remote netip.Addr) (*account.User, error)

// logins is the directory's check of passwords as the SMTP server asks for it.
func logins(check authenticate) smtpd.Authenticate {
	return func(ctx context.Context, login, password string, remote netip.Addr) (smtpd.Person, error) {
		u, err := check(ctx, login, password, remote)
		switch {
		case err == nil:
			return smtpd.Person{Address: u.Address, Revoked: u.Revoked}, nil
		case errors.Is(err, account.ErrBadCredentials):
			return smtpd.Person{}, smtpd.ErrBadCredentials
		case errors.Is(err, account.ErrThrottled):
			return smtpd.Person{}, smtpd.ErrThrottled
		case errors.Is(err, account.ErrBusy):
			return smtpd.Person{}, smtpd.ErrBusy
		}
		return smtpd.Person{}, err
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
