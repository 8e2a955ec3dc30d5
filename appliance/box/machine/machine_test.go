package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/reset"
)

type fakeInit struct {
	initapi.Service
	stopped []string
}

func (f *fakeInit) Status(context.Context) (*initapi.Status, error) {
	return &initapi.Status{BootSeconds: 12.5, State: initapi.Volume{Mounted: true}, Data: initapi.Volume{Mounted: true, Size: 100, Free: 60}}, nil
}

func (f *fakeInit) PowerOff(_ context.Context, r initapi.StopRequest) error {
	f.stopped = append(f.stopped, "off "+r.Reason)
	return nil
}

func (f *fakeInit) Reboot(_ context.Context, r initapi.StopRequest) error {
	f.stopped = append(f.stopped, "restart "+r.Reason)
	return nil
}

func (f *fakeInit) Services(context.Context) ([]initapi.ServiceStatus, error) { return nil, nil }
func (f *fakeInit) Events(context.Context) ([]initapi.Event, error)           { return nil, nil }

func newTest(t *testing.T) (*Manager, string) {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"etc/pillarbox", "state/maild", "state/log", "esp", "usr/share/zoneinfo/Europe", "sys/block", "sys/class/dmi/id", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, root, "etc/pillarbox/board.json", `{"name": "test-board"}`)
	write(t, root, "sys/class/dmi/id/sys_vendor", "ACME\n")
	write(t, root, "sys/class/dmi/id/product_name", "Server 1\n")
	write(t, root, "usr/share/zoneinfo/Europe/Berlin", "")
	write(t, root, "usr/share/zoneinfo/EST5EDT", "")
	return reopen(t, root), root
}

