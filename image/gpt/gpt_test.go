package gpt

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// disk is a disk in memory.
type disk []byte

func (d disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(d)) {
		return 0, io.EOF
	}
	n := copy(p, d[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d disk) WriteAt(p []byte, off int64) (int, error) { return copy(d[off:], p), nil }

func table(bs int, blocks uint64) *Table {
	return &Table{
		ID: GUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, BlockSize: bs, Blocks: blocks,
		Partitions: []Partition{
			{Type: TypeBIOSBoot, ID: GUID{1}, First: 256, Last: 511, Name: "BIOS boot"},
			{Type: TypeESP, ID: GUID{2}, First: 512, Last: 1023, Name: "ESP"},
			{Type: TypeLinux, ID: GUID{3}, First: 1024, Last: 2047, Name: "PBX-DATA", Attributes: 1 << 59},
		},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, bs := range []int{512, 4096} {
		d := make(disk, 4096*bs)
		want := table(bs, 4096)
		if err := want.Write(d); err != nil {
			t.Fatal(err)
		}
		for _, damage := range []struct {
			name string
			at   int
		}{{"none", -1}, {"first header", bs + 20}, {"first entries", 2*bs + 40}, {"last header", len(d) - bs + 20}, {"last entries", len(d) - bs - 100*entrySize}} {
			c := disk(bytes.Clone(d))
			if damage.at >= 0 {
				c[damage.at] ^= 0xff
			}
			got, err := Read(c, int64(len(c)))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%d-byte blocks, damaged %s: %+v, %v", bs, damage.name, got, err)
			}
		}
		d[bs+20], d[len(d)-bs+20] = ^d[bs+20], ^d[len(d)-bs+20]
		if _, err := Read(d, int64(len(d))); !errors.Is(err, ErrNoTable) {
			t.Errorf("both headers damaged: %v", err)
		}
	}
}

func TestGrowLast(t *testing.T) {
	small := table(512, 4096)
	d := make(disk, 40960*512)
	if err := small.Write(d); err != nil {
		t.Fatal(err)
	}
	big, err := Read(d, int64(len(d)))
	if err != nil {
		t.Fatal(err)
	}
	n, grew := big.GrowLast(2048)
	if n != 2 || !grew || big.Partitions[2].Last != 38911 {
		t.Fatalf("partition %d grew %v to %d", n, grew, big.Partitions[n].Last)
	}
	if err := big.Write(d); err != nil {
		t.Fatal(err)
	}
	again, err := Read(d, int64(len(d)))
	if err != nil || !reflect.DeepEqual(again, big) {
		t.Errorf("%+v, %v", again, err)
	}
	if _, grew := again.GrowLast(2048); grew {
		t.Error("a partition at the end grew again")
	}
}

func TestCheckRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*Table){
		"block size": func(t *Table) { t.BlockSize = 1000 },
		"too small":  func(t *Table) { t.Blocks = 40 },
		"outside":    func(t *Table) { t.Partitions[2].Last = 5000 },
		"overlap":    func(t *Table) { t.Partitions[1].First = 500 },
		"too long":   func(t *Table) { t.Partitions[0].Name = strings.Repeat("x", 37) },
	} {
		tab := table(512, 4096)
		spoil(tab)
		if err := tab.Write(make(disk, 4096*512)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestGUID(t *testing.T) {
	for _, s := range []string{"C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"} {
		g, err := ParseGUID(strings.ToLower(s))
		if err != nil || g.String() != s || fromDisk(sliceOf(g.disk())) != g {
			t.Errorf("%s: %v, %v", s, g, err)
		}
	}
	for _, s := range []string{"", "C12A7328F81F11D2BA4B00A0C93EC93B", "C12A7328-F81F-11D2-BA4B-00A0C93EC93", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B0", "X12A7328-F81F-11D2-BA4B-00A0C93EC93B"} {
		if g, err := ParseGUID(s); err == nil {
			t.Errorf("%q read as %v", s, g)
		}
	}
}

func sliceOf(a [16]byte) []byte { return a[:] }

// TestSfdiskAgrees has the reference implementation read what is written.
func TestSfdiskAgrees(t *testing.T) {
	sfdisk, err := exec.LookPath("/sbin/sfdisk")
	if err != nil {
		t.Fatalf("sfdisk: %v (package fdisk)", err)
	}
	d := make(disk, 4096*512)
	if err := table(512, 4096).Write(d); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, d, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sfdisk, "--verify", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No errors detected") {
		t.Errorf("sfdisk --verify: %v\n%s", err, out)
	}
}

func FuzzRead(f *testing.F) {
	tab := table(512, 4096)
	tab.Blocks, tab.Partitions = 128, nil
	d := make(disk, 128*512)
	if err := tab.Write(d); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(d[:40*512]))
	f.Fuzz(func(t *testing.T, b []byte) {
		if tab, err := Read(disk(b), int64(len(b))); err == nil && len(tab.Partitions) > 1024 {
			t.Errorf("%d partitions", len(tab.Partitions))
		}
	})
}
