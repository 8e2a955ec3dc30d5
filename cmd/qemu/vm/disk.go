package vm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/image/fat"
	"pillarbox/image/gpt"
)

// DiskSize is the disk that an image is put on, in bytes: room for the data
// volume to grow, as on a server.
const DiskSize = 8 << 30

// ProvisionFile is the provisioning file's name on the ESP.
const ProvisionFile = "pillarbox.toml"

// NewDisk puts a copy of the image on a new disk of size bytes, with the
// provisioning file on its ESP unless that is empty.
func NewDisk(path, image string, size int64, provision []byte) error {
	if err := CopySparse(path, image, size); err != nil {
		return err
	}
	if len(provision) == 0 {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := WriteESP(f, size, ProvisionFile, provision); err != nil {
		return fmt.Errorf("provisioning file: %w", err)
	}
	return f.Close()
}

// Disk is a disk's content.
type Disk interface {
	io.ReaderAt
	io.WriterAt
}

// WriteESP writes a file to the ESP of the disk of size bytes.
func WriteESP(disk Disk, size int64, name string, data []byte) error {
	esp, err := openESP(disk, size)
	if err != nil {
		return err
	}
	if err := esp.WriteFile(name, bytes.NewReader(data), int64(len(data))); err != nil {
		return err
	}
	return esp.Flush()
}

// ReadESP reads a file of the ESP of the disk of size bytes; nil where there is
// none.
func ReadESP(disk Disk, size int64, name string) ([]byte, error) {
	esp, err := openESP(disk, size)
	if err != nil {
		return nil, err
	}
	return esp.ReadFile(name)
}

// ListESP names what is in a folder of the ESP of the disk of size bytes,
// folders with a slash at the end.
func ListESP(disk Disk, size int64, folder string) ([]string, error) {
	esp, err := openESP(disk, size)
	if err != nil {
		return nil, err
	}
	return esp.List(folder)
}

// PartitionStart finds a partition of the disk of size bytes by its name, and
// returns its first byte.
func PartitionStart(disk Disk, size int64, name string) (int64, error) {
	table, err := gpt.Read(disk, size)
	if err != nil {
		return 0, err
	}
	for _, p := range table.Partitions {
		if p.Name == name {
			return int64(p.First) * int64(table.BlockSize), nil
		}
	}
	return 0, fmt.Errorf("the disk has no partition %q", name)
}

func openESP(disk Disk, size int64) (*fat.FS, error) {
	table, err := gpt.Read(disk, size)
	if err != nil {
		return nil, err
	}
	for _, p := range table.Partitions {
		if p.Type == gpt.TypeESP {
			from := int64(p.First) * int64(table.BlockSize)
			return fat.Open(span{disk, from}, time.Now())
		}
	}
	return nil, errors.New("the disk has no ESP")
}

// span is the part of a disk that begins at from.
type span struct {
	Disk
	from int64
}

func (s span) ReadAt(p []byte, off int64) (int, error)  { return s.Disk.ReadAt(p, s.from+off) }
func (s span) WriteAt(p []byte, off int64) (int, error) { return s.Disk.WriteAt(p, s.from+off) }

// CopySparse copies a file without its holes, and makes the copy size bytes
// long, or as long as the original where that is longer.
func CopySparse(to, from string, size int64) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(max(size, st.Size())); err != nil {
		return err
	}
	for at := int64(0); at < st.Size(); {
		from, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but a hole follows
			return nil
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", in.Name(), err)
		}
		end, err := unix.Seek(int(in.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("copy %s: %w", in.Name(), err)
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, from), io.NewSectionReader(in, from, end-from)); err != nil {
			return fmt.Errorf("copy %s: %w", in.Name(), err)
		}
		at = end
	}
	return nil
}
