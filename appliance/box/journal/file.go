package journal

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"pillarbox/appliance/api/initapi"
)

const (
	// maxFile and oldFiles bound what a service keeps on the state disk:
	// 5 MiB, so that a dozen services take a small part of its 1 GiB.
	maxFile  = 1 << 20
	oldFiles = 4

	fileMode   = fs.FileMode(0o600)
	folderMode = fs.FileMode(0o700)

	stamp = "2006-01-02T15:04:05.000Z"
)

// file is the log of one service on disk.
type file struct {
	path string
	f    *os.File
	size int64
}

// Persist keeps lines in files under dir as well, from now on; what the rings
// hold is written first. An error means that no file can be written there.
func (b *Book) Persist(dir string) error {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dir, b.fault = dir, nil
	for service, r := range b.rings {
		b.open(service, r)
		for _, l := range r.lines {
			b.write(r, l)
		}
	}
	return b.fault
}

// Close ends the files, so that their disk can be unmounted; the rings stay.
func (b *Book) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dir = ""
	for _, r := range b.rings {
		if r.file != nil {
			r.file.f.Sync()
			r.file.f.Close()
			r.file = nil
		}
	}
	return b.fault
}

// open opens the file of r where there is a folder.
func (b *Book) open(service string, r *ring) {
	if b.dir == "" {
		return
	}
	path := filepath.Join(b.dir, service+".log")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, fileMode)
	if err != nil {
		b.fault = err
		return
	}
	fi, err := f.Stat()
	if err != nil {
		b.fault = err
		f.Close()
		return
	}
	r.file = &file{path: path, f: f, size: fi.Size()}
}

// write appends l to the file of r. A file that fails is given up until the
// next Persist: the ring goes on.
func (b *Book) write(r *ring, l initapi.LogLine) {
	if r.file == nil {
		return
	}
	if err := r.file.append(l); err != nil {
		b.fault = err
		r.file.f.Close()
		r.file = nil
	}
}

func (f *file) append(l initapi.LogLine) error {
	if f.size >= maxFile {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	var line strings.Builder
	line.WriteString(l.Time.UTC().Format(stamp))
	line.WriteByte(' ')
	line.WriteString(l.Text)
	line.WriteByte('\n')
	n, err := f.f.WriteString(line.String())
	f.size += int64(n)
	return err
}

// rotate moves the file to .1 and the older ones on by one; the oldest goes.
func (f *file) rotate() error {
	for i := oldFiles; i > 1; i-- {
		err := os.Rename(fmt.Sprintf("%s.%d", f.path, i-1), fmt.Sprintf("%s.%d", f.path, i))
		if err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if err := os.Rename(f.path, f.path+".1"); err != nil {
		return err
	}
	fresh, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, fileMode)
	if err != nil {
		return err
	}
	f.f.Close()
	f.f, f.size = fresh, 0
	return nil
}
