package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	for i := range disks {
		for j := range disks[i].Partitions {
			if p := &disks[i].Partitions[j]; strings.EqualFold(p.GUID, guid) && guid != "" {
				return &disks[i], p
			}
		}
	}
	return nil, nil
}

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
