// Command mkimage builds the flashable image of a board.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"pillarbox/appliance/version"
	"pillarbox/board"
	"pillarbox/image"
	"pillarbox/initramfs"
)

// release is the release being worked on; a tag of git says more.
const release = "0.1.0"

// mostNamed is how many missing firmware files are named: without the packages
// that hold them there are hundreds.
const mostNamed = 20

// exitUsage is the exit code for a wrong command line, which package flag uses too.
const exitUsage = 2

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func run() error {
	root := flag.String("root", ".", "the project's `folder`")
	name := flag.String("board", "qemu-x86_64", "the `board` to build for")
	out := flag.String("out", "", "`folder` for the image; build/BOARD where empty")
	number := flag.String("image-version", "", "`version` of the image; from git where empty")
	updateLock := flag.Bool("update-lock", false, "take the newest packages and pin them in board/lock.toml")
	frozen := flag.Bool("frozen", false, "fail where a package is not to be had as pinned")
	noZst := flag.Bool("no-zst", false, "do not make the compressed image")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Usage: mkimage [flags]\n\nBuilds pillarbox-VERSION.img, .img.zst and SHA256SUMS.\nBoards: %s\nExit codes: 0 done, 1 after a failure, 2 for wrong flags.\nEnvironment: SOURCE_DATE_EPOCH is the time of what is built, in place of the last commit's.\n\n", strings.Join(board.Names(*root), ", "))
		flag.PrintDefaults()
	}
	flag.Parse()
	if *showVersion {
		fmt.Println("mkimage", version.String())
		return nil
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "mkimage: %q: flags only\n", flag.Arg(0))
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))

	// Tools that the build calls run in folders of their own.
	var err error
	if *root, err = filepath.Abs(*root); err != nil {
		return err
	}
	b, err := board.Load(*root, *name)
	if err != nil {
		return err
	}
	lock, err := board.LoadLock(*root)
	if err != nil {
		return err
	}
	wanted := lock
	if *updateLock {
		wanted = lock.Unpinned()
	}
	cache := filepath.Join(*root, "build", "cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	if *out == "" {
		*out = filepath.Join(*root, "build", b.Name)
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	v, when, err := identify(ctx, *root)
	if err != nil {
		return err
	}
	if *number != "" {
		v = *number
	}
	archive := &board.Archive{Dir: cache, Sources: "/etc/apt", KeepLock: *frozen, Lock: wanted, Log: log}
	c := image.Config{
		Board: b, Archive: archive, Version: v, Time: when, Log: log,
		Initramfs: &initramfs.Config{Root: *root, Cache: cache, Board: b, Archive: archive, Version: v, Time: when, Log: log},
	}
	if err := clearOut(*out); err != nil {
		return err
	}
	path := filepath.Join(*out, "pillarbox-"+v+".img")
	res, err := c.Build(ctx, path)
	if err != nil {
		return err
	}
	files := []string{path}
	if !*noZst {
		if err := pack(path, path+".zst"); err != nil {
			return err
		}
		files = append(files, path+".zst")
	}
	if err := sums(filepath.Join(*out, "SHA256SUMS"), files); err != nil {
		return err
	}
	if archive.Changed() {
		if !*updateLock {
			log.Warn("packages differ from board/lock.toml: `go run ./cmd/mkimage -update-lock` pins them")
		} else {
			lock.Merge(wanted)
			if err := lock.Save(); err != nil {
				return err
			}
		}
	}
	return report(res, files)
}

// clearOut removes the images that earlier builds left: each is gigabytes long.
func clearOut(out string) error {
	old, err := filepath.Glob(filepath.Join(out, "pillarbox-*.img*"))
	for _, path := range old {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// identify finds the version and the time of what is built: the tag at HEAD,
// else the release with how many commits came and which is the last.
func identify(ctx context.Context, root string) (string, time.Time, error) {
	git := func(args ...string) string {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	v, when := release+"-dev", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	stamp := git("log", "-1", "--format=%ct")
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		stamp = s
	}
	if stamp != "" {
		sec, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil {
			return "", when, fmt.Errorf("time of the commit %q: %w", stamp, err)
		}
		when = time.Unix(sec, 0).UTC()
	}
	if tag := git("describe", "--tags", "--exact-match"); tag != "" {
		v = strings.TrimPrefix(tag, "v")
	} else if hash := git("rev-parse", "--short=10", "HEAD"); hash != "" {
		v = fmt.Sprintf("%s-dev.%s.g%s", release, git("rev-list", "--count", "HEAD"), hash)
	}
	if git("status", "--porcelain") != "" {
		v += ".changed"
	}
	return v, when, nil
}

// pack compresses the image; the zeros of it cost next to nothing.
func pack(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	enc, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if _, err := io.Copy(enc, in); err != nil {
		return errors.Join(err, enc.Close())
	}
	return errors.Join(enc.Close(), out.Close())
}

// sums writes the file that sha256sum --check reads.
func sums(path string, files []string) error {
	var list strings.Builder
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		fmt.Fprintf(&list, "%s  %s\n", hex.EncodeToString(h.Sum(nil)), filepath.Base(name))
	}
	return os.WriteFile(path, []byte(list.String()), 0o644)
}

func report(res *image.Result, files []string) error {
	mib := func(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
	r := res.Initramfs
	fmt.Printf("kernel %s, %d modules; root file system %s, compressed %s; system file %s\n",
		r.Release, r.Modules, mib(r.Size), mib(int64(len(r.Data))), mib(res.UKISize))
	if len(r.LeftOut) > 0 {
		fmt.Printf("left out, no package source of this machine has them: %s\n", strings.Join(r.LeftOut, ", "))
	}
	if n := len(r.MissingFirmware); n > 0 {
		names := strings.Join(r.MissingFirmware[:min(n, mostNamed)], ", ")
		if n > mostNamed {
			names += ", ..."
		}
		fmt.Printf("%d firmware files that modules may ask for are in no package; the box names the ones it misses: %s\n", n, names)
	}
	for _, name := range files {
		st, err := os.Stat(name)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", name, mib(st.Size()))
	}
	return nil
}
