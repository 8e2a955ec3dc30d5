package fat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

const (
	attrDirectory = 0x10
	attrArchive   = 0x20
	attrLongName  = 0x0F
	deleted       = 0xE5
	unitsPerEntry = 13
	maxNameUnits  = 255
)

// entry is a file or directory as its directory lists it.
type entry struct {
	name    string
	short   [11]byte
	dir     bool
	first   uint32
	size    uint32
	offsets []int64 // where its entries lie on the device, the short one last
}

// directory finds a directory by path, making what is missing.
func (f *FS) directory(path string) (uint32, error) {
	at := uint32(rootCluster)
	for _, name := range split(path) {
		e, err := f.lookup(at, name)
		if err != nil {
			return 0, err
		}
		if e == nil {
			if at, err = f.mkdir(at, name); err != nil {
				return 0, err
			}
			continue
		}
		if !e.dir {
			return 0, fmt.Errorf("%s: %w and is no directory", path, ErrExists)
		}
		at = e.first
	}
	return at, nil
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func (f *FS) mkdir(parent uint32, name string) (uint32, error) {
	c, err := f.allocate(1)
	if err != nil {
		return 0, err
	}
	b := make([]byte, clusterSize)
	up := parent
	if up == rootCluster {
		up = 0
	}
	for i, link := range []struct {
		name    string
		cluster uint32
	}{{".          ", c[0]}, {"..         ", up}} {
		f.putEntry(b[i*entrySize:], []byte(link.name), attrDirectory, link.cluster, 0)
	}
	if _, err := f.dev.WriteAt(b, f.at(c[0])); err != nil {
		return 0, fmt.Errorf("fat: %w", err)
	}
	return c[0], f.link(parent, name, attrDirectory, c[0], 0)
}

// WriteFile writes a file of size bytes, in place of one that is there.
// Directories on the way are made.
func (f *FS) WriteFile(path string, r io.Reader, size int64) error {
	names := split(path)
	if len(names) == 0 {
		return fmt.Errorf("fat: no name in %q", path)
	}
	name := names[len(names)-1]
	dir, err := f.directory(strings.Join(names[:len(names)-1], "/"))
	if err != nil {
		return err
	}
	if err := f.Remove(path); err != nil {
		return err
	}
	if size > 0xFFFFFFFF {
		return fmt.Errorf("fat: %s: %d bytes are more than a file can have", path, size)
	}
	list, err := f.allocate(int((size + clusterSize - 1) / clusterSize))
	if err != nil {
		return err
	}
	first := uint32(0)
	if len(list) > 0 {
		first = list[0]
	}
	buf := make([]byte, 64*clusterSize)
	left := size
	for len(list) > 0 {
		run := 1
		for run < len(list) && run < 64 && list[run] == list[0]+uint32(run) {
			run++
		}
		b := buf[:run*clusterSize]
		clear(b)
		n := min(left, int64(len(b)))
		if _, err := io.ReadFull(r, b[:n]); err != nil {
			return fmt.Errorf("fat: %s: %w", path, err)
		}
		if _, err := f.dev.WriteAt(b, f.at(list[0])); err != nil {
			return fmt.Errorf("fat: %w", err)
		}
		left -= n
		list = list[run:]
	}
	return f.link(dir, name, attrArchive, first, uint32(size))
}

// Remove removes a file; one that is not there is no error.
func (f *FS) Remove(path string) error {
	names := split(path)
	at := uint32(rootCluster)
	for i, name := range names {
		e, err := f.lookup(at, name)
		if err != nil || e == nil {
			return err
		}
		if i < len(names)-1 {
			at = e.first
			continue
		}
		if e.dir {
			return fmt.Errorf("%s: %w and is a directory", path, ErrExists)
		}
		for _, off := range e.offsets {
			if _, err := f.dev.WriteAt([]byte{deleted}, off); err != nil {
				return fmt.Errorf("fat: %w", err)
			}
		}
		return f.free(e.first)
	}
	return nil
}

// ReadFile reads a file whole; nil where there is none.
func (f *FS) ReadFile(path string) ([]byte, error) {
	at := uint32(rootCluster)
	names := split(path)
	for i, name := range names {
		e, err := f.lookup(at, name)
		if err != nil || e == nil {
			return nil, err
		}
		at = e.first
		if i < len(names)-1 {
			continue
		}
		out := make([]byte, 0, e.size)
		if e.size == 0 {
			return out, nil
		}
		list, err := f.chain(e.first)
		if err != nil {
			return nil, err
		}
		buf := make([]byte, clusterSize)
		for _, c := range list {
			if _, err := f.dev.ReadAt(buf, f.at(c)); err != nil {
				return nil, fmt.Errorf("fat: %w", err)
			}
			out = append(out, buf[:min(clusterSize, int(e.size)-len(out))]...)
		}
		return out, nil
	}
	return nil, nil
}

// List names what is in a directory, directories with a slash at the end.
func (f *FS) List(path string) ([]string, error) {
	at := uint32(rootCluster)
	for _, name := range split(path) {
		e, err := f.lookup(at, name)
		if err != nil || e == nil || !e.dir {
			return nil, err
		}
		at = e.first
	}
	var names []string
	err := f.each(at, func(e entry) bool {
		if e.dir {
			e.name += "/"
		}
		names = append(names, e.name)
		return true
	}, nil)
	return names, err
}

func (f *FS) lookup(dir uint32, name string) (*entry, error) {
	var found *entry
	err := f.each(dir, func(e entry) bool {
		if strings.EqualFold(e.name, name) {
			found = &e
		}
		return found == nil
	}, nil)
	return found, err
}

// each calls fn with the entries of a directory until it answers false, and
// slot, where given, with the place of every slot and whether it is free.
func (f *FS) each(dir uint32, fn func(entry) bool, slot func(offset int64, free bool)) error {
	list, err := f.chain(dir)
	if err != nil {
		return err
	}
	var units []uint16
	var offsets []int64
	b := make([]byte, clusterSize)
	for _, c := range list {
		if _, err := f.dev.ReadAt(b, f.at(c)); err != nil {
			return fmt.Errorf("fat: %w", err)
		}
		for i := 0; i < clusterSize; i += entrySize {
			e, off := b[i:i+entrySize], f.at(c)+int64(i)
			free := e[0] == 0 || e[0] == deleted
			if slot != nil {
				slot(off, free)
			}
			switch {
			case e[0] == 0 && slot == nil:
				return nil // the end of the directory
			case free:
				units, offsets = nil, nil
			case e[11] == attrLongName:
				var part []uint16
				for _, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
					if u := binary.LittleEndian.Uint16(e[at:]); u != 0 && u != 0xFFFF {
						part = append(part, u)
					}
				}
				units = append(part, units...)
				offsets = append(offsets, off)
			case e[11]&0x08 != 0: // label
			default:
				x := entry{dir: e[11]&attrDirectory != 0, size: binary.LittleEndian.Uint32(e[28:]), offsets: append(offsets, off)}
				x.first = uint32(binary.LittleEndian.Uint16(e[20:]))<<16 | uint32(binary.LittleEndian.Uint16(e[26:]))
				copy(x.short[:], e)
				x.name = string(utf16.Decode(units))
				if x.name == "" {
					x.name = strings.TrimRight(string(e[:8]), " ")
					if ext := strings.TrimRight(string(e[8:11]), " "); ext != "" {
						x.name += "." + ext
					}
				}
				units, offsets = nil, nil
				if x.name != "." && x.name != ".." && !fn(x) {
					return nil
				}
			}
		}
	}
	return nil
}

