package account

import (
	"context"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/config"
	"pillarbox/appliance/config/password"
	"pillarbox/appliance/store/store"
)

// defaultMaxMessage is the size limit of a fresh box, in octets: what large
// providers take, so that mail from there does not fail here.
const defaultMaxMessage = 50 << 20

// defaultUndeleteDays covers a holiday.
const defaultUndeleteDays = 14

// Settings are what an administrator decides about the mail service.
type Settings struct {
	Hostname                string      // "" until the box is set up
	Timezone                string      `json:",omitempty"`
	SmartHost               string      `json:",omitempty"` // host:port; "" to deliver by MX
	SmartHostUser           string      `json:",omitempty"`
	SmartHostPassword       string      `json:",omitempty"`
	SmartHostAnyCertificate bool        `json:",omitempty"`
	AllowPlaintextLogin     bool        `json:",omitempty"`
	MaxMessageSize          int64       // octets
	UndeleteDays            int         // for so long deleted mail can be brought back, 0: not at all
	Certificate             Certificate `json:",omitzero"`
}

// Certificate is where the certificate of the servers comes from.
type Certificate struct {
	Mode             string // of mailapi.Certificate; "": the box's own authority
	Email, Directory string `json:",omitempty"` // of a public authority
}

func defaultSettings() Settings {
	return Settings{MaxMessageSize: defaultMaxMessage, UndeleteDays: defaultUndeleteDays}
}

// Current gives the settings in force, for the parts that act on them.
func (d *Directory) Current() Settings {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.settings
}

// SetupDone reports whether the box has its name, a domain and an administrator.
func (d *Directory) SetupDone() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.settings.Hostname != "" && len(d.domains) > 0 && d.admin.Credential.Password != ""
}

// Settings shows the settings.
func (d *Directory) Settings(ctx context.Context) (*mailapi.Settings, error) {
	s := d.Current()
	return &mailapi.Settings{
		Hostname: s.Hostname, Timezone: s.Timezone,
		SmartHost: s.SmartHost, SmartHostUser: s.SmartHostUser, SmartHostPasswordSet: s.SmartHostPassword != "",
		SmartHostAnyCertificate: s.SmartHostAnyCertificate,
		AllowPlaintextLogin:     s.AllowPlaintextLogin, MaxMessageSize: s.MaxMessageSize, UndeleteDays: s.UndeleteDays,
	}, nil
}

// ChangeSettings changes what is set in c.
func (d *Directory) ChangeSettings(ctx context.Context, c mailapi.SettingsChange) (*mailapi.Settings, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	s, err := d.Current().with(c)
	if err != nil {
		return nil, err
	}
	if err := d.putSettings(ctx, s); err != nil {
		return nil, err
	}
	return d.Settings(ctx)
}

// with is s with the changes of c, checked.
func (s Settings) with(c mailapi.SettingsChange) (Settings, error) {
	for _, f := range []struct {
		name  string
		in    *string
		out   *string
		check func(string) (string, error)
		empty bool // may be empty
	}{
		{"hostname", c.Hostname, &s.Hostname, config.Hostname, false},
		{"timezone", c.Timezone, &s.Timezone, config.Timezone, true},
		{"smart_host", c.SmartHost, &s.SmartHost, config.HostPort, true},
	} {
		if f.in == nil {
			continue
		}
		if *f.in == "" && f.empty {
			*f.out = ""
			continue
		}
		v, err := f.check(*f.in)
		if err != nil {
			return s, wire.Invalid(f.name, "%v", err)
		}
		*f.out = v
	}
	if s.SmartHost == "" {
		s.SmartHostUser, s.SmartHostPassword, s.SmartHostAnyCertificate = "", "", false
	}
	set(c.SmartHostUser, &s.SmartHostUser)
	set(c.SmartHostPassword, &s.SmartHostPassword)
	set(c.SmartHostAnyCertificate, &s.SmartHostAnyCertificate)
	set(c.AllowPlaintextLogin, &s.AllowPlaintextLogin)
	set(c.MaxMessageSize, &s.MaxMessageSize)
	set(c.UndeleteDays, &s.UndeleteDays)
	switch {
	case s.SmartHost == "" && s.SmartHostUser != "":
		return s, wire.Invalid("smart_host_user", "needs smart_host")
	case s.SmartHostUser != "" && s.SmartHostPassword == "":
		return s, wire.Invalid("smart_host_password", "is missing")
	case s.SmartHostUser == "":
		s.SmartHostPassword = ""
	}
	if err := config.MessageSize(config.Size(s.MaxMessageSize)); err != nil {
		return s, wire.Invalid("max_message_size", "%v", err)
	}
	if err := config.UndeleteDays(s.UndeleteDays); err != nil {
		return s, wire.Invalid("undelete_days", "%v", err)
	}
	return s, nil
}

// ChooseCertificate keeps where the certificate is to come from.
func (d *Directory) ChooseCertificate(ctx context.Context, c mailapi.CertificateChoice) error {
	chosen, err := certificate("", c)
	if err != nil {
		return err
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	s := d.Current()
	s.Certificate = chosen
	return d.putSettings(ctx, s)
}

// certificate checks a choice; field stands before the names of what is wrong.
func certificate(field string, c mailapi.CertificateChoice) (Certificate, error) {
	if c.Mode == mailapi.CertificateImported {
		return Certificate{Mode: c.Mode}, nil
	}
	checked := config.Certificate{Mode: c.Mode, Email: c.Email, Directory: c.Directory}
	var err error
	checked.Check(func(name, message string) {
		if err == nil {
			err = wire.Invalid(field+name, "%s", message)
		}
	})
	return Certificate(checked), err
}

func set[T any](in, out *T) {
	if in != nil {
		*out = *in
	}
}

// putSettings writes the settings where they differ. changing is held.
func (d *Directory) putSettings(ctx context.Context, s Settings) error {
	if s == d.Current() {
		return nil
	}
	op, err := put(store.TableSetting, keySettings, s)
	if err != nil {
		return err
	}
	if err := d.commit(ctx, func() { d.settings = s }, op); err != nil {
		return err
	}
	d.cfg.Event(mailapi.LevelInfo, "settings of the mail service were changed")
	d.cfg.Changed()
	return nil
}

// SetAdminPassword gives the administrator a new password. Where Old is given
// it has to be right.
func (d *Directory) SetAdminPassword(ctx context.Context, in mailapi.AdminPassword) error {
	if in.Old != "" {
		if err := d.VerifyAdmin(ctx, mailapi.AdminLogin{Password: in.Old}); err != nil {
			return err
		}
	}
	if err := password.Check(in.New, "admin"); err != nil {
		return wire.Invalid("new", "%v", err)
	}
	c, err := d.hasher.make(ctx, in.New, nil)
	if err != nil {
		return err
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.putAdmin(ctx, c); err != nil {
		return err
	}
	d.cfg.Event(mailapi.LevelInfo, "the administrator's password was changed")
	return nil
}

// putAdmin writes the administrator's credential. changing is held.
func (d *Directory) putAdmin(ctx context.Context, c credential) error {
	r := adminRecord{Credential: c}
	op, err := put(store.TableSetting, keyAdmin, r)
	if err != nil {
		return err
	}
	return d.commit(ctx, func() { d.admin = r }, op)
}
