// Package gpt reads and writes GUID partition tables (UEFI specification 2.10,
// section 5.3): the tables of images when they are built, and the table of the
// running box when its last partition grows to the disk's end.
//
// A table lies twice on a disk, at the beginning and at the end, each with
// checksums of its own. Read takes the first one that is whole; Write writes
// the second one first, so that a power cut between the two leaves one that is.
package gpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

// GUID is in the order of its text form.
type GUID [16]byte

// ParseGUID reads the form 01234567-89AB-CDEF-0123-456789ABCDEF.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	n := 0
	for i := 0; i < len(s); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return GUID{}, fmt.Errorf("gpt: %q is no GUID", s)
			}
			continue
		}
		hi, lo := unhex(s[i]), byte(0xff)
		if i++; i < len(s) {
			lo = unhex(s[i])
		}
		if hi > 15 || lo > 15 || n == len(g) {
			return GUID{}, fmt.Errorf("gpt: %q is no GUID", s)
		}
		g[n] = hi<<4 | lo
		n++
	}
	if n != len(g) {
		return GUID{}, fmt.Errorf("gpt: %q is no GUID", s)
	}
	return g, nil
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

func (g GUID) String() string {
	return fmt.Sprintf("%08X-%04X-%04X-%04X-%012X", g[0:4], g[4:6], g[6:8], g[8:10], g[10:16])
}

// disk gives the order on disk: the first three fields little endian.
func (g GUID) disk() [16]byte {
	return [16]byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]}
}

func fromDisk(b []byte) GUID {
	var d [16]byte
	copy(d[:], b)
	return GUID(GUID(d).disk())
}

// The partition types of a Pillarbox disk.
var (
	TypeBIOSBoot = GUID{0x21, 0x68, 0x61, 0x48, 0x64, 0x49, 0x6E, 0x6F, 0x74, 0x4E, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49}
	TypeESP      = GUID{0xC1, 0x2A, 0x73, 0x28, 0xF8, 0x1F, 0x11, 0xD2, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B}
	TypeLinux    = GUID{0x0F, 0xC6, 0x3D, 0xAF, 0x84, 0x83, 0x47, 0x72, 0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4}
)

// Partition is an entry of the table. First and Last are blocks, both inclusive.
type Partition struct {
	Type        GUID
	ID          GUID
	First, Last uint64
	Attributes  uint64
	Name        string // at most 36 UTF-16 units
}

// Blocks is the partition's length.
func (p Partition) Blocks() uint64 { return p.Last - p.First + 1 }

// Table is the table of a disk.
type Table struct {
	ID         GUID
	BlockSize  int    // bytes, 512 or 4096
	Blocks     uint64 // of the whole disk
	Partitions []Partition
}

const (
	signature  = "EFI PART"
	revision   = 0x00010000
	headerSize = 92
	entrySize  = 128
	entries    = 128
)

// ErrNoTable means that a disk has no GPT that is whole.
var ErrNoTable = errors.New("gpt: no partition table")

// entryBlocks is the length of the entries on disk.
func (t *Table) entryBlocks() uint64 {
	return uint64((entries*entrySize + t.BlockSize - 1) / t.BlockSize)
}

// FirstUsable and LastUsable bound what partitions may take.
func (t *Table) FirstUsable() uint64 { return 2 + t.entryBlocks() }

// LastUsable is the last block a partition may take.
func (t *Table) LastUsable() uint64 { return t.Blocks - 2 - t.entryBlocks() }

// Resize fits the table to a disk of another size.
func (t *Table) Resize(blocks uint64) { t.Blocks = blocks }

// GrowLast stretches the partition that ends last to the end of the disk,
// down to a multiple of align blocks, and answers its index and whether it grew.
func (t *Table) GrowLast(align uint64) (int, bool) {
	last := -1
	for i, p := range t.Partitions {
		if last < 0 || p.Last > t.Partitions[last].Last {
			last = i
		}
	}
	if last < 0 {
		return -1, false
	}
	end := (t.LastUsable()+1)/align*align - 1
	if end <= t.Partitions[last].Last {
		return last, false
	}
	t.Partitions[last].Last = end
	return last, true
}

// Check reports what a table must not have: partitions outside the disk or
// over each other, or too many.
func (t *Table) Check() error {
	if t.BlockSize != 512 && t.BlockSize != 4096 {
		return fmt.Errorf("gpt: block size %d", t.BlockSize)
	}
	if t.Blocks < 2*(2+t.entryBlocks())+1 {
		return fmt.Errorf("gpt: a disk of %d blocks is too small", t.Blocks)
	}
	if len(t.Partitions) > entries {
		return fmt.Errorf("gpt: %d partitions, %d at most", len(t.Partitions), entries)
	}
	for i, p := range t.Partitions {
		if p.First < t.FirstUsable() || p.Last > t.LastUsable() || p.First > p.Last {
			return fmt.Errorf("gpt: partition %d (%s) from %d to %d is outside %d to %d", i+1, p.Name, p.First, p.Last, t.FirstUsable(), t.LastUsable())
		}
		if len(utf16.Encode([]rune(p.Name))) > 36 {
			return fmt.Errorf("gpt: name %q is too long", p.Name)
		}
		for j, q := range t.Partitions[:i] {
			if p.First <= q.Last && q.First <= p.Last {
				return fmt.Errorf("gpt: partitions %d and %d overlap", j+1, i+1)
			}
		}
	}
	return nil
}

