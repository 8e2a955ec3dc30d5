package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"pillarbox/image/gpt"
)

// tableAlign is what the end of a grown partition is aligned to, octets, as
// the image's partitions are.
const tableAlign = 1 << 20

// readTable fills in what the GPT of a disk says of its partitions. A disk
// without GPT is left as it is. Partitions are matched by where they begin, for
// the kernel has their numbers and the table may have gaps.
func readTable(r io.ReaderAt, d *Disk) error {
	t, err := gpt.Read(r, d.Size)
	if errors.Is(err, gpt.ErrNoTable) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read partition table of %s: %w", d.Name, err)
	}
	for _, e := range t.Partitions {
		for i := range d.Partitions {
			p := &d.Partitions[i]
			if p.Start == int64(e.First)*int64(t.BlockSize) {
				p.Type, p.GUID, p.Label = strings.ToLower(e.Type.String()), strings.ToLower(e.ID.String()), printable(e.Name)
			}
		}
	}
	return nil
}

// GrowPartition makes p reach the end of its disk d, when p is the last
// partition and the disk has room after it, in the table and for the kernel.
// It returns p with the size that the kernel now knows, also with an error.
func GrowPartition(dev string, d Disk, p Partition) (Partition, error) {
	if d.ReadOnly {
		return p, nil // which is told of by who mounts it
	}
	// Each write is on disk before the next: the table at the end before the
	// one at the beginning.
	f, err := os.OpenFile(filepath.Join(dev, d.Name), os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return p, fmt.Errorf("grow partition %s: %w", p.Name, err)
	}
	defer f.Close()
	return growPartition(f, d, p, func(start, size int64) error {
		return resizePartition(f, p.Number, start, size)
	})
}

// device is a disk to read and write.
type device interface {
	io.ReaderAt
	io.WriterAt
}

func growPartition(f device, d Disk, p Partition, resize func(start, size int64) error) (Partition, error) {
	t, err := gpt.Read(f, d.Size)
	if errors.Is(err, gpt.ErrNoTable) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("grow partition %s: %w", p.Name, err)
	}
	bs := int64(t.BlockSize)
	t.Resize(uint64(d.Size / bs))
	i, grew := t.GrowLast(uint64(tableAlign / bs))
	// Writing numbers the entries anew: with a gap before it, the partition
	// would become another.
	if !grew || int64(t.Partitions[i].First)*bs != p.Start || i+1 != p.Number {
		return p, nil
	}
	if err := t.Write(f); err != nil {
		return p, fmt.Errorf("grow partition %s: %w", p.Name, err)
	}
	grown := int64(t.Partitions[i].Blocks()) * bs
	if err := resize(p.Start, grown); err != nil {
		return p, err
	}
	p.Size = grown
	return p, nil
}
