package boxapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/wire"
)

// fake answers with fixed values and keeps what it was asked.
type fake struct {
	settings Settings
	asked    []StopRequest
}

var status = Status{
	Version: "1", Hostname: "box", Uptime: 3.5,
	Interfaces: []Interface{{Name: "eth0", Link: true, Addresses: []string{"192.0.2.5/24"}, Lease: &Lease{Server: "192.0.2.1"}}},
	Disks:      []Disk{{Name: "sda", Size: 1 << 40, Role: RoleSystem}},
	Clock:      Clock{Synced: true, Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
}

var firewall = Firewall{
	Administration: []string{"192.0.2.0/24"},
	Limited:        []Limited{{Source: "198.51.100.7/32", Dropped: 7, Last: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}},
}

func (f *fake) Status(context.Context) (*Status, error)     { s := status; return &s, nil }
func (f *fake) Settings(context.Context) (*Settings, error) { return &f.settings, nil }
func (f *fake) Timezones(context.Context) ([]string, error) { return []string{"UTC"}, nil }
func (f *fake) Firewall(context.Context) (*Firewall, error) { return &firewall, nil }
func (f *fake) UseDisk(_ context.Context, r UseDiskRequest) error {
	return wire.Invalid("disk", "%s of %d octets is not there", r.Name, r.Size)
}
func (f *fake) TryNetwork(_ context.Context, n Network) error {
	f.settings.Network = n
	return nil
}
func (f *fake) TestNetwork(_ context.Context, r TestRequest) (*NetworkTest, error) {
	return &NetworkTest{Test: r.Test, OK: true, Detail: "eth0"}, nil
}
func (f *fake) FactoryReset(_ context.Context, r ResetRequest) error {
	return wire.Invalid("hostname", "must be box, not %s", r.Hostname)
}
func (f *fake) SupportBundle(_ context.Context, r SupportRequest, w io.Writer) error {
	if _, err := io.WriteString(w, "about "+r.Message); err != nil || r.Message != "broken" {
		return err
	}
	return errors.New("the disk cannot be read")
}
func (f *fake) SupportToStick(context.Context, SupportRequest) (*StickFile, error) {
	return &StickFile{Stick: "sdb", Name: "bundle", Size: 5}, nil
}
func (f *fake) BackupToStick(context.Context) (*StickFile, error) { return &StickFile{Name: "b"}, nil }
func (f *fake) StickBackups(context.Context) ([]StickFile, error) {
	return []StickFile{{Name: "b"}}, nil
}
func (f *fake) CertificateFromStick(context.Context) error {
	return wire.Invalid("key_pem", "The key is not that of the certificate.")
}
func (f *fake) RestoreFromStick(_ context.Context, r RestoreRequest) error {
	return wire.Invalid("hostname", "must be box, not %s", r.Hostname)
}
func (f *fake) KeepNetwork(context.Context) error { return wire.Conflict("nothing is being tried") }
func (f *fake) PowerOff(_ context.Context, r StopRequest) error {
	f.asked = append(f.asked, r)
	return nil
}
func (f *fake) Reboot(_ context.Context, r StopRequest) error {
	f.asked = append(f.asked, r)
	return nil
}

func (f *fake) SetSettings(_ context.Context, s Settings) (*Settings, error) {
	if s.Hostname == "bad host" {
		return nil, wire.Invalid("hostname", "must not hold a space")
	}
	f.settings = s
	return &f.settings, nil
}

func TestClientAndHandlerAgree(t *testing.T) {
	f := new(fake)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(Handler(f))
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	c := NewClient(path)
	defer c.Close()
	ctx := t.Context()

	check := func(what string, got any, err error, want any) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", what, got, err, want)
		}
	}
	s, err := c.Status(ctx)
	check("status", s, err, &status)
	in := Settings{Hostname: "mail.example.org", Timezone: "Europe/Berlin", Network: Network{Mode: ModeStatic, Address: "192.0.2.5/24", DNS: []string{"192.0.2.1"}}}
	out, err := c.SetSettings(ctx, in)
	check("set settings", out, err, &in)
	out, err = c.Settings(ctx)
	check("settings", out, err, &in)
	fw, err := c.Firewall(ctx)
	check("firewall", fw, err, &firewall)
	tz, err := c.Timezones(ctx)
	check("time zones", tz, err, []string{"UTC"})
	test, err := c.TestNetwork(ctx, TestRequest{Test: TestLink})
	check("test", test, err, &NetworkTest{Test: TestLink, OK: true, Detail: "eth0"})
	var bundle strings.Builder
	check("bundle", nil, c.SupportBundle(ctx, SupportRequest{Message: "m"}, &bundle), nil)
	check("bundle", bundle.String(), nil, "about m")
	if err := c.SupportBundle(ctx, SupportRequest{Message: "broken"}, io.Discard); err == nil {
		t.Error("a bundle that broke off is not told")
	}
	stick, err := c.SupportToStick(ctx, SupportRequest{})
	check("stick", stick, err, &StickFile{Stick: "sdb", Name: "bundle", Size: 5})
	stick, err = c.BackupToStick(ctx)
	check("backup", stick, err, &StickFile{Name: "b"})
	list, err := c.StickBackups(ctx)
	check("backups", list, err, []StickFile{{Name: "b"}})
	check("poweroff", nil, c.PowerOff(ctx, StopRequest{Reason: "r"}), nil)
	check("reboot", nil, c.Reboot(ctx, StopRequest{}), nil)
	check("asked", f.asked, nil, []StopRequest{{Reason: "r"}, {}})

	var e *wire.Error
	if err := c.CertificateFromStick(ctx); !errors.As(err, &e) || e.Field != "key_pem" {
		t.Errorf("certificate: %v", err)
	}
	if err := c.RestoreFromStick(ctx, RestoreRequest{Hostname: "other"}); !errors.As(err, &e) || e.Field != "hostname" {
		t.Errorf("restore to another box: %v", err)
	}
	if err := c.UseDisk(ctx, UseDiskRequest{Name: "sdb", Size: 7}); !errors.As(err, &e) || e.Field != "disk" || e.Message != "sdb of 7 octets is not there" {
		t.Errorf("a disk that is not there: %v", err)
	}
	if err := c.FactoryReset(ctx, ResetRequest{Hostname: "other"}); !errors.As(err, &e) || e.Field != "hostname" {
		t.Errorf("reset of another box: %v", err)
	}
	if _, err := c.SetSettings(ctx, Settings{Hostname: "bad host"}); !errors.As(err, &e) || e.Field != "hostname" {
		t.Errorf("bad settings: %v", err)
	}
}
