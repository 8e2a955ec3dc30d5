package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf16"
)

const (
	gptSignature = "EFI PART"
	gptMaxEntry  = 4096 // octets; the standard size is 128
	gptMaxCount  = 1024 // the standard count is 128
)

// readTable fills in what the GPT of a disk says of its partitions. A disk
// without GPT is left as it is.
func readTable(r io.ReaderAt, d *Disk) error {
	if d.Sector == 0 {
		return nil
	}
	head := make([]byte, 92)
	if _, err := r.ReadAt(head, int64(d.Sector)); err != nil {
		return fmt.Errorf("read partition table of %s: %w", d.Name, err)
	}
	le := binary.LittleEndian
	if string(head[:8]) != gptSignature {
		return nil
	}
	first, count, size := le.Uint64(head[72:]), le.Uint32(head[80:]), le.Uint32(head[84:])
	if size < 128 || size > gptMaxEntry || count > gptMaxCount {
		return fmt.Errorf("partition table of %s: %d entries of %d octets", d.Name, count, size)
	}
	entries := make([]byte, int(count)*int(size))
	if _, err := r.ReadAt(entries, int64(first)*int64(d.Sector)); err != nil {
		return fmt.Errorf("read partition table of %s: %w", d.Name, err)
	}
	for i := range d.Partitions {
		p := &d.Partitions[i]
		if p.Number < 1 || p.Number > int(count) {
			continue
		}
		e := entries[(p.Number-1)*int(size):]
		p.Type, p.GUID, p.Label = guid(e[:16]), guid(e[16:32]), utf16Name(e[56:128])
	}
	return nil
}

// guid writes a GUID in its mixed byte order as text.
func guid(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

func utf16Name(b []byte) string {
	units := make([]uint16, len(b)/2)
	binary.Read(bytes.NewReader(b), binary.LittleEndian, units)
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	return printable(string(utf16.Decode(units)))
}
