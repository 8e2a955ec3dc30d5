package initramfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// archive gathers the entries of a cpio archive. Entries come in any order
// and leave in that of their names.
type archive struct {
	entries map[string]cpio.Record
}

func newArchive() *archive { return &archive{entries: map[string]cpio.Record{}} }

func (a *archive) add(r cpio.Record) {
	for dir := filepath.Dir(r.Name); dir != "." && dir != "/"; dir = filepath.Dir(dir) {
		if _, ok := a.entries[dir]; !ok {
			a.entries[dir] = cpio.Directory(dir, 0o755)
		}
	}
	a.entries[r.Name] = r
}

func (a *archive) dir(name string, mode uint64) { a.add(cpio.Directory(name, mode)) }

func (a *archive) link(name, target string) { a.add(cpio.Symlink(name, target)) }

func (a *archive) content(name, content string, mode uint64) {
	a.add(cpio.StaticFile(name, content, mode))
}

func (a *archive) file(name, from string, mode uint64) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	a.content(name, string(raw), mode)
	return nil
}

// tree adds a folder with all below it, where keep says so (nil: all).
func (a *archive) tree(name, from string, keep func(rel string) bool) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if rel == "." || keep != nil && !keep(filepath.ToSlash(rel)) {
			if d.IsDir() && rel != "." {
				return fs.SkipDir
			}
			return nil
		}
		to := filepath.Join(name, rel)
		switch {
		case d.IsDir():
			a.dir(to, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			a.link(to, target)
		case d.Type().IsRegular():
			return a.file(to, p, 0o644)
		}
		return nil
	})
}

// write gives the archive in the newc format, the same bytes for the same entries.
func (a *archive) write(w io.Writer) error {
	names := make([]string, 0, len(a.entries))
	for n := range a.entries {
		names = append(names, n)
	}
	slices.SortFunc(names, func(x, y string) int {
		// Folders before what is in them, whatever characters follow in names.
		return slices.Compare(strings.Split(x, "/"), strings.Split(y, "/"))
	})
	records := make([]cpio.Record, len(names))
	for i, n := range names {
		records[i] = cpio.MakeReproducible(a.entries[n])
	}
	cpio.MakeAllReproducible(records)
	out := cpio.Newc.Writer(w)
	for _, r := range records {
		if err := out.WriteRecord(r); err != nil {
			return fmt.Errorf("cpio: %s: %w", r.Name, err)
		}
	}
	return cpio.WriteTrailer(out)
}
