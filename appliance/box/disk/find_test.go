package disk

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A disk that never answers holds up neither the others nor who looks, and is not
// read by one more each time: once it answers, it is read again.
func TestDiskThatHangs(t *testing.T) {
	sys := tree(t, map[string]string{"block/sda/size": "8\n", "block/sdb/size": "8\n"})
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan bool)
		var reads atomic.Int32
		f := NewFinder(sys, "")
		f.look = func(d *Disk) error {
			d.FileSystem = "XFS"
			if d.Name == "sda" {
				reads.Add(1)
				<-answer
			}
			return nil
		}
		begin := time.Now()
		disks, err := f.Find()
		if err == nil || !strings.Contains(err.Error(), "sda does not answer") || len(disks) != 2 {
			t.Fatalf("%+v, %v", disks, err)
		}
		if time.Since(begin) != patience || !disks[0].Unreadable || disks[0].FileSystem != "" || disks[1].Unreadable || disks[1].FileSystem != "XFS" {
			t.Errorf("after %v: %+v", time.Since(begin), disks)
		}
		begin = time.Now()
		if disks, err = f.Find(); err == nil || time.Since(begin) != 0 || !disks[0].Unreadable || disks[1].FileSystem != "XFS" || reads.Load() != 1 {
			t.Errorf("again, after %v and %d reads: %+v, %v", time.Since(begin), reads.Load(), disks, err)
		}
		close(answer)
		synctest.Wait()
		if disks, err = f.Find(); err != nil || disks[0].Unreadable || disks[0].FileSystem != "XFS" || reads.Load() != 2 {
			t.Errorf("when it has answered: %+v, %v, %d reads", disks, err, reads.Load())
		}
	})
}

// What lies on a disk ends nobody who looks, whatever it is.
func TestDiskThatConfuses(t *testing.T) {
	f := NewFinder(tree(t, map[string]string{"block/sda/size": "8\n", "block/sdb/size": "8\n"}), "")
	f.look = func(d *Disk) error {
		if d.Name == "sda" {
			panic("what is this")
		}
		return nil
	}
	disks, err := f.Find()
	if err == nil || !strings.Contains(err.Error(), "sda: what is this") || len(disks) != 2 || !disks[0].Unreadable || disks[1].Unreadable {
		t.Errorf("%+v, %v", disks, err)
	}
}

// twin is a disk with mail's partition.
func twin(name, serial, wwid string) Disk {
	return Disk{Name: name, Model: "ACME SSD", Serial: serial, WWID: wwid, Size: 500e9, Partitions: []Partition{{Name: name + "1", Disk: name, GUID: "ab-cd"}}}
}

// Of copies that one is taken which was used last, where that can be told.
func TestCopiesOfADisk(t *testing.T) {
	r := &Record{Partition: "ab-cd", Model: "ACME SSD", Serial: "S1", Size: 500e9}
	other := twin("sdz", "S1", "")
	other.Model = "EMCA"
	for _, tt := range []struct {
		name   string
		record Record
		disks  []Disk
		want   string // the partition
		copies int
	}{
		{"alone", *r, []Disk{twin("sda", "S1", "")}, "sda1", 0},
		{"a copy alone", *r, []Disk{twin("sda", "S2", "")}, "sda1", 0},
		{"none", *r, []Disk{{Name: "sda"}}, "", 0},
		{"the original is second", *r, []Disk{twin("sda", "S2", ""), twin("sdb", "S1", "")}, "sdb1", 2},
		{"two copies without the original", *r, []Disk{twin("sda", "S2", ""), twin("sdb", "S3", "")}, "", 2},
		{"one serial number for two", *r, []Disk{twin("sda", "S1", ""), twin("sdb", "S1", "")}, "", 2},
		{"the serial number of another model", *r, []Disk{other, twin("sdb", "S1", "")}, "sdb1", 2},
		{"no serial number", Record{Partition: "ab-cd", Model: "ACME SSD", Size: 500e9}, []Disk{twin("sda", "", ""), twin("sdb", "S2", "")}, "", 2},
		{"one disk by two cables", *r, []Disk{twin("sda", "S1", "naa.1"), twin("sdb", "S1", "naa.1")}, "sda1", 0},
		{"makers who number all alike", *r, []Disk{twin("sda", "S2", "naa.1"), twin("sdb", "S3", "naa.1")}, "", 2},
	} {
		_, p, copies := tt.record.Find(tt.disks)
		got := ""
		if p != nil {
			got = p.Name
		}
		if got != tt.want || len(copies) != tt.copies {
			t.Errorf("%s: %q, %d copies", tt.name, got, len(copies))
		}
	}
	d := twin("sda", "S1", "")
	if got, want := d.String(), "ACME SSD, serial number S1, 500.0 GB (sda)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWWID(t *testing.T) {
	dir := tree(t, map[string]string{"nvme0n1/wwid": "eui.0025\n", "sda/device/wwid": "naa.5000\n", "sdb/device/wwid": "t10.ATA     ACME\n"})
	for name, want := range map[string]string{"nvme0n1": "eui.0025", "sda": "naa.5000", "sdb": "", "sdc": ""} {
		if got := wwid(dir+"/"+name, "SATA"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := wwid(dir+"/sda", "USB"); got != "" {
		t.Errorf("behind a bridge: %q", got)
	}
}
