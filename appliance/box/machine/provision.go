package machine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/config"
	"pillarbox/appliance/config/atomicfile"
)

const (
	// provisionName is the file people write; appliedName takes its place on
	// the boot volume, without secrets.
	provisionName = "pillarbox.toml"
	appliedName   = "pillarbox.applied"

	// maxProvision bounds the file; one with thousands of users is a megabyte.
	maxProvision = 16 << 20

	// watchEvery is how often maild's copy is looked for.
	watchEvery = 500 * time.Millisecond
)

// provisionFrom looks for a provisioning file and applies it: the machine's
// part here, the rest by handing the file to maild.
func (m *Manager) provisionFrom(ctx context.Context) {
	found := false
	err := m.eachSource(ctx, func(source string, raw []byte) error {
		found = true
		return m.take(ctx, source, raw)
	})
	switch {
	case err != nil:
		m.cfg.Log.Error("the provisioning file is not applied", "error", err)
		m.setProvision(boxapi.Provision{State: boxapi.ProvisionInvalid, Source: m.source(), Error: err.Error()})
	case !found:
		return
	}
}

func (m *Manager) source() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.provision.Source
}

func (m *Manager) setProvision(p boxapi.Provision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.provision = p
}

// eachSource calls fn with each provisioning file there is, up to an error.
func (m *Manager) eachSource(ctx context.Context, fn func(source string, raw []byte) error) error {
	try := func(source, dir string) error {
		path := filepath.Join(dir, provisionName)
		st, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s on %s: %w", provisionName, source, err)
		}
		if st.Size() > maxProvision {
			return fmt.Errorf("%s on %s has %d octets: larger than any provisioning file", provisionName, source, st.Size())
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s on %s: %w", provisionName, source, err)
		}
		return fn(source, raw)
	}
	if err := try("the boot volume", m.cfg.ESP); err != nil {
		return err
	}
	return m.eachStick(ctx, func(name, dir string) error { return try("the stick "+name, dir) })
}

// take applies one file, unless it was applied before.
func (m *Manager) take(ctx context.Context, source string, raw []byte) error {
	sum := sha256.Sum256(raw)
	digest := hex.EncodeToString(sum[:])
	seen, err := os.ReadFile(m.appliedFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if strings.Contains(string(seen), digest) {
		m.setProvision(boxapi.Provision{State: boxapi.ProvisionApplied, Source: source})
		return nil
	}
	m.setProvision(boxapi.Provision{State: boxapi.ProvisionPending, Source: source})
	p, err := config.ParseProvision(raw)
	if err != nil {
		return fmt.Errorf("%s on %s: %w", provisionName, source, err)
	}
	var mailDisk *disk.Disk
	if p.Box.DataDisk != "" {
		if mailDisk, err = m.provisionedDisk(ctx, &p.Box); err != nil {
			return fmt.Errorf("%s on %s: %w", provisionName, source, err)
		}
	}
	if _, err = provisioned(m.Current(), p); err != nil {
		return fmt.Errorf("%s on %s: %w", provisionName, source, err)
	}
	handOver := func() error { return m.handOver(p, source, raw, digest) }
	if mailDisk == nil {
		return handOver()
	}
	if !m.noStore(ctx) {
		m.late = func(ctx context.Context) { m.diskLater(ctx, source, &p.Box, mailDisk, handOver) }
		return nil
	}
	if err := m.useDisk(ctx, *mailDisk); err != nil {
		return fmt.Errorf("%s on %s: %w", provisionName, source, onLine(&p.Box, err))
	}
	return handOver()
}

// provisioned are the settings s with what a provisioning file changes of them.
func provisioned(s boxapi.Settings, p *config.Provision) (boxapi.Settings, error) {
	s.Hostname, s.Timezone = cmp.Or(p.Box.Hostname, s.Hostname), cmp.Or(p.Box.Timezone, s.Timezone)
	s.Language, s.Keyboard = cmp.Or(p.Box.Language, s.Language), cmp.Or(p.Box.Keyboard, s.Keyboard)
	if n := p.Network.Network; n.Given() {
		s.Network = n
	}
	if len(p.Box.Administration) > 0 {
		s.Administration = p.Box.Administration
	}
	if len(p.Network.NTP) > 0 {
		s.NTP = p.Network.NTP
	}
	return check(s)
}

// keepProvisioned changes the settings, as they are now, by a provisioning file.
func (m *Manager) keepProvisioned(p *config.Provision) error {
	m.changes.Lock()
	defer m.changes.Unlock()
	s, err := provisioned(m.Current(), p)
	if err != nil {
		return err
	}
	return m.keep(s)
}

// handOver keeps the settings of a file and leaves the rest of it to maild.
func (m *Manager) handOver(p *config.Provision, source string, raw []byte, digest string) error {
	if err := m.keepProvisioned(p); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(m.cfg.Provision), 0o700); err != nil {
		return err
	}
	var options []atomicfile.Option
	if m.cfg.Owner >= 0 {
		options = append(options, atomicfile.Owner(m.cfg.Owner, m.cfg.Owner))
	}
	if err := atomicfile.Write(m.cfg.Provision, raw, 0o600, options...); err != nil {
		return fmt.Errorf("hand the provisioning file to the mail service: %w", err)
	}
	m.cfg.Log.Info("a provisioning file was found", "source", source)
	return atomicfile.Write(m.pendingFile(), []byte(digest+"\n"+source+"\n"), 0o600)
}

