// Package machine is the manager of the machine behind boxd: its name, time
// zone, network, clock, disks and power, and the provisioning file it is set up
// by.
//
// Settings are kept in STATE/box.json, written whole; the file does not exist
// before something was set. A provisioning file is found on the boot volume or
// on a USB stick; its part for the machine is applied here, the file handed to
// maild, and what was applied remembered by its digest in STATE/provisioned, so
// that a stick left in the box changes nothing at the next start.
package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/backupapi"
	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/clock"
	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/box/mdns"
	"pillarbox/appliance/box/netcfg"
	"pillarbox/appliance/box/nettest"
	"pillarbox/appliance/box/nts"
	"pillarbox/appliance/box/reset"
	"pillarbox/appliance/config"
	"pillarbox/appliance/config/atomicfile"
	"pillarbox/appliance/config/boardfile"
)

// Defaults where nothing is set.
const (
	defaultHostname = "pillarbox"
	defaultTimezone = "UTC"
)

// defaultTimeServers are asked where neither settings nor leases name any.
func defaultTimeServers() []string {
	return []string{"0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org", "3.pool.ntp.org"}
}

// Network is what configures the interfaces; netcfg.Manager is one.
type Network interface {
	Run(ctx context.Context)
	Set(settings boxapi.Network)
	Status() ([]boxapi.Interface, []string, error)
}

// Config says where things are.
type Config struct {
	Root      string // "/", another folder for tests
	State     string // the state volume
	Data      string // where the data volume is mounted
	ESP       string // where the boot volume is mounted
	Provision string // where maild looks for its provisioning file
	Owner     int    // uid and gid of maild; -1: nobody's (tests)
	Version   string
	BuildTime time.Time // that no right clock is before; zero: unknown
	Init      initapi.Service
	// Mail and Health are asked for the support bundle; nil: left out.
	Mail   mailapi.Service
	Health healthapi.Service
	// Backup makes and takes backups on sticks; nil: none.
	Backup backupapi.Service
	Log    *slog.Logger
	// Firewall stands before the services; nil: none (tests).
	Firewall Firewall
	// Announce are the services that the local network is told of.
	Announce []mdns.Service
	// TryFor is how long a network is tried; two minutes where 0.
	TryFor time.Duration
}

// Manager is the boxapi.Service.
type Manager struct {
	cfg       Config
	network   Network
	clock     *clock.Follower
	netTimes  func() []string // time servers of leases
	sticks    sync.Mutex      // held while a stick is mounted
	changes   sync.Mutex      // held while settings change, so that those on disk are those in force
	mu        sync.Mutex
	settings  boxapi.Settings
	provision boxapi.Provision
	trial     *trial                // nil: no network is being tried
	late      func(context.Context) // what of a provisioning file waits for the mail service; nil: nothing
	looked    []string              // sticks that were there when provisioning files were looked for
	mount     func(p disk.Partition, dir string) (unmount func() error, err error)
	wall      wall
	ask       func(ctx context.Context, server string, confirmed bool) (time.Duration, error)

	finder *disk.Finder
	disks  struct { // as they were found lately
		sync.Mutex
		list    []disk.Disk
		found   time.Time
		looking chan struct{} // closed when the look that is under way has ended; nil: none is
	}
}

var _ boxapi.Service = (*Manager)(nil)

// New reads the settings. network may be nil in tests.
func New(cfg Config) (*Manager, error) {
	if cfg.TryFor == 0 {
		cfg.TryFor = tryFor
	}
	m := &Manager{cfg: cfg, ask: clock.Ask(&nts.Client{Floor: cfg.BuildTime}), provision: boxapi.Provision{State: boxapi.ProvisionNone}}
	m.mount = m.mountFAT
	m.finder = disk.NewFinder(m.path("sys"), m.path("dev"))
	raw, err := os.ReadFile(m.settingsFile())
	if err == nil {
		err = json.Unmarshal(raw, &m.settings)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// The box comes up by DHCP rather than not at all, and the file stays
		// for somebody to look at.
		cfg.Log.Error("the settings of the machine cannot be read; going on without", "error", err)
		m.settings = boxapi.Settings{}
	}
	return m, nil
}

func (m *Manager) settingsFile() string { return filepath.Join(m.cfg.State, "box.json") }
func (m *Manager) path(parts ...string) string {
	return filepath.Join(append([]string{m.cfg.Root}, parts...)...)
}
func (m *Manager) Current() boxapi.Settings { m.mu.Lock(); defer m.mu.Unlock(); return m.settings }

