package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// box returns a disk with the volumes that flags name: E, S, D, or s, d for
// partitions whose file system is unreadable.
func box(name, flags string, removable bool) Disk {
	d := Disk{Name: name, Removable: removable}
	for i, f := range flags {
		p := Partition{Name: fmt.Sprint(name, i+1), Disk: name, Number: i + 1, GUID: fmt.Sprint("guid-", name, i+1)}
		switch f {
		case 'E':
			p.Type = typeESP
		case 'S':
			p.Volume = LabelState
		case 'D':
			p.Volume = LabelData
		case 's':
			p.Label = "STATE"
		case 'd':
			p.Label = "PBX-DATA"
		}
		d.Partitions = append(d.Partitions, p)
	}
	return d
}

// twinOf gives the partitions of d the GUIDs that those of the disk name have: both
// were written from one image.
func twinOf(name string, d Disk) Disk {
	for i := range d.Partitions {
		d.Partitions[i].GUID = fmt.Sprint("guid-", name, i+1)
	}
	return d
}

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		name   string
		disks  []Disk
		loader string
		want   string
		notes  string // a part of each note
	}{
		{"one disk", []Disk{box("sda", "-ESD", false)}, "guid-sda2", "sda2 sda3 sda4", ""},
		{"no loader variable", []Disk{box("sda", "---", false), box("sdb", "-ESD", false)}, "", "sdb2 sdb3 sdb4", ""},
		{"nothing", []Disk{box("sda", "E--", false)}, "", "- - -", ""},
		{"no disk", nil, "guid", "- - -", ""},
		{"booted disk wins", []Disk{box("sda", "-ESD", false), box("sdb", "-ESD", true)}, "guid-sdb2", "sdb2 sdb3 sdb4", "There is a Pillarbox on more than one disk: a disk, 0 B (sdb) is used, not a disk, 0 B (sda).\nIt is the one that was started."},
		{"fixed before removable", []Disk{box("sda", "-ESD", true), box("sdb", "-ESD", false)}, "", "sdb2 sdb3 sdb4", "This is a guess: the firmware does not say which was started.\nSwitch the box off"},
		{"more volumes win", []Disk{box("sda", "-ES", false), box("sdb", "-ESD", true)}, "", "sdb2 sdb3 sdb4", "(sdb) is used, not a disk, 0 B (sda)."},
		{"data on another disk", []Disk{box("sda", "-ES", false), box("sdb", "D", false)}, "guid-sda2", "sda2 sda3 sdb1", ""},
		{"booted from a bare stick", []Disk{box("sda", "-ESD", false), box("sdb", "E", true)}, "guid-sdb1", "sdb1 sda3 sda4", ""},
		{"a disk with mail alone is no second system", []Disk{box("sda", "-ESD", false), box("sdb", "D", false)}, "guid-sda2", "sda2 sda3 sda4", ""},
		{"two of one image", []Disk{box("sda", "-ESD", true), twinOf("sda", box("sdb", "-ESD", false))}, "guid-sda2", "sdb2 sdb3 sdb4", "There is a Pillarbox on more than one disk: a disk, 0 B (sdb) is used, not a disk, 0 B (sda).\n" +
			"This is a guess: they were written from one image, or copied, and which was started cannot be told.\n" +
			"Switch the box off and disconnect the one that is not to be used."},
		{"damaged data", []Disk{box("sda", "-ESd", false)}, "guid-sda2", "sda2 sda3 sda4", "sda4 is named PBX-DATA but holds no"},
		{"damaged state", []Disk{box("sda", "-EsD", false)}, "", "sda2 sda3 sda4", "sda3 is named STATE but holds no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, notes := Choose(tt.disks, tt.loader)
			got := ""
			for _, p := range []*Partition{v.ESP, v.State, v.Data} {
				if p == nil {
					got += " -"
				} else {
					got += " " + p.Name
				}
			}
			if got[1:] != tt.want {
				t.Errorf("got%s, want %s", got, tt.want)
			}
			if n := strings.Join(notes, "\n"); !strings.Contains(n, tt.notes) || tt.notes == "" && n != "" {
				t.Errorf("notes: %q", n)
			}
		})
	}
}

