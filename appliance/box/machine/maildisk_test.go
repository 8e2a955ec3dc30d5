package machine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/box/reset"
	"pillarbox/image/gpt"
)

// diskInit runs the box from sda and moves its data volume.
type diskInit struct {
	fakeInit
	mu        sync.Mutex
	data      string // disk of the data volume
	used      []string
	restarted []string
	fails     error
	stateGone bool
	dataGone  bool
}

func (f *diskInit) Status(context.Context) (*initapi.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &initapi.Status{State: initapi.Volume{Mounted: !f.stateGone, Disk: "sda"}, Data: initapi.Volume{Mounted: !f.dataGone, Disk: f.data}}, nil
}

func (f *diskInit) UseDisk(_ context.Context, r initapi.UseDiskRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil {
		return f.fails
	}
	f.used = append(f.used, r.Partition)
	if f.data = "sdb"; r.Partition == "" {
		f.data = "sda"
	}
	return nil
}

func (f *diskInit) Restart(_ context.Context, service string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restarted = append(f.restarted, service)
	return nil
}

type diskMail struct {
	mailapi.Service
	setUp  bool
	silent error
}

func (f *diskMail) Status(context.Context) (*mailapi.Status, error) {
	return &mailapi.Status{SetupDone: f.setUp}, f.silent
}

const mailDiskSize = 2 << 30

// newDiskTest is a box with the system disk sda, and with sdb, sdc and sdd, of which
// sdb alone suits.
func newDiskTest(t *testing.T) (*Manager, string, *diskInit, *diskMail) {
	t.Helper()
	m, root := newTest(t)
	i, mail := &diskInit{data: "sda"}, &diskMail{}
	m.cfg.Init, m.cfg.Mail = i, mail
	for _, d := range []struct{ name, size, model, serial, removable string }{
		{"sda", "8192", "ACME Stick", "A1", "1"}, {"sdb", "4194304", "ACME SSD", "B1", "0"}, {"sdc", "16384", "ACME SSD", "C1", "0"}, {"sdd", "4194304", "Other", "B2", "1"},
	} {
		dir := filepath.Join("sys/block", d.name, "device")
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, root, "sys/block/"+d.name+"/size", d.size)
		write(t, root, "sys/block/"+d.name+"/removable", d.removable)
		write(t, root, dir+"/model", d.model)
		write(t, root, dir+"/serial", d.serial)
		f, err := os.Create(filepath.Join(root, "dev", d.name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(mailDiskSize), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "data/lost+found"), 0o755); err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	seed := enc.EncodeAll(bytes.Repeat([]byte("seed"), 1<<18), nil)
	if err := os.MkdirAll(filepath.Dir(filepath.Join(root, disk.SeedPath)), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, root, disk.SeedPath, string(seed))
	return m, root, i, mail
}

// tableOf reads the table of a disk; nil where there is none.
func tableOf(t *testing.T, root, name string) *gpt.Table {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "dev", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := gpt.Read(f, mailDiskSize)
	if err != nil {
		return nil
	}
	return table
}

func TestUseDisk(t *testing.T) {
	m, root, i, mail := newDiskTest(t)
	sdb := boxapi.UseDiskRequest{Name: "sdb", Serial: "B1", Size: mailDiskSize}
	var we *wire.Error
	for _, tt := range []struct {
		r    boxapi.UseDiskRequest
		want string
	}{
		{boxapi.UseDiskRequest{Name: "sdz"}, "The disk sdz is not there any more."},
		{boxapi.UseDiskRequest{Name: "sdb", Serial: "another", Size: mailDiskSize}, "The disk sdb is not there any more."},
		{boxapi.UseDiskRequest{Name: "sdc", Serial: "C1", Size: 8 << 20}, "The disk sdc is too small: it has 8.4 MB, mail needs 2.0 GB or more."},
		{boxapi.UseDiskRequest{Name: "sdd", Serial: "B2", Size: mailDiskSize}, "The disk sdd is made to be pulled out: no place to keep mail."},
	} {
		if err := m.UseDisk(t.Context(), tt.r); !errors.As(err, &we) || we.Field != "disk" || we.Message != tt.want {
			t.Errorf("%+v: %v, want %s", tt.r, err, tt.want)
		}
	}
	mail.setUp = true
	if err := m.UseDisk(t.Context(), sdb); !errors.As(err, &we) || we.Code != wire.CodeConflict {
		t.Errorf("a box that is set up: %v", err)
	}
	mail.setUp, mail.silent = false, errors.New("no answer")
	if err := m.UseDisk(t.Context(), sdb); err == nil {
		t.Error("used without knowing whether the box is set up")
	}
	mail.silent, i.stateGone = nil, true
	if err := m.UseDisk(t.Context(), sdb); !errors.As(err, &we) || we.Code != wire.CodeConflict {
		t.Errorf("a box that could not remember the disk: %v", err)
	}
	i.stateGone = false
	if len(i.used) > 0 || tableOf(t, root, "sdb") != nil {
		t.Fatal("a disk was written to for nothing")
	}
	if err := m.UseDisk(t.Context(), sdb); err != nil {
		t.Fatal(err)
	}
	table := tableOf(t, root, "sdb")
	if table == nil || len(table.Partitions) != 1 || len(i.used) != 1 || !strings.EqualFold(table.Partitions[0].ID.String(), i.used[0]) {
		t.Fatalf("the table is %+v, init uses %v", table, i.used)
	}
	// The same answers again, as after a refused one: nothing is overwritten.
	if err := m.UseDisk(t.Context(), sdb); err != nil || len(i.used) != 1 || tableOf(t, root, "sdb").ID != table.ID {
		t.Errorf("a second time: %v, %v", err, i.used)
	}
	if s, err := m.Status(t.Context()); err != nil || s.Disks[0].Role != boxapi.RoleSystem || s.Disks[1].Role != boxapi.RoleMail || s.Disks[3].Role != boxapi.RoleOther || s.Disks[2].Unfit != boxapi.UnfitSmall {
		t.Errorf("%+v, %v", s.Disks, err)
	}
	if err := m.UseDisk(t.Context(), boxapi.UseDiskRequest{Name: "sda", Serial: "A1", Size: 4 << 20}); err != nil || i.data != "sda" || i.used[1] != "" {
		t.Errorf("back to the system disk: %v, %v", err, i.used)
	}
}

