package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sysSector is the unit of sizes and offsets in sysfs, whatever the disk's own
// sector is.
const sysSector = 512

// Disk is a whole disk as sysfs shows it.
type Disk struct {
	Name       string // under /dev
	Model      string
	Serial     string
	Size       int64 // octets
	Sector     int   // logical sector, octets
	Removable  bool
	ReadOnly   bool
	Partitions []Partition // by number
	Bus        string      // how it is attached, such as USB; empty where not known
	WWID       string      // the number that no other disk of the world has; empty where not known

	// These are filled in by Find. FileSystem is the kind of what lies on the
	// disk without partitions, Blank that its beginning holds nothing at all.
	FileSystem string
	Blank      bool
	Unreadable bool // its first or last blocks cannot be read
}

// Partition is one partition of a disk.
type Partition struct {
	Name   string // under /dev
	Disk   string // name of its disk
	Number int
	Start  int64 // octets
	Size   int64 // octets

	// These are of the GPT entry; empty where the disk has no GPT.
	Type  string // GUID, lower case
	GUID  string // GUID, lower case
	Label string

	// Volume is the label of the ext4 file system it holds; empty if none.
	Volume string
	// FileSystem is the kind of what it holds; empty where not known.
	FileSystem string
}

// virtual are the block devices that are no disks of the machine.
var virtual = []string{"loop", "ram", "zram", "sr", "fd", "dm-", "nbd", "md"}

// Scan returns the disks under sys ("/sys" but for tests), by name, with their
// partitions as the kernel knows them. What GPT and file systems say is not
// filled in. A disk without medium is left out.
func Scan(sys string) ([]Disk, error) {
	entries, err := os.ReadDir(filepath.Join(sys, "block"))
	if err != nil {
		return nil, fmt.Errorf("look for disks: %w", err)
	}
	var disks []Disk
	for _, e := range entries {
		if slices.ContainsFunc(virtual, func(p string) bool { return strings.HasPrefix(e.Name(), p) }) {
			continue
		}
		dir := filepath.Join(sys, "block", e.Name())
		d := Disk{
			Name:      e.Name(),
			Model:     attr(dir, "device/model"),
			Serial:    serial(dir),
			Size:      number(dir, "size") * sysSector,
			Sector:    int(number(dir, "queue/logical_block_size")),
			Removable: number(dir, "removable") != 0,
			ReadOnly:  number(dir, "ro") != 0,
			Bus:       bus(dir, e.Name()),
		}
		if d.Size == 0 {
			continue
		}
		d.WWID = wwid(dir, d.Bus)
		if d.Model == "" && strings.HasPrefix(d.Name, "vd") {
			d.Model = "virtual disk"
		}
		d.Partitions = partitions(dir, d.Name)
		disks = append(disks, d)
	}
	slices.SortFunc(disks, func(a, b Disk) int { return strings.Compare(a.Name, b.Name) })
	return disks, nil
}

// bus names how a disk is attached, by where sysfs has it among the devices.
func bus(dir, name string) string {
	path, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	_, path, _ = strings.Cut(path, "/devices/")
	for _, b := range []struct{ part, name string }{
		{"/usb", "USB"}, {"/nvme", "NVMe"}, {"/ata", "SATA"}, {"/end_device-", "SAS"}, {"/mmc", "MMC"}, {"/virtio", "virtio"}, {"/host", "SCSI"},
	} {
		if strings.Contains(path, b.part) {
			return b.name
		}
	}
	if strings.HasPrefix(name, "nvme") { // of a subsystem with several paths
		return "NVMe"
	}
	return ""
}

func partitions(dir, disk string) []Partition {
	paths, _ := filepath.Glob(filepath.Join(dir, "*", "partition"))
	var list []Partition
	for _, path := range paths {
		dir := filepath.Dir(path)
		list = append(list, Partition{
			Name:   filepath.Base(dir),
			Disk:   disk,
			Number: int(number(dir, "partition")),
			Start:  number(dir, "start") * sysSector,
			Size:   number(dir, "size") * sysSector,
		})
	}
	slices.SortFunc(list, func(a, b Partition) int { return a.Number - b.Number })
	return list
}

// serial returns what the disk calls itself; where that is kept depends on how
// it is attached.
func serial(dir string) string {
	for _, name := range []string{"serial", "device/serial"} { // virtio, NVMe
		if s := attr(dir, name); s != "" {
			return s
		}
	}
	// SCSI and ATA: the unit serial number page, a four octet header first.
	page, err := os.ReadFile(filepath.Join(dir, "device/vpd_pg80"))
	if err != nil || len(page) < 4 {
		return ""
	}
	return printable(string(page[4:]))
}

// wwid returns the number of a disk by the registries of IEEE. Of a disk behind a
// USB bridge it may be the bridge's, of which there are two alike.
func wwid(dir, bus string) string {
	if bus == "USB" {
		return ""
	}
	for _, name := range []string{"wwid", "device/wwid"} { // NVMe, SCSI
		if s := attr(dir, name); strings.HasPrefix(s, "eui.") || strings.HasPrefix(s, "naa.") {
			return s
		}
	}
	return ""
}

func attr(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return printable(string(b))
}

// printable keeps what a person can read: disks report what they like.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// number returns a number in a file of sysfs, 0 where there is none.
func number(dir, name string) int64 {
	n, err := strconv.ParseInt(attr(dir, name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
