package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	superOffset = 1024
	superSize   = 1024
	superMagic  = 0xef53
)

// ErrNotExt4 is returned for a volume that holds no ext4 file system.
var ErrNotExt4 = errors.New("no ext4 file system")

// Super is what matters here of an ext4 superblock.
type Super struct {
	Label     string
	BlockSize int64
	Blocks    int64
	// Errors is how many errors the kernel has found in this file system since
	// it was made or last repaired; LastError is the kernel function that
	// found the latest.
	Errors    int
	LastError string
}

// ReadSuper reads the superblock of the volume r.
func ReadSuper(r io.ReaderAt) (*Super, error) {
	b := make([]byte, superSize)
	if _, err := r.ReadAt(b, superOffset); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, ErrNotExt4
		}
		return nil, fmt.Errorf("read superblock: %w", err)
	}
	le := binary.LittleEndian
	shift := le.Uint32(b[0x18:])
	if le.Uint16(b[0x38:]) != superMagic || shift > 6 {
		return nil, ErrNotExt4
	}
	const feature64bit = 0x80
	s := &Super{
		Label:     cstring(b[0x78:0x88]),
		BlockSize: 1024 << shift,
		Blocks:    int64(le.Uint32(b[0x04:])),
		Errors:    int(le.Uint32(b[0x194:])),
		LastError: cstring(b[0x1e0:0x200]),
	}
	if le.Uint32(b[0x60:])&feature64bit != 0 {
		s.Blocks |= int64(le.Uint32(b[0x150:])) << 32
	}
	return s, nil
}

func cstring(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return printable(string(text))
}
