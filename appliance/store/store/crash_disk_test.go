package store

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// diskModel is what a disk would hold of a folder after a power cut, kept by
// following what the program does to it: contents count once they were synced,
// names once a sync came after them that covers them, as on ext4 with its
// journal: changes of names and lengths reach the disk in the order they were
// made, and a sync of a file takes along those up to its own last one.
type diskModel struct {
	dir     string
	files   map[string][]byte // durable contents by path below dir
	pending []metaChange      // changes of names and lengths not known to be durable
}

// metaChange is a change that is not of contents.
type metaChange struct {
	kind metaKind
	path string
	to   string // for metaRename
	size int64  // for metaLength
}

type metaKind int

const (
	metaCreate metaKind = iota
	metaRename
	metaRemove
	metaLength
)

func newDiskModel(dir string) *diskModel { return &diskModel{dir: dir, files: map[string][]byte{}} }

// inside gives a path below the folder, ok where it is below it.
func (d *diskModel) inside(path string) (string, bool) {
	rel, ok := strings.CutPrefix(path, d.dir+"/")
	return rel, ok && !strings.HasSuffix(rel, " (deleted)")
}

func (c metaChange) apply(files map[string][]byte) {
	switch c.kind {
	case metaCreate:
		if files[c.path] == nil {
			files[c.path] = []byte{}
		}
	case metaRename:
		if f, ok := files[c.path]; ok {
			files[c.to] = f
			delete(files, c.path)
		}
	case metaRemove:
		delete(files, c.path)
	case metaLength:
		if f, ok := files[c.path]; ok {
			if int64(len(f)) > c.size {
				files[c.path] = slices.Clone(f[:c.size])
			} else {
				files[c.path] = append(f[:len(f):len(f)], make([]byte, c.size-int64(len(f)))...)
			}
		}
	}
}

// settle makes pending changes durable: all up to the last that is about path,
// or all.
func (d *diskModel) settle(path string) {
	n := len(d.pending)
	if path != "" {
		n = 0
		for i, c := range d.pending {
			if c.path == path || c.to == path {
				n = i + 1
			}
		}
	}
	for _, c := range d.pending[:n] {
		c.apply(d.files)
	}
	d.pending = d.pending[n:]
}

// synced makes bytes of a file durable. The file is as long as it was then.
func (d *diskModel) synced(path string, off int64, data []byte, length int64) {
	d.settle(path)
	f, ok := d.files[path]
	if !ok {
		return // removed, and held open
	}
	f = slices.Clone(f)
	if int64(len(f)) > length {
		f = f[:length]
	}
	f = append(f, make([]byte, length-int64(len(f)))...)
	copy(f[off:], data)
	d.files[path] = f
}

// image is a state of the folder.
type image map[string][]byte

// least is what a power cut leaves at the least.
func (d *diskModel) least() image {
	out := image{}
	for p, f := range d.files {
		out[p] = f
	}
	return out
}

// mixed is what a power cut may leave: some of the pending changes, in order,
// and any of the pages that were written since the last sync.
func (d *diskModel) mixed(now image, r *rand.Rand) image {
	out := d.least()
	n := r.IntN(len(d.pending) + 1)
	for _, c := range d.pending[:n] {
		c.apply(out)
	}
	const page = 4096
	for path, f := range out {
		live, ok := now[path]
		if !ok {
			continue
		}
		f = slices.Clone(f)
		// What is appended by writing has its length with its contents.
		if len(live) > len(f) && r.IntN(2) == 0 {
			f = append(f, live[len(f):]...)
		}
		for at := 0; at < min(len(f), len(live)); at += page {
			end := min(at+page, len(f), len(live))
			if !bytes.Equal(f[at:end], live[at:end]) && r.IntN(2) == 0 {
				copy(f[at:end], live[at:end])
			}
		}
		out[path] = f
	}
	return out
}

// readFolder reads a folder as it is, which is what is left when the program dies.
func readFolder(dir string) (image, error) {
	out := image{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		out[rel] = b
		return err
	})
	return out, err
}

// write makes a folder of an image, its empty pages sparse.
func (m image) write(dir string) error {
	const block = 64 << 10
	zero := make([]byte, block)
	for path, data := range m {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		for at := 0; at < len(data); at += block {
			part := data[at:min(at+block, len(data))]
			if bytes.Equal(part, zero[:len(part)]) {
				continue
			}
			if _, err := f.WriteAt(part, int64(at)); err != nil {
				return err
			}
		}
		if err := f.Truncate(int64(len(data))); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// key tells images apart.
func (m image) key(hash func([]byte) uint64) string {
	var b strings.Builder
	paths := make([]string, 0, len(m))
	for p := range m {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		fmt.Fprintf(&b, "%s %d %x\n", p, len(m[p]), hash(m[p]))
	}
	return b.String()
}