// A disk that is lost to the move is one that can be made again.
func TestUseDiskThatFailsMidway(t *testing.T) {
	m, _, i, _ := newDiskTest(t)
	i.fails = errors.New("power cut")
	sdb := boxapi.UseDiskRequest{Name: "sdb", Serial: "B1", Size: mailDiskSize}
	if err := m.UseDisk(t.Context(), sdb); !errors.Is(err, i.fails) {
		t.Fatal(err)
	}
	i.fails = nil
	if err := m.UseDisk(t.Context(), sdb); err != nil || i.data != "sdb" {
		t.Errorf("again: %v, mail on %s", err, i.data)
	}
}

func TestProvisionedDisk(t *testing.T) {
	for _, tt := range []struct {
		disk, err string
	}{
		{"B1", ""}, {"/dev/sdb", ""}, {"sdb", ""},
		{"acme ssd", `line 3: box.data_disk "acme ssd" is more than one disk of this machine; there is sda (ACME Stick, serial number A1, 4.2 MB), sdb (ACME SSD, `},
		{"nonsense", `line 3: box.data_disk "nonsense" is no disk of this machine; there is sda (`},
		{"sdc", "line 3: box.data_disk The disk sdc is too small"},
	} {
		m, root, i, _ := newDiskTest(t)
		write(t, root, "esp/pillarbox.toml", "[box]\nhostname = \"mail.example.org\"\ndata_disk = \""+tt.disk+"\"\n")
		m.Start(t.Context())
		s, err := m.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if tt.err != "" {
			if s.Provision.State != boxapi.ProvisionInvalid || !strings.Contains(s.Provision.Error, tt.err) || s.Hostname != "pillarbox" || len(i.used) > 0 {
				t.Errorf("%s: %+v, %v", tt.disk, s.Provision, i.used)
			}
			continue
		}
		if s.Provision.State != boxapi.ProvisionPending || i.data != "sdb" || s.Hostname != "mail.example.org" || !strings.Contains(read(t, root, "state/maild/provision.toml"), "data_disk") {
			t.Errorf("%s: %+v, mail on %s", tt.disk, s.Provision, i.data)
		}
		// A power cut before maild was done: the disk is not made a second time.
		again := reopen(t, root)
		again.cfg.Init = i
		again.Start(t.Context())
		if s, err := again.Status(t.Context()); err != nil || s.Provision.State != boxapi.ProvisionPending || len(i.used) != 1 {
			t.Errorf("%s, started again: %+v, %v, %v", tt.disk, s.Provision, err, i.used)
		}
	}
}

// The folder of a data volume that is missing is empty, and says nothing of mail.
func TestProvisionedDiskWithoutDataVolume(t *testing.T) {
	m, root, i, _ := newDiskTest(t)
	i.data, i.dataGone = "", true
	write(t, root, "esp/pillarbox.toml", "[box]\nhostname = \"mail.example.org\"\ndata_disk = \"B1\"\n")
	m.Start(t.Context())
	if m.late == nil || len(i.used) > 0 || tableOf(t, root, "sdb") != nil {
		t.Errorf("the disk was made anew while the one for mail was missing: %v", i.used)
	}
}

