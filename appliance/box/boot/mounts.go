package boot

import (
	"fmt"
	"os"

	"github.com/u-root/u-root/pkg/mount"
	"golang.org/x/sys/unix"
)

const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// early are the file systems that have no disk. Those of optional are there on
// some machines only.
var early = []struct {
	path, fstype, data string
	flags              uintptr
	optional           bool
}{
	{"/proc", "proc", "", safe, false},
	{"/sys", "sysfs", "", safe, false},
	{"/dev", "devtmpfs", "mode=0755", unix.MS_NOSUID, false},
	{"/dev/pts", "devpts", "mode=0620,ptmxmode=0666", unix.MS_NOSUID | unix.MS_NOEXEC, false},
	{"/run", "tmpfs", "mode=0755,size=64m", safe, false},
	// A tenth of the memory: mail is spooled on the data volume, not here.
	{"/tmp", "tmpfs", "mode=1777,size=10%", safe, false},
	{"/sys/fs/cgroup", "cgroup2", "", safe, true},
	{"/sys/fs/pstore", "pstore", "", safe, true},
}

// efivarsPath is there on machines that UEFI has started.
const efivarsPath = "/sys/firmware/efi/efivars"

// mountVariables mounts the firmware's variables, by which the loader says what
// it started. Their file system is a module: drivers have to be loaded before.
func (s *System) mountVariables() {
	if _, err := os.Stat(efivarsPath); err != nil {
		return
	}
	if _, err := mount.Mount("efivarfs", efivarsPath, "efivarfs", "", safe); err != nil {
		s.problems.add("firmware variables", fmt.Sprintf("the firmware's variables cannot be read, so that this version is not marked as good: %v", err))
	}
}

// earlyMounts mounts what everything else needs. Nothing can be shown yet.
func (s *System) earlyMounts() {
	unix.Umask(0o022)
	for _, m := range early {
		if m.optional {
			if _, err := os.Stat(m.path); err != nil {
				continue // the kernel makes the mount point where it has the thing
			}
		} else if err := os.MkdirAll(m.path, 0o755); err != nil {
			s.problems.add("mount "+m.path, err.Error())
			continue
		}
		if _, err := mount.Mount(m.fstype, m.path, m.fstype, m.data, m.flags); err != nil && !m.optional {
			s.problems.add("mount "+m.path, fmt.Sprintf("%s cannot be mounted: %v", m.path, err))
		}
	}
	s.openStandard()
}

// openStandard makes standard input, output and error the console. The kernel
// starts PID 1 without when the initramfs has no node for it, and the Go
// runtime writes of its last fault to standard error.
func (s *System) openStandard() {
	fd, err := unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.problems.add("console", fmt.Sprintf("/dev/console: %v", err))
		return
	}
	for i := range 3 {
		unix.Dup3(fd, i, 0)
	}
	if fd > 2 {
		unix.Close(fd)
	}
}
