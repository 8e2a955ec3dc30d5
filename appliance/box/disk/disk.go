// Package disk finds the disks of the machine and, among them, the volumes of
// the box; grows those that were flashed smaller than their disk; and mounts
// them.
//
// A box has three volumes on its system disk, in GPT partitions: the ESP (FAT,
// what the firmware boots), STATE (ext4, label PBX-STATE) and DATA (ext4, label
// PBX-DATA, the last partition). The image carries STATE and DATA as small
// seeds, so growing is part of each boot and does nothing when nothing is to
// be gained: first the table's last partition is made to reach the end of the
// disk, then each file system the end of its partition, while mounted. Each
// step is complete or has no effect after a power cut.
//
// Mail may be kept on another disk than the system's: Prepare makes one of it, with
// a table and one DATA partition, and a Record on the state volume names that
// partition by its GUID. The data volume of the system disk is not used then, and
// holds AwayName.
//
// Apart from Prepare, nothing is ever formatted or repaired here: a volume that
// cannot be mounted is reported and left alone.
package disk

import (
	"fmt"
	"slices"
	"strings"
)

// Labels of the ext4 file systems, and GPT names of their partitions without
// the prefix.
const (
	labelPrefix = "PBX-"
	LabelState  = labelPrefix + "STATE"
	LabelData   = labelPrefix + "DATA"
)

// typeESP is the GPT type of an EFI system partition.
const typeESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

// Volumes are the partitions of the box; nil where one was not found.
type Volumes struct {
	ESP, State, Data *Partition
}

// Complete reports whether nothing is missing that mail needs.
func (v Volumes) Complete() bool { return v.State != nil && v.Data != nil }

// Choose picks the volumes of this box among the partitions of disks. loader is
// the GUID of the partition that the boot loader was started from, empty when
// it is not known: its disk is the system disk. Without it, the disk with most
// volumes is, a fixed one before a removable one. A volume that the system disk
// lacks is taken from another disk.
//
// The notes are sentences about what was odd, to be read one after the other.
func Choose(disks []Disk, loader string) (v Volumes, notes []string) {
	type candidate struct {
		disk   *Disk
		vols   Volumes
		booted bool
		count  int
	}
	var list []candidate
	for i := range disks {
		c := candidate{disk: &disks[i], vols: volumesOf(&disks[i])}
		for _, p := range disks[i].Partitions {
			c.booted = c.booted || loader != "" && p.GUID == loader
		}
		for _, p := range []*Partition{c.vols.State, c.vols.Data} {
			if p != nil {
				c.count++
			}
		}
		if c.count > 0 || c.booted {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return Volumes{}, nil
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		switch {
		case a.booted != b.booted:
			return before(a.booted)
		case a.count != b.count:
			return b.count - a.count
		case a.disk.Removable != b.disk.Removable:
			return before(b.disk.Removable)
		}
		return strings.Compare(a.disk.Name, b.disk.Name)
	})
	first := list[0]
	v = first.vols
	var others []string
	for _, c := range list[1:] {
		used := false
		if v.State == nil && c.vols.State != nil {
			v.State, used = c.vols.State, true
		}
		if v.Data == nil && c.vols.Data != nil {
			v.Data, used = c.vols.Data, true
		}
		// A disk for mail alone is one to choose, and no second system.
		if !used && (c.booted || c.vols.State != nil) {
			others = append(others, c.disk.String())
		}
	}
	if len(others) > 0 {
		notes = append(notes, fmt.Sprintf("There is a Pillarbox on more than one disk: %s is used, not %s.", first.disk, strings.Join(others, " or ")))
		const choose = "Switch the box off and disconnect the one that is not to be used."
		switch {
		case !first.booted:
			notes = append(notes, "This is a guess: the firmware does not say which was started.", choose)
		case list[1].booted:
			notes = append(notes, "This is a guess: they were written from one image, or copied, and which was started cannot be told.", choose)
		default:
			notes = append(notes, "It is the one that was started.")
		}
	}
	for _, p := range []*Partition{v.State, v.Data} {
		if p != nil && p.Volume == "" {
			notes = append(notes, fmt.Sprintf("The partition %s is named %s but holds no file system that can be read.", p.Name, p.Label))
		}
	}
	return v, notes
}

func before(yes bool) int {
	if yes {
		return -1
	}
	return 1
}

// volumesOf returns the volumes on one disk. A file system's label decides; a
// partition whose name says what it is counts where no file system does, so
// that a damaged volume is missed and not overlooked.
func volumesOf(d *Disk) (v Volumes) {
	find := func(fits func(p *Partition) bool) *Partition {
		for i := range d.Partitions {
			if fits(&d.Partitions[i]) {
				return &d.Partitions[i]
			}
		}
		return nil
	}
	volume := func(label string) *Partition {
		if p := find(func(p *Partition) bool { return p.Volume == label }); p != nil {
			return p
		}
		return find(func(p *Partition) bool {
			return p.Volume == "" && (p.Label == label || labelPrefix+p.Label == label)
		})
	}
	v.ESP = find(func(p *Partition) bool { return p.Type == typeESP })
	v.State, v.Data = volume(LabelState), volume(LabelData)
	return v
}
