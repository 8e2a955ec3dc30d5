package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// patience is how long disks have to say what is on them: one that sleeps takes
// ten seconds to come up to speed.
const patience = 12 * time.Second

// Finder finds the disks, and what is on them. A disk that is ill may hold up for
// minutes, or for good, whoever reads it: no other disk waits for it, nobody waits
// longer than patience, and it is not read again before it has answered. Its
// methods may be called from several goroutines.
type Finder struct {
	sys  string
	look func(d *Disk) error

	one  sync.Mutex // held by a Find, so that those of another are not taken for silent
	mu   sync.Mutex
	busy map[string]bool // disks that are being read, by name
}

// NewFinder returns a Finder of the disks under sys and dev, "/sys" and "/dev" but
// for tests.
func NewFinder(sys, dev string) *Finder {
	return &Finder{sys: sys, look: func(d *Disk) error { return look(d, dev) }, busy: map[string]bool{}}
}

// Find is Scan with what partition tables and file systems say filled in. A disk
// that cannot be read, or does not answer, is listed as Unreadable with what sysfs
// knows; the error says which are so.
func (f *Finder) Find() ([]Disk, error) {
	f.one.Lock()
	defer f.one.Unlock()
	disks, err := Scan(f.sys)
	if err != nil {
		return nil, err
	}
	type answer struct {
		at   int
		disk Disk
		err  error
	}
	answers := make(chan answer, len(disks)) // those that come too late go nowhere
	waiting := map[int]bool{}
	var errs []error
	for i := range disks {
		if !f.begin(disks[i].Name) {
			errs = append(errs, silent(&disks[i]))
			continue
		}
		waiting[i] = true
		d := disks[i]
		d.Partitions = slices.Clone(d.Partitions)
		go func() {
			err := f.guarded(&d)
			f.end(d.Name)
			answers <- answer{i, d, err}
		}()
	}
	expired := time.NewTimer(patience)
	defer expired.Stop()
	for len(waiting) > 0 {
		select {
		case a := <-answers:
			delete(waiting, a.at)
			disks[a.at] = a.disk
			if a.err != nil {
				errs = append(errs, a.err)
			}
		case <-expired.C:
			for i := range waiting {
				errs = append(errs, silent(&disks[i]))
			}
			clear(waiting)
		}
	}
	return disks, errors.Join(errs...)
}

// guarded looks at a disk. That what lies on it confuses the reader is no end of the
// program, which may be PID 1.
func (f *Finder) guarded(d *Disk) (err error) {
	defer func() {
		if p := recover(); p != nil {
			d.Unreadable = true
			err = fmt.Errorf("a fault in reading the disk %s: %v", d.Name, p)
		}
	}()
	return f.look(d)
}

// begin reports whether the disk called name is not being read already.
func (f *Finder) begin(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy[name] {
		return false
	}
	f.busy[name] = true
	return true
}

func (f *Finder) end(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.busy, name)
}

// silent marks a disk that does not answer.
func silent(d *Disk) error {
	d.Unreadable = true
	return fmt.Errorf("the disk %s does not answer", d.Name)
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
