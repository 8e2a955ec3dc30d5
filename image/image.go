// Package image puts a board's parts together to the file that is flashed: a
// disk with a GPT, ready to boot by UEFI.
//
// # Layout
//
//	1  BIOS boot    1 MiB, empty: room for a legacy loader
//	2  ESP          FAT32, 1 GiB
//	                  EFI/BOOT/BOOTX64.EFI             systemd-boot
//	                  EFI/Linux/pillarbox-VERSION+3.efi  the system, three tries to boot well
//	                  loader/loader.conf
//	3  PBX-STATE    1 GiB, an ext4 seed that the box grows to its partition
//	4  PBX-DATA     an ext4 seed that the box grows to the disk's end
//
// The same inputs give the same bytes: times, identifiers and orders come from
// the version and the time of its commit. No step needs root, a loop device
// or a mount.
package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"pillarbox/board"
	"pillarbox/image/fat"
	"pillarbox/image/gpt"
	"pillarbox/image/uki"
	"pillarbox/initramfs"
)

const (
	mib        = 1 << 20
	blockSize  = 512
	align      = mib / blockSize
	biosSize   = 1 * mib
	espSize    = 1024 * mib
	stateSize  = 1024 * mib
	seedSize   = 256 * mib // of a file system before it is grown
	journalMiB = 64        // a journal cannot grow online: one for a server from the start
	bootTries  = 3         // systemd-boot's counter for a system not yet proven
)

// Labels of the partitions and their file systems.
const (
	LabelESP   = "PBX-ESP"
	LabelState = "PBX-STATE"
	LabelData  = "PBX-DATA"
)

// Config says what to build.
type Config struct {
	Board     *board.Board
	Archive   *board.Archive
	Initramfs *initramfs.Config
	Version   string // no "+": systemd-boot's counter begins there
	Time      time.Time
	Log       *slog.Logger
}

// Result is a built image.
type Result struct {
	UKISize   int64
	Initramfs *initramfs.Result
}

// UKIPath is where the system lies on the ESP of a fresh image.
func UKIPath(version string) string {
	return fmt.Sprintf("EFI/Linux/pillarbox-%s+%d.efi", version, bootTries)
}

// Build writes the image to path, which must be on a file system that keeps
// sparse files sparse, or there must be room.
func (c *Config) Build(ctx context.Context, path string) (*Result, error) {
	if strings.ContainsAny(c.Version, "+/ ") {
		return nil, fmt.Errorf("version %q: must not hold a plus sign, slash or space", c.Version)
	}
	seeds := map[int]string{} // by partition
	for i, label := range map[int]string{2: LabelState, 3: LabelData} {
		seed, err := c.makeSeed(ctx, filepath.Dir(path), label)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", label, err)
		}
		defer os.Remove(seed)
		seeds[i] = seed
	}
	// The box makes other disks ready for mail by the same one.
	c.Initramfs.DataSeed = seeds[3]
	rootfs, err := c.Initramfs.Build(ctx)
	if err != nil {
		return nil, err
	}
	bootTree, _, err := c.Archive.Tree(ctx, "systemd-boot-efi")
	if err != nil {
		return nil, err
	}
	stub, err := os.ReadFile(filepath.Join(bootTree, "usr/lib/systemd/boot/efi/linuxx64.efi.stub"))
	if err != nil {
		return nil, err
	}
	loader, err := os.ReadFile(filepath.Join(bootTree, "usr/lib/systemd/boot/efi/systemd-bootx64.efi"))
	if err != nil {
		return nil, err
	}
	kernel, err := os.ReadFile(rootfs.Kernel)
	if err != nil {
		return nil, err
	}
	system, err := uki.Build(uki.Parts{
		Stub: stub, OSRelease: []byte(initramfs.OSRelease(c.Version, c.Board)), Cmdline: c.Board.CommandLine(),
		Kernel: kernel, Initrd: rootfs.Data, Uname: rootfs.Release,
	})
	if err != nil {
		return nil, err
	}
	c.Log.Info("writing the image", "path", path)
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	table := c.table()
	if err := out.Truncate(int64(table.Blocks) * blockSize); err != nil {
		return nil, err
	}
	if err := table.Write(out); err != nil {
		return nil, err
	}
	if err := c.writeESP(part(out, table, 1), table.Partitions[1], []espFile{
		{"EFI/BOOT/BOOTX64.EFI", loader},
		{"EFI/systemd/systemd-bootx64.efi", loader},
		{UKIPath(c.Version), system},
		{"loader/loader.conf", []byte("timeout 0\nconsole-mode keep\neditor no\n")},
	}); err != nil {
		return nil, err
	}
	for i, seed := range seeds {
		if err := writeSeed(part(out, table, i), seed); err != nil {
			return nil, fmt.Errorf("%s: %w", table.Partitions[i].Name, err)
		}
	}
	return &Result{UKISize: int64(len(system)), Initramfs: rootfs}, out.Close()
}

