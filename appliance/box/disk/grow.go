package disk

import (
	"context"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// ioctlResizeFS is EXT4_IOC_RESIZE_FS: grow a mounted ext4 file system to
	// a number of blocks.
	ioctlResizeFS = 0x40086610

	// ioctlBLKPG is BLKPG, and blkpgResize its operation to change the size of
	// a partition that may be in use.
	ioctlBLKPG  = 0x1269
	blkpgResize = 3

	// progressEvery is the time between two looks at a growing file system.
	progressEvery = 2 * time.Second

	// worthGrowing is the least that is worth the trouble.
	worthGrowing = 1 << 20
)

// blkpgPartition is struct blkpg_partition of linux/blkpg.h.
type blkpgPartition struct {
	start  int64 // octets
	length int64 // octets
	number int32
	_      [128]byte // names, which the kernel does not read
	_      [4]byte
}

// blkpgArg is struct blkpg_ioctl_arg.
type blkpgArg struct {
	op      int32
	flags   int32
	datalen int32
	_       [4]byte
	data    *blkpgPartition
}

// resizePartition tells the kernel the new size of a partition.
func resizePartition(disk *os.File, number int, start, size int64) error {
	part := &blkpgPartition{start: start, length: size, number: int32(number)}
	arg := &blkpgArg{op: blkpgResize, datalen: int32(unsafe.Sizeof(*part)), data: part}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), ioctlBLKPG, uintptr(unsafe.Pointer(arg)))
	if errno != 0 {
		return fmt.Errorf("resize partition %d of %s: %w", number, disk.Name(), errno)
	}
	return nil
}

// Grow makes the ext4 file system fill its partition and returns what was
// gained, in octets. progress is called now and then with the size so far and
// the size aimed at. There is no way to stop it once begun; a power cut leaves
// a sound file system of some size in between.
func (m *Mount) Grow(ctx context.Context, progress func(size, target int64)) (int64, error) {
	if m.super.BlockSize == 0 || m.Size-m.super.Blocks*m.super.BlockSize < worthGrowing {
		return 0, nil
	}
	target := m.Size / m.super.BlockSize
	before := m.Status().Size
	done := make(chan error, 1)
	go func() { done <- resizeFS(m.Path, target) }()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			after := m.Status().Size
			m.grown = after - before
			if err != nil {
				return m.grown, fmt.Errorf("grow %s to %d octets: %w", m.Name, m.Size, err)
			}
			return m.grown, nil
		case <-tick.C:
			progress(m.Status().Size, m.Size)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func resizeFS(path string, blocks int64) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	n := uint64(blocks)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ioctlResizeFS, uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return errno
	}
	return nil
}
