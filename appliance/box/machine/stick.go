package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/box/support"
)

// errEnough ends a walk over the sticks.
var errEnough = errors.New("enough")

// stickDir is where sticks are mounted, one at a time, from the root.
const stickDir = "run/stick"

// mountFAT mounts a FAT file system read-only at dir; other kinds are an error.
func (m *Manager) mountFAT(p disk.Partition, dir string) (unmount func() error, err error) {
	mounted, err := disk.MountESP(m.path("dev"), p, dir)
	if err != nil {
		return nil, err
	}
	return mounted.Unmount, nil
}

// eachStick calls fn with each FAT file system on a removable disk, mounted
// read-only at dir, up to an error. The disk that the box itself runs from may
// be removable; it is no stick. Names are those of the disks.
func (m *Manager) eachStick(ctx context.Context, fn func(name, dir string) error) error {
	m.sticks.Lock()
	defer m.sticks.Unlock()
	disks := m.freshDisks()
	st, err := m.cfg.Init.Status(ctx)
	if err != nil {
		st = nil
	}
	own := systemDisk(st, disks)
	dir := m.path(stickDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range disks {
		if !d.Removable || d.Name == own {
			continue
		}
		parts := d.Partitions
		if len(parts) == 0 { // formatted as a whole
			parts = []disk.Partition{{Name: d.Name, Disk: d.Name, Size: d.Size}}
		}
		for _, p := range parts {
			unmount, err := m.mount(p, dir)
			if err != nil {
				continue // another file system
			}
			err = fn(d.Name, dir)
			if uerr := unmount(); uerr != nil {
				m.cfg.Log.Warn("a stick stays in use", "error", uerr)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// toStick has write make a file on the first stick that can be written to.
func (m *Manager) toStick(ctx context.Context, name string, write func(io.Writer) error) (*boxapi.StickFile, error) {
	out := &boxapi.StickFile{Name: name}
	var refused error
	err := m.eachStick(ctx, func(stick, dir string) error {
		err := disk.Writable(dir, func() error {
			size, err := writeFile(filepath.Join(dir, name), write)
			out.Stick, out.Size = stick, size
			return err
		})
		if err != nil {
			refused = fmt.Errorf("%s: %w", stick, err)
			return nil // write-protected, or full: maybe there is another
		}
		return errEnough
	})
	switch {
	case errors.Is(err, errEnough):
		return out, nil
	case err == nil && refused == nil:
		return nil, wire.NotFound("there is no USB stick with a FAT file system in the box")
	}
	return nil, cmp.Or(err, refused)
}

// writeFile makes a file that is not there yet, whole or not at all.
func writeFile(path string, write func(io.Writer) error) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := write(f); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	return f.Seek(0, io.SeekCurrent)
}

// SupportBundle writes what the box says about itself.
func (m *Manager) SupportBundle(ctx context.Context, r boxapi.SupportRequest, w io.Writer) error {
	return m.bundle(r, time.Now()).Write(ctx, m.hostname(), w)
}

// SupportToStick writes the same to a USB stick.
func (m *Manager) SupportToStick(ctx context.Context, r boxapi.SupportRequest) (*boxapi.StickFile, error) {
	now := time.Now()
	return m.toStick(ctx, support.Name(m.hostname(), now), func(w io.Writer) error {
		return m.bundle(r, now).Write(ctx, m.hostname(), w)
	})
}

func (m *Manager) bundle(r boxapi.SupportRequest, now time.Time) support.Bundle {
	return support.Bundle{
		Root: m.cfg.Root, Logs: filepath.Join(m.cfg.State, "log"), Crash: filepath.Join(m.cfg.State, healthapi.CrashFolder), Now: now, Message: r.Message,
		Init: m.cfg.Init, Box: m, Mail: m.cfg.Mail, Health: m.cfg.Health,
	}
}