// Start puts up the firewall, before there is an address to reach the box by, and
// applies the settings and the provisioning file where there is one.
func (m *Manager) Start(ctx context.Context) {
	// Without a firewall services look after themselves: mail goes on, and the
	// status says it.
	_ = m.protect(m.Current().Administration)
	m.looked = m.removable() // before they are looked at: what comes meanwhile is new
	m.provisionFrom(ctx)
	m.putInForce()
}

// Run configures the network, tells it of the box, and follows the clock until ctx
// ends.
func (m *Manager) Run(ctx context.Context) {
	announcer := mdns.New(mdns.Config{Hostname: m.hostname, Services: m.cfg.Announce, Log: m.cfg.Log.With("part", "mdns")})
	n := netcfg.New(netcfg.Config{
		Kernel: netcfg.Linux{Sys: "/sys", Proc: "/proc"},
		DHCP:   func(l netcfg.Link) netcfg.Exchange { return &netcfg.Client{Interface: l.Name, Hostname: m.hostname} },
		DHCP6: func(l netcfg.Link, managed bool) netcfg.Exchange {
			return &netcfg.Client6{Interface: l.Name, Managed: managed}
		},
		Routers:       netcfg.Routers,
		Neighbourhood: netcfg.ARP{},
		SetResolver:   func(r netcfg.Resolver) error { return netcfg.WriteResolvConf(m.path("etc/resolv.conf"), r) },
		Changed:       announcer.Refresh,
		Log:           m.cfg.Log.With("part", "network"),
	}, m.Current().Network)
	f := &clock.Follower{Servers: m.timeServers, Ask: m.ask, Built: m.cfg.BuildTime, Log: m.cfg.Log.With("part", "clock")}
	m.mu.Lock()
	m.network, m.clock = n, f
	m.netTimes = func() []string {
		var list []string
		for _, a := range n.TimeServers() {
			list = append(list, a.String())
		}
		return list
	}
	m.mu.Unlock()
	var all sync.WaitGroup
	all.Go(func() { n.Run(ctx) })
	all.Go(func() { f.Run(ctx) })
	all.Go(func() { m.lateSticks(ctx, m.finish(ctx)) })
	all.Go(func() {
		if err := announcer.Run(ctx); err != nil {
			m.cfg.Log.Warn("the box does not tell its network of itself", "error", err)
		}
	})
	all.Wait()
}

func (m *Manager) hostname() string {
	if h := m.Current().Hostname; h != "" {
		return h
	}
	return defaultHostname
}

// timeServers are those of the settings, else of the leases, else the pool.
func (m *Manager) timeServers() []string {
	m.mu.Lock()
	set, leased := m.settings.NTP, m.netTimes
	m.mu.Unlock()
	if len(set) > 0 {
		return set
	}
	if leased != nil {
		if list := leased(); len(list) > 0 {
			return list
		}
	}
	return defaultTimeServers()
}

// Settings tells what is set.
func (m *Manager) Settings(context.Context) (*boxapi.Settings, error) {
	s := m.Current()
	return &s, nil
}

// SetSettings checks, keeps and applies.
func (m *Manager) SetSettings(_ context.Context, s boxapi.Settings) (*boxapi.Settings, error) {
	s, err := check(s)
	if err != nil {
		return nil, err
	}
	m.changes.Lock()
	defer m.changes.Unlock()
	if err := m.keep(s); err != nil {
		return nil, err
	}
	return &s, m.apply(s)
}

// keep writes the settings and tells the network of a change. changes is held.
func (m *Manager) keep(s boxapi.Settings) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(m.settingsFile(), raw, 0o600); err != nil {
		return fmt.Errorf("keep the settings: %w", err)
	}
	m.mu.Lock()
	before, network := m.settings, m.network
	m.settings = s
	m.mu.Unlock()
	if network != nil && !reflect.DeepEqual(before.Network, s.Network) {
		network.Set(s.Network)
	}
	return nil
}

