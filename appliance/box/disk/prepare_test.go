package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/image/gpt"
)

var errCut = errors.New("power cut")

// cutDisk loses power at a write; what was written before is there.
type cutDisk struct {
	*os.File
	left int
}

func (c *cutDisk) WriteAt(p []byte, at int64) (int, error) {
	if c.left--; c.left < 0 {
		return 0, errCut
	}
	return c.File.WriteAt(p, at)
}

// mailSeed is a file system of 4 MiB by its superblock, whose third MiB is zeros.
func mailSeed() []byte {
	seed := bytes.Repeat([]byte{7}, 4*mib)
	copy(seed, super(nil))
	clear(seed[2*mib : 3*mib])
	return seed
}

func TestPrepare(t *testing.T) {
	for _, block := range []int{512, 4096} {
		f, d := diskImage(t, 64*mib, 64*mib, block)
		if _, err := f.WriteAt(bytes.Repeat([]byte("old"), 8*mib), mib); err != nil {
			t.Fatal(err)
		}
		guid, err := prepare(f, d, bytes.NewReader(mailSeed()))
		if err != nil {
			t.Fatal(err)
		}
		table, err := gpt.Read(f, d.Size)
		if err != nil || len(table.Partitions) != 1 {
			t.Fatalf("blocks of %d: %+v, %v", block, table, err)
		}
		p := table.Partitions[0]
		if !strings.EqualFold(p.ID.String(), guid) || p.Name != LabelData || table.BlockSize != block {
			t.Errorf("blocks of %d: partition %+v, GUID %s", block, p, guid)
		}
		if end := int64(p.Last+1) * int64(block); end != 63*mib {
			t.Errorf("blocks of %d: the partition ends at %d", block, end)
		}
		got := make([]byte, 4*mib)
		if _, err := f.ReadAt(got, int64(p.First)*int64(block)); err != nil || !bytes.Equal(got, mailSeed()) {
			t.Errorf("blocks of %d: the file system is not as it should be, zeros included: %v", block, err)
		}
		again, err := prepare(f, d, bytes.NewReader(mailSeed()))
		if err != nil || again == guid {
			t.Errorf("made a second time: %s, %v", again, err)
		}
	}
}

// A power cut at any write leaves a disk without a partition that counts, old or
// new, or a whole one; and making it again comes to the same.
func TestPowerCutWhilePreparing(t *testing.T) {
	for cut := 0; ; cut++ {
		f, d := diskImage(t, 64*mib, 64*mib, 512)
		_, err := prepare(&cutDisk{f, cut}, d, bytes.NewReader(mailSeed()))
		if err == nil {
			if cut < 10 {
				t.Errorf("done after %d writes", cut)
			}
			return
		}
		if !errors.Is(err, errCut) {
			t.Fatalf("cut %d: %v", cut, err)
		}
		switch table, err := gpt.Read(f, d.Size); {
		case cut == 0: // as it was
			if err != nil || len(table.Partitions) != 2 {
				t.Errorf("nothing was written, and the table is %+v, %v", table, err)
			}
		case err == nil && cut > 1:
			if s, err := ReadSuper(f2{f, int64(table.Partitions[0].First) * 512}); len(table.Partitions) != 1 || err != nil || s.Label != LabelData {
				t.Errorf("cut %d: a table leads to something else: %+v, %v", cut, table.Partitions, err)
			}
		}
		if _, err := prepare(f, d, bytes.NewReader(mailSeed())); err != nil {
			t.Errorf("cut %d: again: %v", cut, err)
		}
	}
}

// f2 is a file from an offset on.
type f2 struct {
	f  *os.File
	at int64
}

func (s f2) ReadAt(p []byte, off int64) (int, error) { return s.f.ReadAt(p, s.at+off) }

func TestPrepareRefuses(t *testing.T) {
	f, d := diskImage(t, 64*mib, 64*mib, 512)
	if _, err := prepare(f, d, bytes.NewReader(make([]byte, 63*mib))); err == nil {
		t.Error("a file system larger than its partition was written")
	}
	d.Size = 2 * mib
	if _, err := prepare(f, d, bytes.NewReader(nil)); err == nil {
		t.Error("a disk of 2 MiB was taken")
	}
	if _, err := Prepare(t.TempDir(), d, bytes.NewReader(nil)); err == nil {
		t.Error("a disk that is not there was taken")
	}
}

func TestUnfit(t *testing.T) {
	for _, tt := range []struct {
		disk Disk
		want string
	}{
		{Disk{Size: LeastForMail}, ""},
		{Disk{Size: LeastForMail - 1}, boxapi.UnfitSmall},
		{Disk{Size: 1e12, ReadOnly: true}, boxapi.UnfitReadOnly},
		{Disk{Size: 1e12, Removable: true}, boxapi.UnfitRemovable},
		{Disk{Unreadable: true}, boxapi.UnfitUnreadable},
	} {
		if got := tt.disk.Unfit(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.disk, got, tt.want)
		}
	}
}