// link adds an entry to a directory.
func (f *FS) link(dir uint32, name string, attr byte, first, size uint32) error {
	units := utf16.Encode([]rune(name))
	if len(units) == 0 || len(units) > maxNameUnits || strings.ContainsAny(name, `"*/:<>?\|`) {
		return fmt.Errorf("fat: name %q", name)
	}
	var shorts [][11]byte
	var run []int64 // free slots, one after the other in the directory's order
	need := 1 + (len(units)+unitsPerEntry-1)/unitsPerEntry
	err := f.each(dir, func(e entry) bool { shorts = append(shorts, e.short); return true }, func(off int64, free bool) {
		switch {
		case len(run) == need:
		case free:
			run = append(run, off)
		default:
			run = nil
		}
	})
	if err != nil {
		return err
	}
	// What lies behind the first slot never used does not count to a reader:
	// no slot before the run may stay unused, so the run goes on from the end.
	for len(run) < need {
		more, err := f.extend(dir)
		if err != nil {
			return err
		}
		run = append(run, more...)
	}
	short := shortName(name, shorts)
	sum := byte(0)
	for _, c := range short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	for i := range need - 1 {
		e := bytes.Repeat([]byte{0xFF}, entrySize)
		n := need - 1 - i // long entries lie in reverse
		e[0] = byte(n)
		if i == 0 {
			e[0] |= 0x40
		}
		e[11], e[12], e[13] = attrLongName, 0, sum
		e[26], e[27] = 0, 0
		part := units[(n-1)*unitsPerEntry:]
		for k, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
			if k < len(part) {
				binary.LittleEndian.PutUint16(e[at:], part[k])
			} else if k == len(part) {
				binary.LittleEndian.PutUint16(e[at:], 0)
			}
		}
		if _, err := f.dev.WriteAt(e, run[i]); err != nil {
			return fmt.Errorf("fat: %w", err)
		}
	}
	e := make([]byte, entrySize)
	f.putEntry(e, short[:], attr, first, size)
	if _, err := f.dev.WriteAt(e, run[need-1]); err != nil {
		return fmt.Errorf("fat: %w", err)
	}
	return nil
}