func reopen(t *testing.T, root string) *Manager {
	t.Helper()
	m, err := New(Config{
		Root: root, State: filepath.Join(root, "state"), Data: filepath.Join(root, "data"), ESP: filepath.Join(root, "esp"),
		Provision: filepath.Join(root, "state/maild/provision.toml"), Owner: -1, Version: "test", Init: &fakeInit{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func write(t *testing.T, root, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return "missing: " + err.Error()
	}
	return string(raw)
}

func TestSettingsAreCheckedKeptAndApplied(t *testing.T) {
	m, root := newTest(t)
	for _, tt := range []struct {
		s     boxapi.Settings
		field string
	}{
		{boxapi.Settings{Hostname: "not a name"}, "hostname"},
		{boxapi.Settings{Timezone: "Mars/Olympus"}, "timezone"},
		{boxapi.Settings{Language: "Latin"}, "language"},
		{boxapi.Settings{Keyboard: "qwerty"}, "keyboard"},
		{boxapi.Settings{Network: boxapi.Network{Mode: "magic"}}, "network.mode"},
		{boxapi.Settings{Network: boxapi.Network{Mode: boxapi.ModeStatic}}, "network.address"},
		{boxapi.Settings{Network: boxapi.Network{Mode: boxapi.ModeStatic, Address: "192.0.2.1"}}, "network.address"},
		{boxapi.Settings{Network: boxapi.Network{DNS: []string{"dns.example.org"}}}, "network.dns[1]"},
	} {
		_, err := m.SetSettings(t.Context(), tt.s)
		var we *wire.Error
		if !errors.As(err, &we) || we.Field != tt.field {
			t.Errorf("%+v: %v, want one about %s", tt.s, err, tt.field)
		}
	}
	if s := m.Current(); s.Hostname != "" {
		t.Errorf("a refused setting is kept: %+v", s)
	}
	want := boxapi.Settings{Hostname: "mail.example.org", Timezone: "Europe/Berlin", Language: "fr", Keyboard: "ch", Network: boxapi.Network{Mode: boxapi.ModeStatic, Address: "192.0.2.1/24"}}
	if _, err := m.SetSettings(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got := reopen(t, root).Current(); got.Hostname != want.Hostname || got.Language != "fr" || got.Keyboard != "ch" || got.Network.Address != want.Network.Address {
		t.Errorf("after a restart: %+v", got)
	}
	if hosts := read(t, root, "etc/hosts"); !strings.Contains(hosts, "mail.example.org mail\n") {
		t.Errorf("hosts: %s", hosts)
	}
	if link, err := os.Readlink(filepath.Join(root, "etc/localtime")); err != nil || link != "/usr/share/zoneinfo/Europe/Berlin" {
		t.Errorf("localtime: %s, %v", link, err)
	}
}

// What puts the settings in force beside a person who changes them, as a stick that
// comes late does, does not put the ones before in force again.
func TestSettingsInForceAreTheLatest(t *testing.T) {
	m, root := newTest(t)
	for i := range 200 {
		name := fmt.Sprintf("mail%d.example.org", i)
		var both sync.WaitGroup
		both.Go(m.putInForce)
		both.Go(func() {
			if _, err := m.SetSettings(t.Context(), boxapi.Settings{Hostname: name}); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if hosts := read(t, root, "etc/hosts"); !strings.Contains(hosts, name) {
			t.Fatalf("set is %s, in force is\n%s", name, hosts)
		}
	}
}

func TestStatus(t *testing.T) {
	m, _ := newTest(t)
	s, err := m.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Hostname != "pillarbox" || s.Timezone != "UTC" || s.Board != "test-board" || s.Machine != "ACME Server 1" || s.BootSeconds != 12.5 || !s.Data.Mounted || s.Kernel == "" {
		t.Errorf("%+v", s)
	}
	zones, err := m.Timezones(t.Context())
	if err != nil || strings.Join(zones, " ") != "Europe/Berlin UTC" {
		t.Errorf("zones %v, %v", zones, err)
	}
	if err := m.PowerOff(t.Context(), boxapi.StopRequest{Reason: "test"}); err != nil || m.cfg.Init.(*fakeInit).stopped[0] != "off test" {
		t.Errorf("power off: %v", err)
	}
}

// A stick with nothing but a new password for the administrator leaves the rest
// as it is.
func TestProvisioningChangesWhatItNames(t *testing.T) {
	m, root := newTest(t)
	want := boxapi.Settings{Hostname: "mail.example.org", Timezone: "Europe/Berlin", Language: "de", Network: boxapi.Network{Mode: boxapi.ModeStatic, Address: "192.0.2.1/24"}}
	if _, err := m.SetSettings(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	write(t, root, "esp/pillarbox.toml", "[box]\nadmin_password = \"a new one for admin\"\n")
	m.Start(t.Context())
	if got := m.Current(); !reflect.DeepEqual(got, want) {
		t.Errorf("the settings are %+v, want %+v", got, want)
	}
	if s, err := m.Status(t.Context()); err != nil || s.Provision.State != boxapi.ProvisionPending {
		t.Errorf("%+v, %v", s.Provision, err)
	}
}

func TestSupportBundle(t *testing.T) {
	m, root := newTest(t)
	write(t, root, "state/log/boxd.log", "a line\n")
	var out bytes.Buffer
	if err := m.SupportBundle(t.Context(), boxapi.SupportRequest{}, &out); err != nil || out.Len() == 0 {
		t.Errorf("%d octets, %v", out.Len(), err)
	}
}

// A file on a stick is whole or not there.
func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bundle")
	broken := errors.New("broken")
	if _, err := writeFile(path, func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	size, err := writeFile(path, func(w io.Writer) error { _, err := io.WriteString(w, "12345"); return err })
	if err != nil || size != 5 {
		t.Errorf("%d octets, %v", size, err)
	}
	if _, err := writeFile(path, func(io.Writer) error { return nil }); err == nil {
		t.Error("an older file was overwritten")
	}
}

func TestNamesOfBackups(t *testing.T) {
	for name, want := range map[string]bool{
		"pillarbox-backup-mail-20260304-102030.pbx": true, "pillarbox-backup-../../x.pbx": false, "../pillarbox-backup-x.pbx": false, "holiday.jpg": false, "": false,
	} {
		if isBackup(name) != want {
			t.Errorf("%q is a backup: %v", name, !want)
		}
	}
	if got := stampOf("pillarbox-backup-mail-20260304-102030.pbx"); got != "20260304-102030" {
		t.Errorf("the time is %q", got)
	}
}

func TestRestoreNeedsTheName(t *testing.T) {
	m, _ := newTest(t)
	file := boxapi.StickFile{Stick: "sdb", Name: "pillarbox-backup-mail-20260304-102030.pbx"}
	var we *wire.Error
	if err := m.RestoreFromStick(t.Context(), boxapi.RestoreRequest{Hostname: "mail.example.org", File: file}); !errors.As(err, &we) || we.Field != "hostname" {
		t.Errorf("another box's name: %v", err)
	}
	if err := m.RestoreFromStick(t.Context(), boxapi.RestoreRequest{Hostname: "pillarbox", File: boxapi.StickFile{Name: "../x"}}); !errors.As(err, &we) || we.Code != wire.CodeNotFound {
		t.Errorf("another file: %v", err)
	}
}

func TestFactoryReset(t *testing.T) {
	m, root := newTest(t)
	var we *wire.Error
	if err := m.FactoryReset(t.Context(), boxapi.ResetRequest{Hostname: "mail.example.org"}); !errors.As(err, &we) || we.Field != "hostname" {
		t.Errorf("another box's name: %v", err)
	}
	if reset.Asked(filepath.Join(root, "state")) {
		t.Fatal("a refused reset is asked for")
	}
	if err := m.FactoryReset(t.Context(), boxapi.ResetRequest{Hostname: "Pillarbox"}); err != nil {
		t.Fatal(err)
	}
	if stopped := m.cfg.Init.(*fakeInit).stopped; !reset.Asked(filepath.Join(root, "state")) || len(stopped) != 1 || stopped[0] != "restart factory reset" {
		t.Errorf("asked: %v", stopped)
	}
}

const provisioning = "[box]\nhostname = \"mail.example.org\"\nlanguage = \"de\"\nkeyboard = \"ch\"\nadmin_password = \"admin's own words\"\n[network]\nmode = \"static\"\naddress = \"192.0.2.9/24\"\n"

func TestProvisioning(t *testing.T) {
	m, root := newTest(t)
	write(t, root, "esp/pillarbox.toml", provisioning)
	m.Start(t.Context())
	if s := m.Current(); s.Hostname != "mail.example.org" || s.Language != "de" || s.Keyboard != "ch" || s.Network.Address != "192.0.2.9/24" {
		t.Errorf("the machine's part: %+v", s)
	}
	if got := read(t, root, "state/maild/provision.toml"); got != provisioning {
		t.Errorf("maild gets %q", got)
	}
	if s, err := m.Status(t.Context()); err != nil || s.Provision.State != boxapi.ProvisionPending {
		t.Errorf("while maild works on it: %+v, %v", s.Provision, err)
	}
	// A power cut before maild is done: all of it again.
	m = reopen(t, root)
	m.Start(t.Context())
	if err := os.Remove(filepath.Join(root, "state/maild/provision.toml")); err != nil {
		t.Fatal(err)
	}
	m.watchProvision(t.Context())
	if s, err := m.Status(t.Context()); err != nil || s.Provision.State != boxapi.ProvisionApplied {
		t.Errorf("when maild is done: %+v, %v", s.Provision, err)
	}
	if _, err := os.Stat(filepath.Join(root, "esp/pillarbox.toml")); err == nil {
		t.Error("the file with its passwords is still on the boot volume")
	}
	if note := read(t, root, "esp/pillarbox.applied"); !strings.Contains(note, "was applied") || strings.Contains(note, "admin's") {
		t.Errorf("note: %s", note)
	}
	// The same file once more, as on a stick that was left in, changes nothing.
	if _, err := m.SetSettings(t.Context(), boxapi.Settings{Hostname: "other.example.org"}); err != nil {
		t.Fatal(err)
	}
	write(t, root, "esp/pillarbox.toml", provisioning)
	m = reopen(t, root)
	m.Start(t.Context())
	if s := m.Current(); s.Hostname != "other.example.org" {
		t.Errorf("an old file was applied again: %+v", s)
	}
}

func TestInvalidProvisioning(t *testing.T) {
	m, root := newTest(t)
	write(t, root, "esp/pillarbox.toml", "[box]\nhostname = \"mail.example.org\"\nnonsense = 1\n")
	m.Start(t.Context())
	s, err := m.Status(t.Context())
	if err != nil || s.Provision.State != boxapi.ProvisionInvalid || !strings.Contains(s.Provision.Error, "line 3") {
		t.Errorf("%+v, %v", s.Provision, err)
	}
	if s.Hostname != "pillarbox" {
		t.Error("a part of an invalid file was applied")
	}
	if _, err := os.Stat(filepath.Join(root, "state/maild/provision.toml")); err == nil {
		t.Error("maild got an invalid file")
	}
}

func TestDamagedSettingsDoNotStopTheBox(t *testing.T) {
	_, root := newTest(t)
	write(t, root, "state/box.json", "{ not json")
	if got := reopen(t, root).Current(); got.Hostname != "" {
		t.Errorf("%+v", got)
	}
}

// fakeNetwork remembers what it was set to.
type fakeNetwork struct {
	Network
	set chan string
}

func (f *fakeNetwork) Set(n boxapi.Network) { f.set <- n.Address }

func TestNetworkIsTriedBeforeItIsKept(t *testing.T) {
	m, root := newTest(t)
	m.cfg.TryFor = time.Hour
	n := &fakeNetwork{set: make(chan string, 10)}
	m.network = n
	fixed := func(address string) boxapi.Network {
		return boxapi.Network{Mode: boxapi.ModeStatic, Address: address}
	}
	var we *wire.Error
	if err := m.TryNetwork(t.Context(), fixed("nonsense")); !errors.As(err, &we) {
		t.Errorf("a wrong address: %v", err)
	}
	if err := m.KeepNetwork(t.Context()); !errors.As(err, &we) || we.Code != wire.CodeConflict {
		t.Errorf("nothing to keep: %v", err)
	}
	if err := m.TryNetwork(t.Context(), fixed("192.0.2.1/24")); err != nil || <-n.set != "192.0.2.1/24" {
		t.Fatal(err)
	}
	if got := reopen(t, root).Current(); got.Network.Address != "" {
		t.Error("a power cut would leave the box with a network nobody has kept")
	}
	if err := m.KeepNetwork(t.Context()); err != nil || <-n.set != "192.0.2.1/24" {
		t.Fatal(err)
	}
	if got := reopen(t, root).Current(); got.Network.Address != "192.0.2.1/24" {
		t.Errorf("not kept: %+v", got)
	}
	if err := m.TryNetwork(t.Context(), fixed("192.0.2.3/24")); err != nil || <-n.set != "192.0.2.3/24" {
		t.Fatal(err)
	}
	m.cfg.State = filepath.Join(root, "full") // nothing can be kept there
	if err := m.KeepNetwork(t.Context()); err == nil {
		t.Fatal("kept where nothing can be kept")
	}
	if got := <-n.set; got != "192.0.2.1/24" {
		t.Errorf("a network that cannot be kept stays in force: %s", got)
	}
	m.cfg.State = filepath.Join(root, "state")
	m.cfg.TryFor = time.Millisecond
	if err := m.TryNetwork(t.Context(), fixed("192.0.2.2/24")); err != nil || <-n.set != "192.0.2.2/24" {
		t.Fatal(err)
	}
	if got := <-n.set; got != "192.0.2.1/24" {
		t.Errorf("when the time is over the network is %s", got)
	}
	if err := m.KeepNetwork(t.Context()); !errors.As(err, &we) {
		t.Errorf("kept too late: %v", err)
	}
}