// check refuses settings that are not right and gives the others in normal form.
func check(s boxapi.Settings) (boxapi.Settings, error) {
	var err error
	value := func(field string, v *string, fn func(string) (string, error)) {
		if *v == "" || err != nil {
			return
		}
		normal, e := fn(*v)
		if e != nil {
			err = wire.Invalid(field, "%v", e)
			return
		}
		*v = normal
	}
	value("hostname", &s.Hostname, config.Hostname)
	value("timezone", &s.Timezone, config.Timezone)
	value("language", &s.Language, config.Language)
	value("keyboard", &s.Keyboard, config.Keyboard)
	if len(s.Administration) > maxAdministration {
		return s, wire.Invalid("administration", "must be %d networks or fewer", maxAdministration)
	}
	for i := range s.Administration {
		if s.Administration[i] == "" {
			return s, wire.Invalid("administration", "must not hold an empty entry")
		}
		value("administration", &s.Administration[i], config.Subnet)
	}
	for i := range s.NTP {
		value("ntp", &s.NTP[i], config.TimeServer)
	}
	if n := proving(s.NTP); n > 0 && n < len(s.NTP) && err == nil {
		return s, wire.Invalid("ntp", "must have %s before each server or before none: one that proves nothing is not asked beside others", config.NTS)
	}
	s.Network.Check(func(field, message string) {
		if err == nil {
			err = wire.Invalid("network."+field, "%s", message)
		}
	})
	return s, err
}

// proving counts the time servers that have to prove their answers.
func proving(servers []string) (n int) {
	for _, s := range servers {
		if strings.HasPrefix(s, config.NTS) {
			n++
		}
	}
	return n
}

// apply makes name and time zone those of the machine, and the firewall let in
// who may manage it.
func (m *Manager) apply(s boxapi.Settings) error {
	name, zone := s.Hostname, s.Timezone
	if name == "" {
		name = defaultHostname
	}
	if zone == "" {
		zone = defaultTimezone
	}
	errs := []error{m.protect(s.Administration)}
	if m.cfg.Root == "/" {
		errs = append(errs, unix.Sethostname([]byte(name)))
	}
	short, _, _ := strings.Cut(name, ".")
	hosts := "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 " + name
	if short != name {
		hosts += " " + short
	}
	errs = append(errs, os.MkdirAll(m.path("etc"), 0o755))
	errs = append(errs, atomicfile.Write(m.path("etc/hosts"), []byte(hosts+"\n"), 0o644))
	link := m.path("etc/localtime")
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	errs = append(errs, os.Symlink("/usr/share/zoneinfo/"+zone, link))
	return errors.Join(errs...)
}

// putInForce applies the settings as they are now.
func (m *Manager) putInForce() {
	m.changes.Lock()
	defer m.changes.Unlock()
	if err := m.apply(m.Current()); err != nil {
		m.cfg.Log.Error("settings could not be applied", "error", err)
	}
}