// id derives an identifier that is this image's own and the same in every build of it.
func (c *Config) id(what string) gpt.GUID {
	sum := sha256.Sum256([]byte("pillarbox image\x00" + c.Board.Name + "\x00" + c.Version + "\x00" + what))
	g := gpt.GUID(sum[:16])
	g[6] = g[6]&0x0f | 0x80 // version 8 (RFC 9562 section 5.8)
	g[8] = g[8]&0x3f | 0x80
	return g
}

func (c *Config) table() *gpt.Table {
	t := &gpt.Table{ID: c.id("disk"), BlockSize: blockSize}
	at := uint64(align)
	add := func(name string, kind gpt.GUID, size int64) {
		n := uint64(size / blockSize)
		t.Partitions = append(t.Partitions, gpt.Partition{Type: kind, ID: c.id(name), First: at, Last: at + n - 1, Name: name})
		at += n
	}
	add("PBX-BIOS", gpt.TypeBIOSBoot, biosSize)
	add(LabelESP, gpt.TypeESP, espSize)
	add(LabelState, gpt.TypeLinux, stateSize)
	add(LabelData, gpt.TypeLinux, seedSize)
	t.Blocks = at + align // room for the second table
	return t
}

// span is a part of a larger device.
type span struct {
	f    *os.File
	from int64
}

func (s span) ReadAt(p []byte, off int64) (int, error)  { return s.f.ReadAt(p, s.from+off) }
func (s span) WriteAt(p []byte, off int64) (int, error) { return s.f.WriteAt(p, s.from+off) }

func part(f *os.File, t *gpt.Table, i int) span {
	return span{f, int64(t.Partitions[i].First) * int64(t.BlockSize)}
}

type espFile struct {
	path string
	data []byte
}

func (c *Config) writeESP(dev fat.Device, p gpt.Partition, files []espFile) error {
	serial := c.id("esp serial")
	esp, err := fat.Format(dev, fat.Options{
		Size: int64(p.Blocks()) * blockSize, Label: LabelESP, HiddenSectors: uint32(p.First), Time: c.Time,
		Serial: uint32(serial[0])<<24 | uint32(serial[1])<<16 | uint32(serial[2])<<8 | uint32(serial[3]),
	})
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := esp.WriteFile(f.path, strings.NewReader(string(f.data)), int64(len(f.data))); err != nil {
			return err
		}
	}
	return esp.Flush()
}

// mke2fsConf keeps the host's defaults out: the same seed on every machine.
// A file of 64 KiB an inode is many more than Badger makes. With orphan_file the
// list of files that are deleted while open lies in a file: without, each
// deletion writes the superblock, whose checksum a power cut in the middle of
// that write makes wrong, and the volume is refused before the journal is read.
const mke2fsConf = `[defaults]
	base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
	blocksize = 4096
	inode_size = 256
	inode_ratio = 65536
[fs_types]
	ext4 = {
		features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize,orphan_file
	}
	small = {
	}
`

// makeSeed makes a small ext4 with the reference implementation in a file in dir,
// which is the caller's to remove.
func (c *Config) makeSeed(ctx context.Context, dir, label string) (path string, err error) {
	tmp, err := os.CreateTemp(dir, "seed-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, tmp.Close()); err != nil {
			os.Remove(tmp.Name())
		}
	}()
	if err := tmp.Truncate(seedSize); err != nil {
		return "", err
	}
	conf := tmp.Name() + ".conf"
	if err := os.WriteFile(conf, []byte(mke2fsConf), 0o644); err != nil {
		return "", err
	}
	defer os.Remove(conf)
	uuid := strings.ToLower(c.id(label + " file system").String())
	cmd := exec.CommandContext(ctx, "/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", fmt.Sprintf("size=%d", journalMiB), "-m", "0", "-L", label, "-U", uuid,
		"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0,hash_seed="+uuid, tmp.Name())
	epoch := fmt.Sprint(c.Time.Unix())
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+epoch, "E2FSPROGS_FAKE_TIME="+epoch, "MKE2FS_CONFIG="+conf)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mke2fs: %w: %s", err, out)
	}
	return tmp.Name(), nil
}

// writeSeed copies what is not zero of a seed into its partition.
func writeSeed(to span, seed string) error {
	f, err := os.Open(seed)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, mib)
	for off := int64(0); off < seedSize; off += int64(len(buf)) {
		if _, err := f.ReadAt(buf, off); err != nil && err != io.EOF {
			return err
		}
		if allZero(buf) {
			continue
		}
		if _, err := to.WriteAt(buf, off); err != nil {
			return err
		}
	}
	return nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
