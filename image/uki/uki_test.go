package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"testing"
)

// stub makes the smallest PE32+ image that has one section and room in its
// headers for more.
func stub(sections int) []byte {
	const head = 0x40
	b := make([]byte, 1024+512)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[peOffset:], head)
	h := b[head:]
	copy(h, "PE\x00\x00")
	binary.LittleEndian.PutUint16(h[4:], pe.IMAGE_FILE_MACHINE_AMD64)
	binary.LittleEndian.PutUint16(h[6:], uint16(sections))
	binary.LittleEndian.PutUint16(h[20:], 240)
	o := h[coffHeader:]
	binary.LittleEndian.PutUint16(o, 0x20b)
	binary.LittleEndian.PutUint32(o[32:], 512)
	binary.LittleEndian.PutUint32(o[36:], 512)
	binary.LittleEndian.PutUint32(o[56:], 0x2000)
	binary.LittleEndian.PutUint32(o[60:], 1024)
	binary.LittleEndian.PutUint32(o[108:], 16)
	for i := range sections {
		s := o[240+sectionHeader*i:]
		copy(s, ".text")
		binary.LittleEndian.PutUint32(s[8:], 500)
		binary.LittleEndian.PutUint32(s[12:], 0x1000)
		binary.LittleEndian.PutUint32(s[16:], 512)
		binary.LittleEndian.PutUint32(s[20:], 1024)
	}
	return b
}

func parts() Parts {
	return Parts{
		Stub: stub(1), OSRelease: []byte("ID=pillarbox\n"), Cmdline: "console=ttyS0", Uname: "6.1",
		Kernel: bytes.Repeat([]byte("k"), 5000), Initrd: bytes.Repeat([]byte("i"), 9000),
	}
}

func TestSectionsComeBack(t *testing.T) {
	p := parts()
	out, err := Build(p)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{
		".osrel": p.OSRelease, ".cmdline": []byte(p.Cmdline), ".uname": []byte(p.Uname), ".linux": p.Kernel, ".initrd": p.Initrd,
	} {
		got, err := Section(bytes.NewReader(out), name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
	f, err := pe.NewFile(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	var end uint32
	for _, s := range f.Sections {
		if s.VirtualAddress < end || s.Name != ".text" && s.VirtualAddress%sectionAlign != 0 {
			t.Errorf("section %s at %#x, the one before ends at %#x", s.Name, s.VirtualAddress, end)
		}
		end = s.VirtualAddress + s.VirtualSize
	}
	if size := f.OptionalHeader.(*pe.OptionalHeader64).SizeOfImage; size < end {
		t.Errorf("size of image %#x, sections end at %#x", size, end)
	}
	again, err := Build(p)
	if err != nil || !bytes.Equal(out, again) {
		t.Errorf("a second build differs, %v", err)
	}
}

func TestStubsThatWillNotDo(t *testing.T) {
	full, twice := parts(), parts()
	full.Stub = stub(18) // header room for 18 sections, none left
	out, err := Build(twice)
	if err != nil {
		t.Fatal(err)
	}
	twice.Stub = out
	for name, p := range map[string]Parts{"no PE": {Stub: []byte("MZ and nothing")}, "no room": full, "has a kernel": twice} {
		if _, err := Build(p); !errors.Is(err, ErrStub) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
