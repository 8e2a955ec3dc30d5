package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/image/gpt"
)

// LeastForMail is the smallest disk that mail can be kept on, in octets.
const LeastForMail = 2_000_000_000

// SeedPath is where the image has the file system that a disk for mail begins
// with, compressed by zstd: small, and grown once it is mounted.
const SeedPath = "/usr/share/pillarbox/data.ext4.zst"

const (
	rereadWait  = 5 * time.Second
	rereadRetry = 100 * time.Millisecond
)

// Unfit gives the reason why mail cannot be kept on d, one of boxapi's; empty where
// it can.
func (d *Disk) Unfit() string {
	switch {
	case d.Unreadable:
		return boxapi.UnfitUnreadable
	case d.ReadOnly:
		return boxapi.UnfitReadOnly
	case d.Removable:
		return boxapi.UnfitRemovable
	case d.Size < LeastForMail:
		return boxapi.UnfitSmall
	}
	return ""
}

// Prepare makes d a disk for mail and nothing else: one partition with the file
// system that seed holds. Everything on it is lost. It returns the GUID of the
// partition, which is a new one.
//
// A disk that is in use is left alone. What was there is gone before anything new
// is written, and the table that leads to it comes last, so that a disk of which
// the making was cut short counts as empty. seed is written with all its zeros:
// the journal of an older file system at the same place must not be taken for its
// own.
func Prepare(dev string, d Disk, seed io.Reader) (guid string, err error) {
	// O_EXCL fails for a disk of which a partition is mounted.
	f, err := os.OpenFile(filepath.Join(dev, d.Name), os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return "", fmt.Errorf("prepare %s: %w", d.Name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if guid, err = prepare(f, d, seed); err != nil {
		return "", fmt.Errorf("prepare %s: %w", d.Name, err)
	}
	// Busy while somebody looks at a partition that was there before.
	for deadline := time.Now().Add(rereadWait); ; time.Sleep(rereadRetry) {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKRRPART, 0)
		if errno == 0 || errno == unix.ENOTTY { // ENOTTY: a file, in a test
			return guid, nil
		}
		if errno != unix.EBUSY || time.Now().After(deadline) {
			return "", fmt.Errorf("have the kernel read the partition table of %s: %w", d.Name, errno)
		}
	}
}

// durable is a device whose writes can be made to last.
type durable interface {
	device
	Sync() error
}

func prepare(f durable, d Disk, seed io.Reader) (string, error) {
	bs := d.Sector
	if bs != 4096 {
		bs = 512
	}
	t := &gpt.Table{ID: newGUID(), BlockSize: bs, Blocks: uint64(d.Size) / uint64(bs)}
	align := uint64(tableAlign / bs)
	if t.Blocks < 4*align {
		return "", fmt.Errorf("%d octets are too few", d.Size)
	}
	p := gpt.Partition{Type: gpt.TypeLinux, ID: newGUID(), First: align, Last: (t.LastUsable()+1)/align*align - 1, Name: LabelData}
	t.Partitions = []gpt.Partition{p}
	zeros := make([]byte, tableAlign)
	for _, at := range []int64{0, d.Size - tableAlign} {
		if _, err := f.WriteAt(zeros, at); err != nil {
			return "", err
		}
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	room := &section{f: f, at: tableAlign, end: int64(p.Last+1) * int64(bs)}
	if _, err := io.CopyBuffer(room, struct{ io.Reader }{seed}, make([]byte, tableAlign)); err != nil {
		return "", fmt.Errorf("write the file system: %w", err)
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	if err := t.Write(f); err != nil {
		return "", err
	}
	return strings.ToLower(p.ID.String()), f.Sync()
}

// section writes to a part of a device, one piece after the other.
type section struct {
	f       io.WriterAt
	at, end int64
}

func (s *section) Write(p []byte) (int, error) {
	if s.at+int64(len(p)) > s.end {
		return 0, errors.New("the partition has no room for it")
	}
	n, err := s.f.WriteAt(p, s.at)
	s.at += int64(n)
	return n, err
}

// newGUID makes a random GUID (RFC 9562 section 5.4).
func newGUID() (g gpt.GUID) {
	rand.Read(g[:])
	g[6] = g[6]&0x0f | 0x40
	g[8] = g[8]&0x3f | 0x80
	return g
}
