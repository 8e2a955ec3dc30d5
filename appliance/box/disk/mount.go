package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/u-root/u-root/pkg/mount"
	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/initapi"
)

// Flags of every volume: they hold data, never programs or devices.
const dataFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME

// Mount is one volume at its place.
type Mount struct {
	Partition
	Path  string
	grown int64
	super Super
}

// ext4Options: a file system in which the kernel finds an error becomes read-only
// rather than worse, and the journal goes without checksums of its own. A commit
// block is 4 KiB, of which the first sector says everything; with checksums, one
// that a power cut has torn in two makes Linux 6.1 refuse the whole volume as
// corrupt. Without them the order of writes alone counts, which the flushes before
// each commit block keep; metadata keeps its checksums.
const ext4Options = "errors=remount-ro,nojournal_checksum"

// ErrReadOnly is a disk that takes no writes: many SSDs end so.
var ErrReadOnly = errors.New("its disk can only be read, being write-protected or worn out")

// MountExt4 mounts an ext4 volume at path. ErrReadOnly says that it could be mounted
// for reading alone.
func MountExt4(dev string, p Partition, path string) (*Mount, error) {
	return mountExt4(dev, p, path, ext4Options, dataFlags)
}

// MountReadable mounts an ext4 volume whose disk can only be read, for reading. What
// is still in its journal after a power cut cannot be put in place then: it is left
// out.
func MountReadable(dev string, p Partition, path string) (*Mount, error) {
	return mountExt4(dev, p, path, "noload", dataFlags|unix.MS_RDONLY)
}

func mountExt4(dev string, p Partition, path, options string, flags uintptr) (*Mount, error) {
	name := filepath.Join(dev, p.Name)
	super, err := readSuperOf(name)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", p.Name, err)
	}
	if err := unwritable(mountAt(name, path, "ext4", options, flags)); err != nil {
		return nil, err
	}
	return &Mount{Partition: p, Path: path, super: *super}, nil
}

// unwritable makes ErrReadOnly of the two errors by which mount(2) says so.
func unwritable(err error) error {
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		return ErrReadOnly
	}
	return err
}

// MountESP mounts the ESP read-only at path: it is written to rarely, and FAT
// bears a power cut badly. See Writable.
func MountESP(dev string, p Partition, path string) (*Mount, error) {
	// The provisioning file may hold passwords: for root alone.
	err := mountAt(filepath.Join(dev, p.Name), path, "vfat", "umask=0077,errors=remount-ro", dataFlags|unix.MS_RDONLY)
	if err != nil {
		return nil, err
	}
	return &Mount{Partition: p, Path: path}, nil
}

func mountAt(device, path, fstype, data string, flags uintptr) error {
	_, err := mount.Mount(device, path, fstype, data, flags, func() error { return os.MkdirAll(path, 0o755) })
	return err
}

// Writable makes the volume at path writable for as long as fn runs, and what
// fn wrote durable. It waits for others, of other processes too, that do so: the
// first to end makes the volume read-only again for all.
func Writable(path string, fn func() error) (err error) {
	root, err := os.Open(path)
	if err != nil {
		return err
	}
	defer root.Close() // and with it the lock
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(root.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	remount := func(flags uintptr) error {
		if err := unix.Mount("", path, "", unix.MS_REMOUNT|dataFlags|flags, ""); err != nil {
			return fmt.Errorf("remount %s: %w", path, err)
		}
		return nil
	}
	if err := remount(0); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, Sync(path), remount(unix.MS_RDONLY))
	}()
	return fn()
}

// Sync makes durable what was written to the file system at path.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// Status describes the volume as it is now.
func (m *Mount) Status() initapi.Volume {
	if m == nil {
		return initapi.Volume{}
	}
	v := initapi.Volume{Device: m.Name, Disk: m.Disk, Grown: m.grown, FSErrors: m.super.Errors, LastError: m.super.LastError}
	var st unix.Statfs_t
	if unix.Statfs(m.Path, &st) == nil {
		v.Mounted = true
		v.ReadOnly = st.Flags&unix.ST_RDONLY != 0
		v.Size = int64(st.Blocks) * st.Bsize
		v.Free = int64(st.Bavail) * st.Bsize
	}
	return v
}

// Unmount takes the volume out of use. When something still uses it, it is
// made read-only instead, which is as good for what is on it.
func (m *Mount) Unmount() error {
	if m == nil {
		return nil
	}
	err := m.Leave()
	if err == nil {
		return nil
	}
	ro := unix.Mount("", m.Path, "", unix.MS_REMOUNT|unix.MS_RDONLY|dataFlags, "")
	return errors.Join(err, ro)
}

// Leave takes the volume out of use; one that something still uses stays as it is.
func (m *Mount) Leave() error { return mount.Unmount(m.Path, false, false) }

func readSuperOf(device string) (*Super, error) {
	f, err := os.Open(device)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadSuper(f)
}
