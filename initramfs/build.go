package initramfs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"pillarbox/appliance/config/boardfile"
	"pillarbox/board"
)

// Config says what to build.
type Config struct {
	Root    string // of the project
	Cache   string // for what need not be made again
	Board   *board.Board
	Archive *board.Archive
	Version string
	Time    time.Time // of the commit
	Log     *slog.Logger
	// Programs, where set, holds our binaries, built already.
	Programs string
	// DataSeed, where set, is a file with the file system that the box makes
	// disks ready for mail with.
	DataSeed string
}

// Result is a built initramfs with what was found on the way.
type Result struct {
	Data    []byte // to be given to the kernel
	Size    int64  // of the root file system, uncompressed
	Release string // of the kernel
	Kernel  string // path of the kernel image
	Modules int
	// MissingFirmware are files that modules ask for and no package had;
	// LeftOut are packages that no source of the host offers.
	MissingFirmware []string
	LeftOut         []string
}

// Build makes the initramfs of a board.
func (c *Config) Build(ctx context.Context) (*Result, error) {
	kernelTree, _, err := c.Archive.Tree(ctx, c.Board.Kernel+"->")
	if err != nil {
		return nil, err
	}
	set, err := readModules(kernelTree)
	if err != nil {
		return nil, err
	}
	if err := set.choose(c.Board); err != nil {
		return nil, err
	}
	res := &Result{Release: set.release, Kernel: filepath.Join(kernelTree, "boot", "vmlinuz-"+set.release), Modules: len(set.chosen)}
	work, err := os.MkdirTemp(c.Cache, "initramfs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	a := newArchive()
	skeleton(a)
	if err := c.addPrograms(ctx, a, work); err != nil {
		return nil, err
	}
	if err := set.stage(ctx, filepath.Join(work, "modules")); err != nil {
		return nil, err
	}
	if err := a.tree("lib/modules", filepath.Join(work, "modules/lib/modules"), nil); err != nil {
		return nil, err
	}
	if err := c.addData(ctx, a); err != nil {
		return nil, err
	}
	if err := c.addSeed(a); err != nil {
		return nil, err
	}
	if err := c.addFirmware(ctx, a, set, res); err != nil {
		return nil, err
	}
	if err := c.addSettings(a); err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	if err := a.write(&raw); err != nil {
		return nil, err
	}
	res.Size = int64(raw.Len())
	early, err := c.microcode(ctx, res)
	if err != nil {
		return nil, err
	}
	packed, err := compress(raw.Bytes())
	if err != nil {
		return nil, err
	}
	res.Data = append(early, packed...)
	return res, nil
}

// compress makes one zstd frame that the kernel's decompressor takes: its
// window is at most 8 MiB there.
func compress(raw []byte) ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	return enc.EncodeAll(raw, nil), nil
}

