package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pillarbox/appliance/config/atomicfile"
)

// RecordName is the file on the state volume that says which disk mail is kept on;
// without it, it is the system disk. AwayName is a file on the data volume of the
// system disk for as long as mail is kept on another: it keeps a box that has lost
// its state volume from beginning anew on a volume that only looks empty.
const (
	RecordName = "mail-disk.json"
	AwayName   = "mail-is-on-another-disk"
)

// Record is the disk that was chosen to keep mail on.
type Record struct {
	Partition string `json:"partition"` // GUID, lower case
	// The rest is for people who look for the disk.
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"`
	Size   int64  `json:"size"` // octets
}

// String says which disk it is.
func (r *Record) String() string {
	text := r.Model
	if text == "" {
		text = "a disk"
	}
	if r.Serial != "" {
		text += ", serial number " + r.Serial
	}
	return text + ", " + Size(r.Size)
}

// ReadRecord reads the record of the state volume at state; nil where mail is kept
// on the system disk.
func ReadRecord(state string) (*Record, error) {
	raw, err := os.ReadFile(filepath.Join(state, RecordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r := new(Record)
	if err == nil {
		err = json.Unmarshal(raw, r)
	}
	if err == nil && r.Partition == "" {
		err = errors.New("it names no partition")
	}
	if err != nil {
		return nil, fmt.Errorf("which disk mail is kept on: %w", err)
	}
	return r, nil
}

// Keep makes r the record; it is durable when Keep returns.
func (r *Record) Keep(state string) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(state, RecordName), raw, 0o600); err != nil {
		return fmt.Errorf("keep which disk mail is on: %w", err)
	}
	return nil
}

// RemoveRecord takes the record away, for good when it returns.
func RemoveRecord(state string) error {
	err := os.Remove(filepath.Join(state, RecordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := errors.Join(err, Sync(state)); err != nil {
		return fmt.Errorf("forget the disk for mail: %w", err)
	}
	return nil
}

// ByGUID finds a partition, and the disk it is on; nil where it is not there.
func ByGUID(disks []Disk, guid string) (*Disk, *Partition) {
	all := withGUID(disks, guid)
	if len(all) == 0 {
		return nil, nil
	}
	return all[0].disk, all[0].partition
}

// place is a partition on its disk.
type place struct {
	disk      *Disk
	partition *Partition
}

// withGUID finds all partitions with a GUID: a copy of a disk has that of the
// original. A disk that is seen by two cables is one; that its number alone is the
// same is not enough, for there are makers who give all their disks the same.
func withGUID(disks []Disk, guid string) (all []place) {
	for i := range disks {
		d := &disks[i]
		if d.WWID != "" && slices.ContainsFunc(all, func(a place) bool { return a.disk.WWID == d.WWID && RecordOf(a.disk, "").Of(d) }) {
			continue
		}
		for j := range d.Partitions {
			if p := &d.Partitions[j]; strings.EqualFold(p.GUID, guid) && guid != "" {
				all = append(all, place{d, p})
				break
			}
		}
	}
	return all
}

// RecordOf is the record of the partition with a GUID on d.
func RecordOf(d *Disk, guid string) *Record {
	return &Record{Partition: guid, Model: d.Model, Serial: d.Serial, Size: d.Size}
}

// Of reports whether r describes d.
func (r *Record) Of(d *Disk) bool {
	return r.Model == d.Model && r.Serial == d.Serial && r.Size == d.Size
}

// Find finds the partition of r among disks, and the disk it is on; nil where it is
// not there. Where disks are copies of each other, copies are all that have the
// partition, and it is that of the disk which r describes: the one used last. Which
// of them that is can be told by a serial number that one of them alone has; where
// none has it there is no partition, for one of them would be a guess.
func (r *Record) Find(disks []Disk) (d *Disk, p *Partition, copies []*Disk) {
	all := withGUID(disks, r.Partition)
	switch len(all) {
	case 0:
		return nil, nil, nil
	case 1:
		return all[0].disk, all[0].partition, nil
	}
	found := 0
	for _, a := range all {
		copies = append(copies, a.disk)
		if r.Serial != "" && r.Of(a.disk) {
			d, p = a.disk, a.partition
			found++
		}
	}
	if found != 1 {
		return nil, nil, copies
	}
	return d, p, copies
}

// String says which disk it is, for who looks for it among others.
func (d *Disk) String() string { return RecordOf(d, "").String() + " (" + d.Name + ")" }

// Size writes a number of octets as people do.
func Size(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 4 {
		v /= unit
		i++
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTP"[i])
}
