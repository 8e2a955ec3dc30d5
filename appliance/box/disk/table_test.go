package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pillarbox/image/gpt"
)

const mib = 1 << 20

// diskImage returns a disk of size octets with a table that was made for a
// disk of made octets: an ESP from 1 MiB and DATA from 8 MiB to 16 MiB.
func diskImage(t *testing.T, made, size int64, block int) (*os.File, Disk) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	bs := uint64(block)
	table := &gpt.Table{ID: gpt.GUID{1}, BlockSize: block, Blocks: uint64(made) / bs, Partitions: []gpt.Partition{
		{Type: gpt.TypeESP, ID: gpt.GUID{2}, First: mib / bs, Last: 8*mib/bs - 1, Name: "ESP"},
		{Type: gpt.TypeLinux, ID: gpt.GUID{0xab}, First: 8 * mib / bs, Last: 16*mib/bs - 1, Name: "DATA"},
	}}
	if err := table.Write(f); err != nil {
		t.Fatal(err)
	}
	return f, Disk{Name: "disk", Size: size, Sector: block, Partitions: []Partition{
		{Name: "disk1", Disk: "disk", Number: 1, Start: mib, Size: 7 * mib},
		{Name: "disk2", Disk: "disk", Number: 2, Start: 8 * mib, Size: 8 * mib},
	}}
}

func TestReadTable(t *testing.T) {
	f, d := diskImage(t, 17*mib, 17*mib, 512)
	if err := readTable(f, &d); err != nil {
		t.Fatal(err)
	}
	if p := d.Partitions[0]; p.Type != typeESP || p.Label != "ESP" {
		t.Errorf("first: %+v", p)
	}
	if p := d.Partitions[1]; p.GUID != "ab000000-0000-0000-0000-000000000000" || p.Label != "DATA" {
		t.Errorf("second: %+v", p)
	}
	f.Truncate(0)
	f.Truncate(17 * mib)
	if err := readTable(f, &d); err != nil {
		t.Errorf("a disk without table: %v", err)
	}
}

func TestGrowPartition(t *testing.T) {
	for _, tt := range []struct {
		name       string
		made, size int64
		block      int
		want       int64 // size of DATA, 0: untouched
	}{
		{"flashed to a larger disk", 17 * mib, 64 * mib, 512, 55 * mib},
		{"blocks of 4 KiB", 17 * mib, 64 * mib, 4096, 55 * mib},
		{"full already", 17 * mib, 17 * mib, 512, 0},
		{"less than the alignment", 16*mib + mib/2, 17*mib - 4096, 512, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, d := diskImage(t, tt.made, tt.size, tt.block)
			var told []int64
			p, err := growPartition(f, d, d.Partitions[1], func(start, size int64) error {
				told = append(told, start, size)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if want == 0 {
				want = 8 * mib
				if told != nil {
					t.Errorf("the kernel was told %v", told)
				}
			} else if len(told) != 2 || told[0] != 8*mib || told[1] != want {
				t.Errorf("the kernel was told %v", told)
			}
			if p.Size != want {
				t.Errorf("size %d, want %d", p.Size, want)
			}
			table, err := gpt.Read(f, tt.size)
			if err != nil {
				t.Fatal(err)
			}
			if got := int64(table.Partitions[1].Blocks()) * int64(tt.block); got != want {
				t.Errorf("the table says %d", got)
			}
			// Once is enough.
			told = nil
			if _, err := growPartition(f, d, p, func(int64, int64) error { told = []int64{0}; return nil }); err != nil || told != nil {
				t.Errorf("grown again: %v, %v", told, err)
			}
		})
	}
}

func TestGrowPartitionLeavesOthersAlone(t *testing.T) {
	f, d := diskImage(t, 17*mib, 64*mib, 512)
	never := func(int64, int64) error { t.Error("the kernel was told"); return nil }
	if p, err := growPartition(f, d, d.Partitions[0], never); err != nil || p.Size != 7*mib {
		t.Errorf("not the last partition: %+v, %v", p, err)
	}
	gap := d.Partitions[1]
	gap.Number = 3
	if p, err := growPartition(f, d, gap, never); err != nil || p.Size != 8*mib {
		t.Errorf("a gap in the table: %+v, %v", p, err)
	}
}

func TestGrowPartitionFaults(t *testing.T) {
	fault := errors.New("busy")
	f, d := diskImage(t, 17*mib, 64*mib, 512)
	p, err := growPartition(f, d, d.Partitions[1], func(int64, int64) error { return fault })
	if !errors.Is(err, fault) || p.Size != 8*mib {
		t.Errorf("got %+v, %v", p, err)
	}
	f, d = diskImage(t, 17*mib, 64*mib, 512)
	p, err = growPartition(readOnly{f}, d, d.Partitions[1], nil)
	if !errors.Is(err, os.ErrPermission) || p.Size != 8*mib {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := GrowPartition(t.TempDir(), d, p); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no disk: %v", err)
	}
}

type readOnly struct{ *os.File }

func (readOnly) WriteAt([]byte, int64) (int, error) { return 0, os.ErrPermission }

// A disk that can only be read is not tried to be written.
func TestGrowOnADiskThatCanOnlyBeRead(t *testing.T) {
	p := Partition{Name: "sda4", Size: 8 * mib}
	if got, err := GrowPartition(t.TempDir(), Disk{Name: "sda", ReadOnly: true}, p); err != nil || got != p {
		t.Errorf("%+v, %v", got, err)
	}
}