func (m *Manager) appliedFile() string { return filepath.Join(m.cfg.State, "provisioned") }
func (m *Manager) pendingFile() string { return filepath.Join(m.cfg.State, "provision-pending") }

// Sticks are looked for as long as it may take a machine to find one that was there
// when it started, while its own disk is there at once: the controller comes up, then
// the stick, then what is on it.
const (
	stickPatience = 30 * time.Second
	stickPoll     = time.Second
)

// finish does what is left of provisioning files that were found, and says so once
// nothing is.
func (m *Manager) finish(ctx context.Context) (done <-chan struct{}) {
	ended := make(chan struct{})
	late := m.late
	m.late = nil
	go func() {
		defer close(ended)
		if late != nil {
			late(ctx)
		}
		m.watchProvision(ctx)
	}()
	return ended
}

// lateSticks takes provisioning files from sticks that appear after those that were
// looked at first, of which done says that all is applied.
func (m *Manager) lateSticks(ctx context.Context, done <-chan struct{}) {
	t := time.NewTicker(stickPoll)
	defer t.Stop()
	known := m.looked
	for begin := time.Now(); time.Since(begin) < stickPatience; {
		select {
		case <-t.C:
		case <-ctx.Done():
			<-done
			return
		}
		now := m.removable()
		fresh := slices.ContainsFunc(now, func(d string) bool { return !slices.Contains(known, d) })
		if known = now; !fresh {
			continue
		}
		<-done
		m.provisionFrom(ctx)
		if _, err := os.Stat(m.pendingFile()); err == nil { // the mail service runs by now
			if err := m.cfg.Init.Restart(ctx, "maild"); err != nil {
				m.cfg.Log.Error("the mail service does not read the provisioning file now", "error", err)
			}
		}
		m.putInForce()
		done = m.finish(ctx)
	}
	<-done
}

// removable lists the removable disks there are, with their partitions, which
// come a moment later.
func (m *Manager) removable() (list []string) {
	disks, err := disk.Scan(m.path("sys"))
	if err != nil {
		return nil
	}
	for _, d := range disks {
		if d.Removable {
			list = append(list, fmt.Sprint(d.Name, " ", d.Size, " ", len(d.Partitions)))
		}
	}
	return list
}

// watchProvision waits for maild to be done with its copy, then remembers the
// file as applied and takes its secrets from the boot volume.
func (m *Manager) watchProvision(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		pending, err := os.ReadFile(m.pendingFile())
		if err != nil {
			return // nothing is pending, or it was seen to
		}
		if _, err := os.Stat(m.cfg.Provision); errors.Is(err, fs.ErrNotExist) {
			if err := m.finishProvision(string(pending)); err != nil {
				m.cfg.Log.Error("the provisioning file was applied and could not be put away", "error", err)
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// finishProvision puts a file away that is applied. It may be done again after
// a power cut.
func (m *Manager) finishProvision(pending string) error {
	digest, source, _ := strings.Cut(strings.TrimSpace(pending), "\n")
	before, err := os.ReadFile(m.appliedFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !strings.Contains(string(before), digest) {
		if err := atomicfile.Write(m.appliedFile(), append(before, (digest+"\n")...), 0o600); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(m.cfg.ESP, provisionName)); err == nil {
		note := fmt.Sprintf("%s was applied on %s and removed, since it held passwords.\r\nPut a new one here to change the box by file.\r\n", provisionName, time.Now().UTC().Format(time.DateTime+" MST"))
		replace := func() error {
			if err := os.WriteFile(filepath.Join(m.cfg.ESP, appliedName), []byte(note), 0o600); err != nil {
				return err
			}
			return os.Remove(filepath.Join(m.cfg.ESP, provisionName))
		}
		if m.cfg.Root == "/" {
			err = disk.Writable(m.cfg.ESP, replace)
		} else {
			err = replace()
		}
		if err != nil {
			return err
		}
	}
	m.setProvision(boxapi.Provision{State: boxapi.ProvisionApplied, Source: source})
	m.cfg.Log.Info("the provisioning file was applied", "source", source)
	return os.Remove(m.pendingFile())
}
