package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/backupapi"
	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/wire"
)

// A backup on a stick is a full one, in a file by the box's name and the time.
const (
	backupPrefix = "pillarbox-backup-"
	backupSuffix = ".pbx"
)

// BackupToStick has maild write a full backup to a stick.
func (m *Manager) BackupToStick(ctx context.Context) (*boxapi.StickFile, error) {
	if m.cfg.Backup == nil {
		return nil, wire.Unavailable("the mail service cannot be asked")
	}
	short, _, _ := strings.Cut(m.hostname(), ".")
	name := backupPrefix + short + "-" + time.Now().UTC().Format("20060102-150405") + backupSuffix
	f, err := m.toStick(ctx, name, func(w io.Writer) error { return m.cfg.Backup.Backup(ctx, backupapi.Request{}, w) })
	if errors.Is(err, unix.EFBIG) { // FAT's largest file has 4 GiB
		return nil, wire.Conflict("the mail is more than a stick with a FAT file system takes in one file, 4 GB")
	}
	return f, err
}

// StickBackups lists the backups on all sticks, newest first by their names.
func (m *Manager) StickBackups(ctx context.Context) ([]boxapi.StickFile, error) {
	found := []boxapi.StickFile{}
	err := m.eachStick(ctx, func(stick, dir string) error {
		list, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", stick, err)
		}
		for _, e := range list {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && isBackup(e.Name()) {
				found = append(found, boxapi.StickFile{Stick: stick, Name: e.Name(), Size: info.Size(), Written: info.ModTime()})
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b boxapi.StickFile) int { return strings.Compare(stampOf(b.Name), stampOf(a.Name)) })
	return found, err
}

// isBackup keeps names to those that BackupToStick makes: what is asked for by
// name must not lead out of the stick.
func isBackup(name string) bool {
	return strings.HasPrefix(name, backupPrefix) && strings.HasSuffix(name, backupSuffix) && filepath.Base(name) == name
}

// stampOf is the time in the name of a backup, in order as text.
func stampOf(name string) string {
	name = strings.TrimSuffix(name, backupSuffix)
	return name[max(0, len(name)-len("20060102-150405")):]
}

// RestoreFromStick replaces all mail by that of a backup; r names the file and
// this box.
func (m *Manager) RestoreFromStick(ctx context.Context, r boxapi.RestoreRequest) error {
	if !strings.EqualFold(r.Hostname, m.hostname()) {
		return wire.Invalid("hostname", "must be the name of this box, %s", m.hostname())
	}
	if !isBackup(r.File.Name) || m.cfg.Backup == nil {
		return wire.NotFound("%s is no backup", r.File.Name)
	}
	err := m.eachStick(ctx, func(stick, dir string) error {
		if stick != r.File.Stick {
			return nil
		}
		f, err := os.Open(filepath.Join(dir, r.File.Name))
		if errors.Is(err, os.ErrNotExist) {
			return nil // it may be on another partition
		}
		if err != nil {
			return err
		}
		defer f.Close()
		m.cfg.Log.Warn("all mail is being replaced by a backup", "file", r.File.Name)
		if err := m.cfg.Backup.Restore(ctx, f, true); err != nil {
			return err
		}
		return errEnough
	})
	switch {
	case errors.Is(err, errEnough):
		return nil
	case err == nil:
		return wire.NotFound("%s is not on the stick any more", r.File.Name)
	}
	return err
}