// Read reads the table of a disk of size bytes: the first copy, or the last
// where the first is damaged. The block size is found by where the first copy lies.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	for _, bs := range []int{512, 4096} {
		if t, err := readAt(r, bs, 1); err == nil {
			t.Blocks = uint64(size / int64(bs))
			return t, nil
		}
	}
	for _, bs := range []int{512, 4096} {
		if t, err := readAt(r, bs, uint64(size/int64(bs))-1); err == nil {
			t.Blocks = uint64(size / int64(bs))
			return t, nil
		}
	}
	return nil, ErrNoTable
}

func readAt(r io.ReaderAt, bs int, block uint64) (*Table, error) {
	h := make([]byte, bs)
	if _, err := r.ReadAt(h, int64(block)*int64(bs)); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(h[12:])
	if string(h[:8]) != signature || size < headerSize || int(size) > bs {
		return nil, ErrNoTable
	}
	sum := binary.LittleEndian.Uint32(h[16:])
	binary.LittleEndian.PutUint32(h[16:], 0)
	if crc32.ChecksumIEEE(h[:size]) != sum || binary.LittleEndian.Uint64(h[24:]) != block {
		return nil, ErrNoTable
	}
	n, each := binary.LittleEndian.Uint32(h[80:]), binary.LittleEndian.Uint32(h[84:])
	if each < entrySize || each > 4096 || n > 1024 {
		return nil, ErrNoTable
	}
	raw := make([]byte, int(n)*int(each))
	if _, err := r.ReadAt(raw, int64(binary.LittleEndian.Uint64(h[72:]))*int64(bs)); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(raw) != binary.LittleEndian.Uint32(h[88:]) {
		return nil, ErrNoTable
	}
	t := &Table{ID: fromDisk(h[56:72]), BlockSize: bs}
	for ; len(raw) >= int(each); raw = raw[each:] {
		p := Partition{
			Type: fromDisk(raw[0:16]), ID: fromDisk(raw[16:32]),
			First: binary.LittleEndian.Uint64(raw[32:]), Last: binary.LittleEndian.Uint64(raw[40:]),
			Attributes: binary.LittleEndian.Uint64(raw[48:]),
		}
		if p.Type == (GUID{}) {
			continue
		}
		var name []uint16
		for i := 56; i < entrySize; i += 2 {
			u := binary.LittleEndian.Uint16(raw[i:])
			if u == 0 {
				break
			}
			name = append(name, u)
		}
		p.Name = string(utf16.Decode(name))
		t.Partitions = append(t.Partitions, p)
	}
	return t, nil
}

// Write writes both copies of the table and the protective MBR (UEFI section
// 5.2.3). A partition keeps its number by its place in the list. What w is,
// a file or a disk, is the caller's to sync.
func (t *Table) Write(w io.WriterAt) error {
	if err := t.Check(); err != nil {
		return err
	}
	raw := make([]byte, t.entryBlocks()*uint64(t.BlockSize))
	for i, p := range t.Partitions {
		e := raw[i*entrySize:]
		typ, id := p.Type.disk(), p.ID.disk()
		copy(e[0:], typ[:])
		copy(e[16:], id[:])
		binary.LittleEndian.PutUint64(e[32:], p.First)
		binary.LittleEndian.PutUint64(e[40:], p.Last)
		binary.LittleEndian.PutUint64(e[48:], p.Attributes)
		for j, u := range utf16.Encode([]rune(p.Name)) {
			binary.LittleEndian.PutUint16(e[56+2*j:], u)
		}
	}
	bs := int64(t.BlockSize)
	last := t.Blocks - 1
	for _, write := range []struct {
		at   uint64
		data []byte
	}{
		{last - t.entryBlocks(), raw},
		{last, t.header(last, 1, last-t.entryBlocks(), raw)},
		{2, raw},
		{1, t.header(1, last, 2, raw)},
	} {
		if _, err := w.WriteAt(write.data, int64(write.at)*bs); err != nil {
			return fmt.Errorf("gpt: %w", err)
		}
	}
	return t.writeMBR(w)
}

func (t *Table) header(self, other, entriesAt uint64, raw []byte) []byte {
	h := make([]byte, t.BlockSize)
	copy(h, signature)
	binary.LittleEndian.PutUint32(h[8:], revision)
	binary.LittleEndian.PutUint32(h[12:], headerSize)
	binary.LittleEndian.PutUint64(h[24:], self)
	binary.LittleEndian.PutUint64(h[32:], other)
	binary.LittleEndian.PutUint64(h[40:], t.FirstUsable())
	binary.LittleEndian.PutUint64(h[48:], t.LastUsable())
	id := t.ID.disk()
	copy(h[56:], id[:])
	binary.LittleEndian.PutUint64(h[72:], entriesAt)
	binary.LittleEndian.PutUint32(h[80:], entries)
	binary.LittleEndian.PutUint32(h[84:], entrySize)
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(raw[:entries*entrySize]))
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:headerSize]))
	return h
}

// writeMBR writes the partition entries of the protective MBR and leaves the
// boot code before them as it is.
func (t *Table) writeMBR(w io.WriterAt) error {
	b := make([]byte, 66)
	e := b[:16]
	copy(e[1:], []byte{0x00, 0x02, 0x00}) // CHS of LBA 1
	e[4] = 0xEE
	copy(e[5:], []byte{0xFF, 0xFF, 0xFF})
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(t.Blocks-1, 0xFFFFFFFF)))
	b[64], b[65] = 0x55, 0xAA
	if _, err := w.WriteAt(b, 446); err != nil {
		return fmt.Errorf("gpt: %w", err)
	}
	return nil
}
