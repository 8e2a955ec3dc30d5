package disk

import (
	"errors"
	"fmt"
	"io"
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
	errs := []error{readTable(f, d), lookAtEnds(f, d)}
	for i := range d.Partitions {
		p := &d.Partitions[i]
		if err := lookInto(filepath.Join(dev, p.Name), p); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// lookAtEnds reads the first and the last blocks of a disk: what lies there, and
// whether the disk gives it.
func lookAtEnds(f io.ReaderAt, d *Disk) error {
	head := make([]byte, min(signatureSpan, d.Size))
	if _, err := f.ReadAt(head, 0); err != nil {
		d.Unreadable = true
		return fmt.Errorf("read %s: %w", d.Name, err)
	}
	tail := make([]byte, min(4096, d.Size))
	if _, err := f.ReadAt(tail, d.Size-int64(len(tail))); err != nil {
		d.Unreadable = true
		return fmt.Errorf("read the end of %s: %w", d.Name, err)
	}
	if len(d.Partitions) == 0 {
		d.FileSystem, d.Blank = fileSystem(head), blank(head)
	}
	return nil
}

// lookInto says what a partition holds.
func lookInto(device string, p *Partition) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, signatureSpan)
	if n, err := f.ReadAt(head, 0); err == nil || errors.Is(err, io.EOF) {
		p.FileSystem = fileSystem(head[:n])
	}
	s, err := ReadSuper(f)
	switch {
	case err == nil:
		p.Volume = s.Label
	case !errors.Is(err, ErrNotExt4):
		return err
	}
	return nil
}