// Timezones lists the names of the time zone database of the box.
func (m *Manager) Timezones(context.Context) ([]string, error) {
	root := m.path("usr/share/zoneinfo")
	list := []string{defaultTimezone}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || d.IsDir() || name == defaultTimezone {
			return err
		}
		// A zone of a place has a region; the rest are old names and tables.
		region, _, ok := strings.Cut(name, "/")
		if ok && slices.Contains(regions(), region) {
			list = append(list, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("time zones: %w", err)
	}
	slices.Sort(list)
	return list, nil
}

// regions of the time zone database that hold places.
func regions() []string {
	return []string{"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}
}

// TestNetwork tries one thing the box needs of its network.
func (m *Manager) TestNetwork(ctx context.Context, r boxapi.TestRequest) (*boxapi.NetworkTest, error) {
	m.mu.Lock()
	network, follower := m.network, m.clock
	m.mu.Unlock()
	tests := nettest.Linux()
	tests.TimeServers = m.timeServers
	tests.Ask = func(ctx context.Context, server string) (time.Duration, error) {
		return m.ask(ctx, server, follower != nil && follower.State().Proven)
	}
	tests.Interfaces = func() ([]boxapi.Interface, error) {
		if network == nil {
			return nil, nil
		}
		list, _, err := network.Status()
		return list, err
	}
	return tests.Run(ctx, r.Test)
}

// FactoryReset marks the box to be emptied and has it restarted.
func (m *Manager) FactoryReset(ctx context.Context, r boxapi.ResetRequest) error {
	if !strings.EqualFold(r.Hostname, m.hostname()) {
		return wire.Invalid("hostname", "must be the name of this box, %s", m.hostname())
	}
	st, err := m.cfg.Init.Status(ctx)
	if err != nil {
		return err
	}
	if !st.State.Mounted || st.State.ReadOnly {
		return wire.Conflict("the state volume cannot be written: see the problems of the box")
	}
	// It would wait for that disk, with the settings gone already.
	if record, err := disk.ReadRecord(m.cfg.State); err == nil && record != nil && !st.Data.Mounted {
		return wire.Conflict("A factory reset needs the disk that mail is kept on, and it is not there: %s. Connect it first. "+
			"If it is lost for good, write the image anew.", record)
	}
	if err := reset.Ask(m.cfg.State); err != nil {
		return err
	}
	m.cfg.Log.Warn("a factory reset was asked for")
	return m.cfg.Init.Reboot(ctx, initapi.StopRequest{Reason: "factory reset"})
}

// PowerOff hands the wish to init.
func (m *Manager) PowerOff(ctx context.Context, r boxapi.StopRequest) error {
	return m.cfg.Init.PowerOff(ctx, initapi.StopRequest(r))
}

// Reboot hands the wish to init.
func (m *Manager) Reboot(ctx context.Context, r boxapi.StopRequest) error {
	return m.cfg.Init.Reboot(ctx, initapi.StopRequest(r))
}

// Status describes the machine.
func (m *Manager) Status(ctx context.Context) (*boxapi.Status, error) {
	m.mu.Lock()
	s := &boxapi.Status{Version: m.cfg.Version, Timezone: m.settings.Timezone, Language: m.settings.Language, Keyboard: m.settings.Keyboard, Provision: m.provision}
	network, follower, wall := m.network, m.clock, m.wall
	m.mu.Unlock()
	s.Hostname = m.hostname()
	if s.Timezone == "" {
		s.Timezone = defaultTimezone
	}
	m.describe(s)
	st, err := m.cfg.Init.Status(ctx)
	if err != nil {
		st = nil
	}
	s.Disks = m.listDisks(st)
	if st != nil {
		s.BootSeconds = st.BootSeconds
		s.Data = boxapi.Volume{Mounted: st.Data.Mounted, Size: st.Data.Size, Free: st.Data.Free, Grown: st.Data.Grown}
	}
	if wall.err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("the firewall is not as it should be: %v", wall.err))
	}
	s.Interfaces = []boxapi.Interface{}
	if network != nil {
		list, problems, err := network.Status()
		if err != nil {
			problems = append(problems, err.Error())
		}
		s.Interfaces = append(s.Interfaces, list...)
		s.Problems = append(s.Problems, problems...)
	}
	s.Clock.Time = time.Now()
	if follower != nil {
		c := follower.State()
		s.Clock.Synced, s.Clock.Source, s.Clock.Offset, s.Clock.LastOK = c.Synced, c.Source, c.Offset.Seconds(), c.LastOK
		s.Clock.Proven, s.Clock.Stepped = c.Proven, c.Stepped.Seconds()
		if c.Problem != "" {
			s.Problems = append(s.Problems, c.Problem)
		}
	}
	return s, nil
}

// disksHold is how long a list of the disks is good for: reading their partition
// tables for each who looks at the box every few seconds would not let them rest.
const disksHold = 15 * time.Second

// glance is how long who only looks waits for the disks: one that is ill must not
// hold up what else the box says of itself, by which it is judged whether it works.
const glance = time.Second

// findDisks lists the disks as they were lately.
func (m *Manager) findDisks() []disk.Disk {
	m.disks.Lock()
	defer m.disks.Unlock()
	if m.disks.looking == nil && time.Since(m.disks.found) >= disksHold {
		looking := make(chan struct{})
		m.disks.looking = looking
		go func() {
			defer close(looking)
			m.freshDisks()
			m.disks.Lock()
			defer m.disks.Unlock()
			m.disks.looking = nil
		}()
	}
	if looking := m.disks.looking; looking != nil {
		m.disks.Unlock()
		select {
		case <-looking:
		case <-time.After(glance):
		}
		m.disks.Lock()
	}
	if !m.disks.found.IsZero() {
		return m.disks.list
	}
	list, err := disk.Scan(m.path("sys")) // what is on them comes later
	if err != nil {
		m.cfg.Log.Debug("disks", "error", err)
	}
	return list
}

// freshDisks lists the disks as they are.
func (m *Manager) freshDisks() []disk.Disk {
	list, err := m.finder.Find()
	if err != nil {
		m.cfg.Log.Debug("disks", "error", err)
	}
	m.disks.Lock()
	defer m.disks.Unlock()
	m.disks.list, m.disks.found = list, time.Now()
	return list
}

// describe fills in what the kernel and the firmware say.
func (m *Manager) describe(s *boxapi.Status) {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		s.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		s.Uptime = float64(info.Uptime)
	}
	if f, err := boardfile.Read(m.path(boardfile.Path)); err == nil {
		s.Board = f.Name
	}
	for _, f := range []string{"sys_vendor", "product_name"} {
		if raw, err := os.ReadFile(m.path("sys/class/dmi/id", f)); err == nil {
			s.Machine = strings.TrimSpace(s.Machine + " " + strings.TrimSpace(string(raw)))
		}
	}
}
