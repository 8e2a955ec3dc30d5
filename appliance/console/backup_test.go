package console

import (
	"context"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/wire"
)

func (f *fakeBox) BackupToStick(context.Context) (*boxapi.StickFile, error) {
	if f.stick == "" {
		return nil, wire.NotFound("there is no USB stick with a FAT file system in the box")
	}
	f.backups = append(f.backups, boxapi.StickFile{Stick: f.stick, Name: "pillarbox-backup-mail-20260304-102030.pbx", Size: 1234567, Written: time.Date(2026, 3, 4, 10, 20, 30, 0, time.UTC)})
	return &f.backups[0], nil
}

func (f *fakeBox) StickBackups(context.Context) ([]boxapi.StickFile, error) { return f.backups, nil }

func (f *fakeBox) RestoreFromStick(_ context.Context, r boxapi.RestoreRequest) error {
	f.restored = r.Hostname + " " + r.File.Name
	return nil
}

func TestBackupOnTheConsole(t *testing.T) {
	d, _, box := menuDrive(t)
	d.unlock()
	d.choose("Backup to a USB stick")
	d.choose("Make a backup now")
	d.wants("There is no USB stick")
	d.keys("esc")
	d.choose("Restore a backup")
	d.wants("No backup on a stick.")
	d.keys("esc")
	box.stick = "sdb"
	d.choose("Make a backup now")
	d.wants("pillarbox-backup-mail-20260304-102030.pbx (1.2 MB) is on the stick")
	d.keys("esc")
	d.choose("Restore a backup")
	d.choose("2026-03-04 10:20")
	d.keys("no", "enter")
	d.expect("menu-restore")
	if box.restored != "" {
		t.Fatal("restored without the name")
	}
	d.press(2, "backspace")
	d.keys("mail.example.org", "enter", "enter")
	d.wants("The backup was restored.")
	if box.restored != "mail.example.org pillarbox-backup-mail-20260304-102030.pbx" {
		t.Errorf("restored %q", box.restored)
	}
}