// skeleton is what the kernel and our programs find before anything is mounted.
func skeleton(a *archive) {
	for _, d := range []string{"bin", "bbin", "data", "dev", "esp", "etc", "lib/firmware", "proc", "root", "run", "state", "sys", "usr/share", "var"} {
		a.dir(d, 0o755)
	}
	a.dir("tmp", 0o1777)
	a.link("sbin", "bin")
	a.content("etc/passwd", "root:x:0:0:root:/root:/bbin/gosh\nmaild:x:1000:1000:mail daemon:/data:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644)
	a.content("etc/group", "root:x:0:\ntty:x:5:\nmaild:x:1000:\nnogroup:x:65534:\n", 0o644)
	a.content("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n", 0o644)
	a.content("etc/nsswitch.conf", "hosts: files dns\n", 0o644)
}

func (c *Config) addPrograms(ctx context.Context, a *archive, work string) error {
	dir := c.Programs
	if dir == "" {
		dir = filepath.Join(work, "bin")
		if _, err := c.build(ctx, dir); err != nil {
			return err
		}
	}
	for _, name := range programs() {
		from := filepath.Join(dir, name)
		if _, err := os.Stat(from); os.IsNotExist(err) {
			continue
		}
		to := "bin/" + name
		if name == "init" {
			to = "init"
		}
		if err := a.file(to, from, 0o755); err != nil {
			return err
		}
	}
	bb, err := c.busybox(ctx)
	if err != nil {
		return err
	}
	if err := a.file("bbin/bb", bb, 0o755); err != nil {
		return err
	}
	for _, name := range urootCommands() {
		a.link("bbin/"+name, "bb")
	}
	return nil
}

// addData adds what the world agrees on: authorities and time zones.
func (c *Config) addData(ctx context.Context, a *archive) error {
	tree, _, err := c.Archive.Tree(ctx, "ca-certificates")
	if err != nil {
		return err
	}
	certs, err := filepath.Glob(filepath.Join(tree, "usr/share/ca-certificates/mozilla/*.crt"))
	if err != nil || len(certs) == 0 {
		return fmt.Errorf("ca-certificates: no certificates in %s", tree)
	}
	slices.Sort(certs)
	var bundle strings.Builder
	for _, f := range certs {
		raw, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		bundle.Write(raw)
	}
	a.content("etc/ssl/certs/ca-certificates.crt", bundle.String(), 0o644)

	if tree, _, err = c.Archive.Tree(ctx, "tzdata"); err != nil {
		return err
	}
	return a.tree("usr/share/zoneinfo", filepath.Join(tree, "usr/share/zoneinfo"), func(rel string) bool {
		first, _, _ := strings.Cut(rel, "/")
		return first != "posix" && first != "right" && rel != "localtime" && rel != "posixrules"
	})
}

// addSeed adds the file system that a disk for mail begins with.
func (c *Config) addSeed(a *archive) error {
	if c.DataSeed == "" {
		return nil
	}
	raw, err := os.ReadFile(c.DataSeed)
	if err != nil {
		return err
	}
	packed, err := compress(raw)
	if err != nil {
		return err
	}
	a.content("usr/share/pillarbox/data.ext4.zst", string(packed), 0o644)
	return nil
}

// addFirmware adds the files that the chosen modules ask for.
func (c *Config) addFirmware(ctx context.Context, a *archive, set *moduleSet, res *Result) error {
	wanted, err := set.firmware()
	if err != nil || len(c.Board.Firmware) == 0 {
		return err
	}
	var trees []string
	for _, p := range c.Board.Firmware {
		tree, _, err := c.Archive.Tree(ctx, p)
		if err != nil {
			c.Log.Warn("firmware left out", "package", p, "error", err)
			res.LeftOut = append(res.LeftOut, p)
			continue
		}
		trees = append(trees, tree)
	}
	for _, name := range wanted {
		found := false
		for _, tree := range trees {
			from := filepath.Join(tree, "lib/firmware", name)
			if st, err := os.Stat(from); err == nil && st.Mode().IsRegular() {
				if err := a.file("lib/firmware/"+name, from, 0o644); err != nil {
					return err
				}
				found = true
				break
			}
		}
		if !found {
			res.MissingFirmware = append(res.MissingFirmware, name)
		}
	}
	return nil
}

func (c *Config) addSettings(a *archive) error {
	raw, err := json.MarshalIndent(boardfile.File{Name: c.Board.Name, Title: c.Board.Title, Load: c.Board.Load, Watchdogs: c.Board.Watchdogs, Sensors: c.Board.Sensors}, "", "  ")
	if err != nil {
		return err
	}
	a.content(boardfile.Path, string(raw)+"\n", 0o644)
	a.content("etc/pillarbox/modules-load", strings.Join(c.Board.Load, "\n")+"\n", 0o644)
	a.content("etc/pillarbox/board", c.Board.Name+"\n", 0o644)
	a.content("etc/os-release", OSRelease(c.Version, c.Board), 0o644)
	return nil
}

// OSRelease is the os-release(5) text of a version.
func OSRelease(version string, b *board.Board) string {
	return fmt.Sprintf("NAME=\"Pillarbox\"\nID=pillarbox\nVERSION=\"%s\"\nVERSION_ID=\"%s\"\nPRETTY_NAME=\"Pillarbox %s\"\nVARIANT_ID=%s\n", version, version, version, b.Name)
}

// microcode makes the archive that the kernel reads before it unpacks the
// root file system: kernel/x86/microcode/{GenuineIntel,AuthenticAMD}.bin.
func (c *Config) microcode(ctx context.Context, res *Result) ([]byte, error) {
	a := newArchive()
	vendors := map[string]struct{ glob, name string }{
		"intel-microcode": {"lib/firmware/intel-ucode/*", "GenuineIntel.bin"},
		"amd64-microcode": {"lib/firmware/amd-ucode/microcode_amd*.bin", "AuthenticAMD.bin"},
	}
	for _, p := range c.Board.Microcode {
		v, ok := vendors[p]
		if !ok {
			return nil, fmt.Errorf("board %s: microcode package %s is not known", c.Board.Name, p)
		}
		tree, _, err := c.Archive.Tree(ctx, p)
		if err != nil {
			c.Log.Warn("microcode left out", "package", p, "error", err)
			res.LeftOut = append(res.LeftOut, p)
			continue
		}
		files, err := filepath.Glob(filepath.Join(tree, v.glob))
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		var all bytes.Buffer
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				return nil, err
			}
			all.Write(raw)
		}
		if all.Len() > 0 {
			a.content("kernel/x86/microcode/"+v.name, all.String(), 0o644)
		}
	}
	if len(a.entries) == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	if err := a.write(&out); err != nil {
		return nil, err
	}
	// The archive that follows must begin at a multiple of four.
	for out.Len()%4 != 0 {
		out.WriteByte(0)
	}
	return out.Bytes(), nil
}
