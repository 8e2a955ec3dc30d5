// Package fat writes FAT32 file systems byte for byte reproducibly: the EFI
// system partition of an image, and single files in one that exists, such as
// the provisioning file of a box that is about to boot.
//
// What is written depends on what it is called with and on nothing else: no
// clock, no randomness. Names are kept as long names (VFAT); a short name
// beside each is made for firmware that reads only those. The package is for
// images that nobody else has mounted; the running box uses the kernel.
//
// Layout (Microsoft FAT specification 1.03): boot sector, FSInfo and their
// copies within 32 reserved sectors, two FATs, clusters of 4 KiB from number
// 2 on, the root directory in cluster 2.
package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Device is where a file system lies, from its first byte.
type Device interface {
	io.ReaderAt
	io.WriterAt
}

const (
	sectorSize        = 512
	sectorsPerCluster = 8
	clusterSize       = sectorSize * sectorsPerCluster
	reservedSectors   = 32
	fats              = 2
	rootCluster       = 2
	endOfChain        = 0x0FFFFFFF
	clusterMask       = 0x0FFFFFFF
	entrySize         = 32
	// minClusters is where FAT32 begins: with fewer a reader takes it for FAT16.
	minClusters = 65525
)

// Errors callers tell apart.
var (
	ErrFull   = errors.New("fat: no space left")
	ErrExists = errors.New("fat: exists already")
	ErrFormat = errors.New("fat: not a FAT32 file system of this package's kind")
)

// Options describes a new file system.
type Options struct {
	Size   int64  // bytes, a multiple of 512
	Label  string // at most 11 characters of A-Z, 0-9, - and _
	Serial uint32 // the volume's id
	// HiddenSectors is where the partition begins on its disk.
	HiddenSectors uint32
	// Time stands for all times; FAT knows none before 1980.
	Time time.Time
}

// FS is a file system open for writing. Call Flush at the end.
type FS struct {
	dev      Device
	fatStart int64
	data     int64 // where cluster 2 begins
	clusters uint32
	fatLen   uint32 // sectors
	table    []uint32
	dirty    map[uint32]bool // FAT sectors to be written
	next     uint32          // where to look for a free cluster
	stamp    [2]uint16       // time, date
}

// Format makes an empty file system.
func Format(dev Device, o Options) (*FS, error) {
	total := uint64(o.Size / sectorSize)
	if o.Size%sectorSize != 0 || total > math.MaxUint32 {
		return nil, fmt.Errorf("fat: size %d", o.Size)
	}
	// A FAT of n sectors describes 128n clusters: the smallest n that covers what is left.
	fatLen := (total - reservedSectors + 2*sectorsPerCluster + 128*sectorsPerCluster + fats - 1) / (128*sectorsPerCluster + fats)
	clusters := (total - reservedSectors - fats*fatLen) / sectorsPerCluster
	if total < reservedSectors || clusters < minClusters {
		return nil, fmt.Errorf("fat: %d bytes are too few for FAT32", o.Size)
	}
	label := [11]byte{' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '}
	if len(o.Label) > len(label) {
		return nil, fmt.Errorf("fat: label %q is too long", o.Label)
	}
	copy(label[:], o.Label)

	b := make([]byte, sectorSize)
	copy(b, []byte{0xEB, 0x58, 0x90})
	copy(b[3:], "PILLARBX")
	binary.LittleEndian.PutUint16(b[11:], sectorSize)
	b[13] = sectorsPerCluster
	binary.LittleEndian.PutUint16(b[14:], reservedSectors)
	b[16] = fats
	b[21] = 0xF8
	binary.LittleEndian.PutUint16(b[24:], 63)
	binary.LittleEndian.PutUint16(b[26:], 255)
	binary.LittleEndian.PutUint32(b[28:], o.HiddenSectors)
	binary.LittleEndian.PutUint32(b[32:], uint32(total))
	binary.LittleEndian.PutUint32(b[36:], uint32(fatLen))
	binary.LittleEndian.PutUint32(b[44:], rootCluster)
	binary.LittleEndian.PutUint16(b[48:], 1) // FSInfo
	binary.LittleEndian.PutUint16(b[50:], 6) // copy of the boot sector
	b[64], b[66] = 0x80, 0x29
	binary.LittleEndian.PutUint32(b[67:], o.Serial)
	copy(b[71:], label[:])
	copy(b[82:], "FAT32   ")
	b[510], b[511] = 0x55, 0xAA
	for _, at := range []int64{0, 6} {
		if _, err := dev.WriteAt(b, at*sectorSize); err != nil {
			return nil, fmt.Errorf("fat: %w", err)
		}
	}
	f := &FS{dev: dev, fatStart: reservedSectors * sectorSize, fatLen: uint32(fatLen), clusters: uint32(clusters), dirty: map[uint32]bool{}, next: rootCluster + 1}
	f.data = f.fatStart + fats*int64(fatLen)*sectorSize
	f.table = make([]uint32, clusters+2)
	f.setStamp(o.Time)
	f.set(0, 0x0FFFFFF8)
	f.set(1, endOfChain)
	f.set(rootCluster, endOfChain)
	root := make([]byte, clusterSize)
	copy(root, label[:])
	root[11] = 0x08 // volume label
	f.stampEntry(root[:entrySize])
	if _, err := dev.WriteAt(root, f.at(rootCluster)); err != nil {
		return nil, fmt.Errorf("fat: %w", err)
	}
	return f, f.Flush()
}

