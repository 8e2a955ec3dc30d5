// Package uki makes a unified kernel image: systemd's EFI stub with the kernel,
// the initramfs, the command line and the OS release as further PE sections
// (the UAPI group's specification of unified kernel images). The firmware
// loads the one file; the stub starts the kernel that is in it.
//
// The output depends on the inputs alone, byte for byte.
package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Parts are what goes into the image. Kernel and Initrd may be large; they
// are read twice where they are sections' contents, so they must be whole.
type Parts struct {
	Stub      []byte // linuxx64.efi.stub
	OSRelease []byte // in the form of os-release(5); systemd-boot reads name and version from it
	Cmdline   string
	Kernel    []byte
	Initrd    []byte
	Uname     string // kernel release, for tools that look
}

const (
	peOffset      = 0x3c
	coffHeader    = 24 // signature included
	sectionHeader = 40
	// sectionAlign is where our sections begin in memory: a page, so that the
	// kernel's may be mapped for itself.
	sectionAlign = 4096

	offNumberOfSections = 6
	offSizeOfInitData   = coffHeader + 8
	offSizeOfImage      = coffHeader + 56
	offChecksum         = coffHeader + 64

	// readOnlyData is IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ.
	readOnlyData = 0x40000040
)

// ErrStub means that the stub is not a PE image this package can extend.
var ErrStub = errors.New("uki: not a usable EFI stub")

// Build makes the image in memory.
func Build(p Parts) ([]byte, error) {
	stub, err := pe.NewFile(bytes.NewReader(p.Stub))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStub, err)
	}
	opt, ok := stub.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return nil, fmt.Errorf("%w: not PE32+", ErrStub)
	}
	sections := []struct {
		name string
		data []byte
	}{
		{".osrel", p.OSRelease},
		{".cmdline", []byte(p.Cmdline)},
		{".uname", []byte(p.Uname)},
		{".initrd", p.Initrd},
		{".linux", p.Kernel}, // the last one: the kernel unpacks itself into what follows
	}
	head := int(binary.LittleEndian.Uint32(p.Stub[peOffset:]))
	table := head + coffHeader + int(stub.FileHeader.SizeOfOptionalHeader)
	end := table + sectionHeader*(len(stub.Sections)+len(sections))
	if end > int(opt.SizeOfHeaders) {
		return nil, fmt.Errorf("%w: no room for %d section headers", ErrStub, len(sections))
	}
	memory := uint64(0)
	for _, s := range stub.Sections {
		if s.Name == ".linux" || s.Name == ".initrd" {
			return nil, fmt.Errorf("%w: it has a kernel already", ErrStub)
		}
		memory = max(memory, uint64(s.VirtualAddress)+uint64(max(s.VirtualSize, s.Size)))
	}
	fileAlign := uint64(opt.FileAlignment)
	size := roundUp(uint64(len(p.Stub)), fileAlign)
	total := size
	for _, s := range sections {
		total += roundUp(uint64(len(s.data)), fileAlign)
	}
	if total > 1<<31 {
		return nil, fmt.Errorf("uki: %d bytes are more than a PE image can have", total)
	}
	out := make([]byte, size, total)
	copy(out, p.Stub)
	clear(out[table+sectionHeader*len(stub.Sections) : end])
	added := uint64(0)
	for i, s := range sections {
		memory = roundUp(memory, sectionAlign)
		raw := roundUp(uint64(len(s.data)), fileAlign)
		h := out[table+sectionHeader*(len(stub.Sections)+i):][:sectionHeader]
		copy(h[:8], s.name)
		binary.LittleEndian.PutUint32(h[8:], uint32(len(s.data)))
		binary.LittleEndian.PutUint32(h[12:], uint32(memory))
		binary.LittleEndian.PutUint32(h[16:], uint32(raw))
		binary.LittleEndian.PutUint32(h[20:], uint32(len(out)))
		binary.LittleEndian.PutUint32(h[36:], readOnlyData)
		memory += raw
		added += raw
		out = append(out, s.data...)
		out = append(out, make([]byte, raw-uint64(len(s.data)))...)
	}
	pe := out[head:]
	binary.LittleEndian.PutUint16(pe[offNumberOfSections:], uint16(len(stub.Sections)+len(sections)))
	binary.LittleEndian.PutUint32(pe[offSizeOfInitData:], opt.SizeOfInitializedData+uint32(added))
	binary.LittleEndian.PutUint32(pe[offSizeOfImage:], uint32(roundUp(memory, max(uint64(opt.SectionAlignment), sectionAlign))))
	binary.LittleEndian.PutUint32(pe[offChecksum:], 0) // firmware does not look at it
	return out, nil
}

func roundUp(n, to uint64) uint64 {
	if to == 0 {
		return n
	}
	return (n + to - 1) / to * to
}

// Section reads one of the sections of an image, nil where it has none.
func Section(image io.ReaderAt, name string) ([]byte, error) {
	f, err := pe.NewFile(image)
	if err != nil {
		return nil, fmt.Errorf("uki: %w", err)
	}
	s := f.Section(name)
	if s == nil {
		return nil, nil
	}
	b, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("uki: section %s: %w", name, err)
	}
	return b[:min(len(b), int(s.VirtualSize))], nil
}