// tree writes files of a made-up sysfs.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestScan(t *testing.T) {
	sys := tree(t, map[string]string{
		"block/sda/size":                         "2048\n",
		"block/sda/removable":                    "0\n",
		"block/sda/queue/logical_block_size":     "512\n",
		"block/sda/device/model":                 "Disk of Doom  \n",
		"block/sda/device/vpd_pg80":              "\x00\x80\x00\x08  ABC\x0012",
		"block/sda/sda10/partition":              "10\n",
		"block/sda/sda10/start":                  "64\n",
		"block/sda/sda10/size":                   "8\n",
		"block/sda/sda2/partition":               "2\n",
		"block/sda/sda2/start":                   "32\n",
		"block/sda/sda2/size":                    "16\n",
		"block/nvme0n1/size":                     "16\n",
		"block/nvme0n1/ro":                       "1\n",
		"block/nvme0n1/queue/logical_block_size": "4096\n",
		"block/nvme0n1/device/serial":            "N1\n",
		"block/vda/size":                         "8\n",
		"block/vda/serial":                       "V1",
		"block/vda/removable":                    "1\n",
		"block/loop0/size":                       "8\n",
		"block/sr0/size":                         "8\n",
		"block/sdb/size":                         "0\n",
	})
	disks, err := Scan(sys)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{nvme0n1  N1 8192 4096 false true [] NVMe   false false} {sda Disk of Doom ABC12 1048576 512 false false ` +
		`[{sda2 sda 2 16384 8192     } {sda10 sda 10 32768 4096     }]    false false} {vda virtual disk V1 4096 0 true false []    false false}]`
	if got := fmt.Sprint(disks); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := Scan(t.TempDir()); err == nil {
		t.Error("no sysfs is no error")
	}
}

// super returns a volume with a superblock.
func super(change func(b []byte)) []byte {
	b := make([]byte, 4096)
	le := binary.LittleEndian
	sb := b[superOffset:]
	le.PutUint32(sb[0x04:], 1000)
	le.PutUint32(sb[0x18:], 2)
	le.PutUint16(sb[0x38:], superMagic)
	copy(sb[0x78:], "PBX-DATA\x00junk")
	le.PutUint32(sb[0x150:], 3)
	if change != nil {
		change(sb)
	}
	return b
}

func TestReadSuper(t *testing.T) {
	le := binary.LittleEndian
	for _, tt := range []struct {
		name   string
		volume []byte
		want   Super
		err    error
	}{
		{"small", super(nil), Super{Label: "PBX-DATA", BlockSize: 4096, Blocks: 1000}, nil},
		{"64 bit", super(func(b []byte) { le.PutUint32(b[0x60:], 0x80|0x2) }), Super{Label: "PBX-DATA", BlockSize: 4096, Blocks: 3<<32 | 1000}, nil},
		{"with errors", super(func(b []byte) { le.PutUint32(b[0x194:], 7); copy(b[0x1e0:], "ext4_lookup\x00") }),
			Super{Label: "PBX-DATA", BlockSize: 4096, Blocks: 1000, Errors: 7, LastError: "ext4_lookup"}, nil},
		{"full label", super(func(b []byte) { copy(b[0x78:], "0123456789abcdefNOT") }), Super{Label: "0123456789abcdef", BlockSize: 4096, Blocks: 1000}, nil},
		{"no magic", super(func(b []byte) { b[0x38] = 0 }), Super{}, ErrNotExt4},
		{"odd block size", super(func(b []byte) { b[0x18] = 200 }), Super{}, ErrNotExt4},
		{"too short", make([]byte, 1500), Super{}, ErrNotExt4},
		{"empty", nil, Super{}, ErrNotExt4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ReadSuper(bytes.NewReader(tt.volume))
			if !errors.Is(err, tt.err) || err == nil && *s != tt.want {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
	if _, err := ReadSuper(faulty{}); err == nil || errors.Is(err, ErrNotExt4) {
		t.Errorf("a read error: got %v", err)
	}
}

type faulty struct{}

func (faulty) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func FuzzReadSuper(f *testing.F) {
	f.Add(super(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ReadSuper(bytes.NewReader(b)); err == nil && (s.BlockSize < 1024 || s.BlockSize > 65536) {
			t.Errorf("block size %d", s.BlockSize)
		}
	})
}
