package disk

import (
	"errors"
	"os"
	"path/filepath"
)

// Find is Scan with what partition tables and file systems under dev ("/dev"
// but for tests) say filled in. A disk that cannot be read is listed with what
// sysfs knows; the error says which could not.
func Find(sys, dev string) ([]Disk, error) {
	disks, err := Scan(sys)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i := range disks {
		if err := look(&disks[i], dev); err != nil {
			errs = append(errs, err)
		}
	}
	return disks, errors.Join(errs...)
}

func look(d *Disk, dev string) error {
	f, err := os.Open(filepath.Join(dev, d.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	errs := []error{readTable(f, d)}
	for i := range d.Partitions {
		p := &d.Partitions[i]
		s, err := readSuperOf(filepath.Join(dev, p.Name))
		switch {
		case err == nil:
			p.Volume = s.Label
		case !errors.Is(err, ErrNotExt4):
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