func TestFileSystem(t *testing.T) {
	at := func(offset int, magic string) []byte {
		b := make([]byte, signatureSpan)
		copy(b[offset:], magic)
		return b
	}
	for _, tt := range []struct {
		head []byte
		want string
	}{
		{make([]byte, signatureSpan), ""},
		{super(nil), "ext4"},
		{at(3, "NTFS    "), "NTFS"},
		{at(0x52, "FAT32   "), "FAT"},
		{at(0x36, "FAT16   "), "FAT"},
		{at(0x10040, "_BHRfS_M"), "btrfs"},
		{at(0, "LUKS\xba\xbe"), "LUKS"},
		{[]byte("XFSB"), "XFS"},
		{[]byte("XF"), ""},
	} {
		if got := fileSystem(tt.head); got != tt.want {
			t.Errorf("%q...: %q, want %q", tt.head[:min(8, len(tt.head))], got, tt.want)
		}
	}
	if !blank(make([]byte, 10)) || blank([]byte{0, 1}) {
		t.Error("blank and written are taken for each other")
	}
}

// Find says what disks and partitions hold.
func TestFind(t *testing.T) {
	sys := tree(t, map[string]string{
		"block/sda/size": "131072\n", "block/sda/sda1/partition": "1\n", "block/sda/sda1/start": "2048\n", "block/sda/sda1/size": "8\n",
		"block/sdb/size": "8\n", "block/sdc/size": "16\n", "block/sdd/size": "16\n",
	})
	dev := tree(t, map[string]string{
		"sda": strings.Repeat("\x00", 64*mib), "sda1": string(super(nil)), "sdb": strings.Repeat("\x00", 4096),
		"sdc": "short: the rest cannot be read", "sdd": "XFSB" + strings.Repeat("\x00", 8188),
	})
	disks, err := NewFinder(sys, dev).Find()
	if err == nil || len(disks) != 4 {
		t.Fatalf("%+v, %v", disks, err)
	}
	if p := disks[0].Partitions[0]; p.FileSystem != "ext4" || p.Volume != LabelData || disks[0].Blank {
		t.Errorf("with a partition: %+v", disks[0])
	}
	if !disks[1].Blank || disks[1].Unreadable {
		t.Errorf("empty: %+v", disks[1])
	}
	if !disks[2].Unreadable || disks[2].Unfit() != boxapi.UnfitUnreadable {
		t.Errorf("cannot be read: %+v", disks[2])
	}
	if disks[3].FileSystem != "XFS" || disks[3].Blank {
		t.Errorf("without partitions: %+v", disks[3])
	}
}

func TestBus(t *testing.T) {
	root := t.TempDir()
	for name, path := range map[string]string{
		"sda":     "devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host2/target2:0:0/2:0:0:0/block/sda",
		"sdb":     "devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sdb",
		"vda":     "devices/pci0000:00/0000:00:03.0/virtio0/block/vda",
		"nvme0n1": "devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1",
		"sdc":     "devices/pci0000:00/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sdc",
	} {
		if err := os.MkdirAll(filepath.Join(root, path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(root, "block"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..", path), filepath.Join(root, "block", name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"sda": "USB", "sdb": "SATA", "vda": "virtio", "nvme0n1": "NVMe", "sdc": "SAS", "gone": ""} {
		if got := bus(filepath.Join(root, "block", name), name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestRecord(t *testing.T) {
	state := t.TempDir()
	if r, err := ReadRecord(state); r != nil || err != nil {
		t.Fatalf("no record: %v, %v", r, err)
	}
	want := Record{Partition: "ab-cd", Model: "ACME SSD", Serial: "S1", Size: 500e9}
	if err := want.Keep(state); err != nil {
		t.Fatal(err)
	}
	if r, err := ReadRecord(state); err != nil || *r != want || r.String() != "ACME SSD, serial number S1, 500.0 GB" {
		t.Errorf("%+v, %v", r, err)
	}
	disks := []Disk{box("sda", "D", false), {Name: "sdb", Partitions: []Partition{{Name: "sdb1", GUID: "AB-CD"}}}}
	if d, p := ByGUID(disks, want.Partition); d == nil || d.Name != "sdb" || p.Name != "sdb1" {
		t.Errorf("found %+v", p)
	}
	if d, _ := ByGUID(disks[:1], want.Partition); d != nil {
		t.Errorf("found on another disk: %+v", d)
	}
	for range 2 {
		if err := RemoveRecord(state); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(state, RecordName), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRecord(state); err == nil {
		t.Error("a record of nothing is no error")
	}
}