func (f *FS) putEntry(e, short []byte, attr byte, first, size uint32) {
	copy(e, short)
	e[11] = attr
	f.stampEntry(e)
	binary.LittleEndian.PutUint16(e[20:], uint16(first>>16))
	binary.LittleEndian.PutUint16(e[26:], uint16(first))
	binary.LittleEndian.PutUint32(e[28:], size)
}

// extend adds a cluster to a directory and answers its slots.
func (f *FS) extend(dir uint32) ([]int64, error) {
	list, err := f.chain(dir)
	if err != nil {
		return nil, err
	}
	c, err := f.allocate(1)
	if err != nil {
		return nil, err
	}
	f.set(list[len(list)-1], c[0])
	if _, err := f.dev.WriteAt(make([]byte, clusterSize), f.at(c[0])); err != nil {
		return nil, fmt.Errorf("fat: %w", err)
	}
	slots := make([]int64, clusterSize/entrySize)
	for i := range slots {
		slots[i] = f.at(c[0]) + int64(i)*entrySize
	}
	return slots, nil
}

// shortName makes a name of eight and three for a long one, unlike those taken.
func shortName(name string, taken [][11]byte) [11]byte {
	clean := func(s string, n int) string {
		s = strings.Map(func(r rune) rune {
			switch {
			case 'a' <= r && r <= 'z':
				return r - 'a' + 'A'
			case 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("$%'-_@~`!(){}^#&", r):
				return r
			case r == ' ' || r == '.':
				return -1
			}
			return '_'
		}, s)
		return s[:min(len(s), n)]
	}
	base, ext := name, ""
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		base, ext = name[:i], name[i+1:]
	}
	pack := func(base string) (s [11]byte) {
		copy(s[:], fmt.Sprintf("%-8s%-3s", base, clean(ext, 3)))
		return s
	}
	used := func(s [11]byte) bool {
		for _, t := range taken {
			if s == t {
				return true
			}
		}
		return false
	}
	// A name that fits as it is needs no number behind it.
	if plain := pack(clean(base, 8)); strings.EqualFold(clean(base, 300), base) && len(base) <= 8 && strings.EqualFold(clean(ext, 300), ext) && len(ext) <= 3 && base != "" && !used(plain) {
		return plain
	}
	for n := 1; ; n++ {
		tail := fmt.Sprintf("~%d", n)
		if s := pack(clean(base, 8-len(tail)) + tail); !used(s) {
			return s
		}
	}
}