// On a box that was started before, maild is asked whether it is set up.
func TestProvisionedDiskLater(t *testing.T) {
	for _, setUp := range []bool{false, true} {
		m, root, i, mail := newDiskTest(t)
		if err := os.MkdirAll(filepath.Join(root, "data/store"), 0o755); err != nil {
			t.Fatal(err)
		}
		mail.silent, mail.setUp = errors.New("starting"), setUp
		write(t, root, "esp/pillarbox.toml", "[box]\nhostname = \"mail.example.org\"\ndata_disk = \"B1\"\n")
		m.Start(t.Context())
		if m.late == nil || len(i.used) > 0 {
			t.Fatalf("the disk was changed before it was asked for: %v", i.used)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		m.late(ctx)
		cancel()
		if len(i.used) > 0 {
			t.Fatal("the disk was changed without an answer")
		}
		changed := m.Current() // by somebody at the console, meanwhile
		changed.Timezone = "Europe/Berlin"
		if _, err := m.SetSettings(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		mail.silent = nil
		m.late(t.Context())
		s, err := m.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if setUp {
			if s.Provision.State != boxapi.ProvisionInvalid || !strings.Contains(s.Provision.Error, "line 3: box.data_disk the box is set up") || len(i.used) > 0 {
				t.Errorf("a box that is set up: %+v, %v", s.Provision, i.used)
			}
			continue
		}
		if i.data != "sdb" || len(i.restarted) != 1 || !strings.Contains(read(t, root, "state/maild/provision.toml"), "B1") {
			t.Errorf("%+v, mail on %s, restarted %v", s.Provision, i.data, i.restarted)
		}
		if s.Hostname != "mail.example.org" || s.Timezone != "Europe/Berlin" || !strings.Contains(read(t, root, "etc/hosts"), "mail.example.org") {
			t.Errorf("%s in %s, hosts %q", s.Hostname, s.Timezone, read(t, root, "etc/hosts"))
		}
	}
}

func TestHolds(t *testing.T) {
	part := func(volume, fs string) disk.Partition { return disk.Partition{Volume: volume, FileSystem: fs} }
	for _, tt := range []struct {
		disk  disk.Disk
		want  string
		kinds string
	}{
		{disk.Disk{Blank: true}, boxapi.HoldsNothing, ""},
		{disk.Disk{}, boxapi.HoldsUnknown, ""},
		{disk.Disk{FileSystem: "XFS"}, boxapi.HoldsFileSystem, "XFS"},
		{disk.Disk{Partitions: []disk.Partition{part("", "NTFS"), part("", ""), part("x", "ext4"), part("", "NTFS")}}, boxapi.HoldsPartitions, "NTFS ext4"},
		{disk.Disk{Partitions: []disk.Partition{part(disk.LabelData, "ext4")}}, boxapi.HoldsMail, "ext4"},
		{disk.Disk{Partitions: []disk.Partition{part(disk.LabelState, "ext4"), part(disk.LabelData, "ext4")}}, boxapi.HoldsPillarbox, "ext4"},
	} {
		if got, kinds := holds(&tt.disk), strings.Join(fileSystems(&tt.disk), " "); got != tt.want || kinds != tt.kinds {
			t.Errorf("%+v: %q and %q, want %q and %q", tt.disk, got, kinds, tt.want, tt.kinds)
		}
	}
}

// A disk that does not answer, whichever it is, does not hold up what the box says
// of itself: by that the watchdog judges whether it works.
func TestStatusWithADiskThatHangs(t *testing.T) {
	m, root, _, _ := newDiskTest(t)
	ill := filepath.Join(root, "dev/sdd")
	if err := errors.Join(os.Remove(ill), unix.Mkfifo(ill, 0o600)); err != nil { // who opens it waits
		t.Fatal(err)
	}
	s, err := m.Status(t.Context())
	if err != nil || len(s.Disks) != 4 || s.Disks[0].Role != boxapi.RoleSystem {
		t.Errorf("%+v, %v", s, err)
	}
	w, err := os.OpenFile(ill, os.O_WRONLY, 0) // lets the look end
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
}

// A factory reset is not begun that would wait for a disk that may never come back.
func TestFactoryResetWithoutTheMailDisk(t *testing.T) {
	m, root, i, _ := newDiskTest(t)
	record := &disk.Record{Partition: "p", Model: "ACME SSD", Serial: "B1", Size: mailDiskSize}
	if err := record.Keep(filepath.Join(root, "state")); err != nil {
		t.Fatal(err)
	}
	i.dataGone = true
	err := m.FactoryReset(t.Context(), boxapi.ResetRequest{Hostname: "pillarbox"})
	const want = "A factory reset needs the disk that mail is kept on, and it is not there: ACME SSD, serial number B1, 2.1 GB. " +
		"Connect it first. If it is lost for good, write the image anew."
	if err == nil || err.Error() != want || reset.Asked(filepath.Join(root, "state")) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	i.dataGone = false
	if err := m.FactoryReset(t.Context(), boxapi.ResetRequest{Hostname: "pillarbox"}); err != nil || !reset.Asked(filepath.Join(root, "state")) {
		t.Errorf("with the disk: %v", err)
	}
}