// Open opens a file system that Format made.
func Open(dev Device, now time.Time) (*FS, error) {
	b := make([]byte, sectorSize)
	if _, err := dev.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("fat: %w", err)
	}
	if b[510] != 0x55 || b[511] != 0xAA || string(b[82:87]) != "FAT32" || binary.LittleEndian.Uint16(b[11:]) != sectorSize ||
		b[13] != sectorsPerCluster || b[16] != fats || binary.LittleEndian.Uint32(b[44:]) != rootCluster {
		return nil, ErrFormat
	}
	reserved, total, fatLen := int64(binary.LittleEndian.Uint16(b[14:])), int64(binary.LittleEndian.Uint32(b[32:])), binary.LittleEndian.Uint32(b[36:])
	clusters := (total - reserved - fats*int64(fatLen)) / sectorsPerCluster
	if clusters < minClusters || clusters+2 > int64(fatLen)*128 {
		return nil, ErrFormat
	}
	f := &FS{dev: dev, fatStart: reserved * sectorSize, fatLen: fatLen, clusters: uint32(clusters), dirty: map[uint32]bool{}, next: rootCluster + 1}
	f.data = f.fatStart + fats*int64(fatLen)*sectorSize
	f.setStamp(now)
	raw := make([]byte, int64(fatLen)*sectorSize)
	if _, err := dev.ReadAt(raw, f.fatStart); err != nil {
		return nil, fmt.Errorf("fat: %w", err)
	}
	f.table = make([]uint32, clusters+2)
	for i := range f.table {
		f.table[i] = binary.LittleEndian.Uint32(raw[4*i:]) & clusterMask
	}
	return f, nil
}

func (f *FS) setStamp(t time.Time) {
	t = t.UTC()
	if t.Year() < 1980 {
		t = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	f.stamp[0] = uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	f.stamp[1] = uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day())
}

func (f *FS) stampEntry(e []byte) {
	binary.LittleEndian.PutUint16(e[14:], f.stamp[0])
	binary.LittleEndian.PutUint16(e[16:], f.stamp[1])
	binary.LittleEndian.PutUint16(e[18:], f.stamp[1])
	binary.LittleEndian.PutUint16(e[22:], f.stamp[0])
	binary.LittleEndian.PutUint16(e[24:], f.stamp[1])
}

func (f *FS) at(cluster uint32) int64 { return f.data + int64(cluster-2)*clusterSize }

func (f *FS) set(cluster, value uint32) {
	f.table[cluster] = value
	f.dirty[cluster*4/sectorSize] = true
}

// allocate takes n free clusters, in a row as far as possible, as one chain.
func (f *FS) allocate(n int) ([]uint32, error) {
	list := make([]uint32, 0, n)
	for c := f.next; c < uint32(len(f.table)) && len(list) < n; c++ {
		if f.table[c] == 0 {
			list = append(list, c)
		}
	}
	if len(list) < n {
		return nil, ErrFull
	}
	for i, c := range list {
		if i+1 < n {
			f.set(c, list[i+1])
		} else {
			f.set(c, endOfChain)
		}
	}
	if n > 0 {
		f.next = list[n-1] + 1
	}
	return list, nil
}

// chain lists a file's clusters.
func (f *FS) chain(first uint32) ([]uint32, error) {
	var list []uint32
	for c := first; c < 0x0FFFFFF8; c = f.table[c] {
		if c < 2 || c >= uint32(len(f.table)) || len(list) > len(f.table) {
			return nil, fmt.Errorf("fat: broken chain at cluster %d", c)
		}
		list = append(list, c)
	}
	return list, nil
}

// free gives a chain's clusters back.
func (f *FS) free(first uint32) error {
	if first == 0 {
		return nil
	}
	list, err := f.chain(first)
	if err != nil {
		return err
	}
	for _, c := range list {
		f.set(c, 0)
		f.next = min(f.next, c)
	}
	return nil
}

// Flush writes the allocation tables and the free-space summary.
func (f *FS) Flush() error {
	sector := make([]byte, sectorSize)
	for s := range f.dirty {
		for i := range sectorSize / 4 {
			v := uint32(0)
			if c := int(s)*sectorSize/4 + i; c < len(f.table) {
				v = f.table[c]
			}
			binary.LittleEndian.PutUint32(sector[4*i:], v)
		}
		for n := range int64(fats) {
			if _, err := f.dev.WriteAt(sector, f.fatStart+(n*int64(f.fatLen)+int64(s))*sectorSize); err != nil {
				return fmt.Errorf("fat: %w", err)
			}
		}
	}
	clear(f.dirty)
	free := uint32(0)
	for _, v := range f.table[2:] {
		if v == 0 {
			free++
		}
	}
	info := make([]byte, sectorSize)
	binary.LittleEndian.PutUint32(info, 0x41615252)
	binary.LittleEndian.PutUint32(info[484:], 0x61417272)
	binary.LittleEndian.PutUint32(info[488:], free)
	binary.LittleEndian.PutUint32(info[492:], f.next)
	binary.LittleEndian.PutUint32(info[508:], 0xAA550000)
	for _, at := range []int64{1, 7} {
		if _, err := f.dev.WriteAt(info, at*sectorSize); err != nil {
			return fmt.Errorf("fat: %w", err)
		}
	}
	return nil
}
