// Command qemu runs an image in QEMU with the box's console on the terminal,
// and its mail ports on loopback, 20000 higher or as -port-offset says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"pillarbox/appliance/version"
	"pillarbox/cmd/qemu/vm"
)

// portOffset lies between a port of the box and the one it has on loopback, where
// the flag says nothing else.
const portOffset = 20000

// maxPort is the highest there is.
const maxPort = 1<<16 - 1

// mailPorts are forwarded: SMTP, submissions, submission, IMAP, IMAPS, POP3,
// POP3S, HTTP, HTTPS.
func mailPorts() []int { return []int{25, 465, 587, 143, 993, 110, 995, 80, 443} }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "qemu:", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		root      = flag.String("root", ".", "the project's `folder`")
		board     = flag.String("board", "qemu-x86_64", "the `board` whose image in build/BOARD to run")
		image     = flag.String("image", "", "the image `file` to run instead")
		provision = flag.String("provision", "", "provisioning `file` (TOML) for a first boot without questions")
		offset    = flag.Int("port-offset", portOffset, "`number` to add to the box's ports for those on loopback; VMs side by side each need their own")
		fresh     = flag.Bool("fresh", false, "forget the disk of earlier runs")
		memory    = flag.Int("memory", 2048, "memory in `MiB`")
		screen    = flag.String("display", "none", "QEMU's `display` for the screen of the box, such as gtk or vnc=:1")
		accel     = flag.String("accel", "", "kvm or tcg; found out where empty")
		showVer   = flag.Bool("version", false, "print the version and exit")
	)
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), `Usage: qemu [flags]

Runs the newest image of a board. Its disk, a sparse copy of 8 GiB, is kept in
build/BOARD/run, or in run-N with another port offset N, until the image is built
anew. Ctrl-A x turns the VM off without asking, Ctrl-A h lists more keys.
Exit codes: 0 when the VM is off, 1 after a failure, 2 for wrong flags.

`)
		flag.PrintDefaults()
	}
	flag.Parse()
	if *showVer {
		fmt.Println("qemu", version.String())
		return nil
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "qemu: %q: flags only\n", flag.Arg(0))
		os.Exit(2)
	}
	forwards, err := forwards(*offset)
	if err != nil {
		fmt.Fprintln(os.Stderr, "qemu:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))

	if *image == "" {
		newest, err := newestImage(filepath.Join(*root, "build", *board))
		if err != nil {
			return err
		}
		*image = newest
	}
	dir := filepath.Join(*root, "build", *board, runFolder(*offset))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	disk := filepath.Join(dir, "disk.img")
	if err := prepare(disk, *image, *provision, *fresh); err != nil {
		return err
	}

	c := vm.Config{
		Dir: dir, Drive: "file=" + disk + ",format=raw", Memory: *memory, Terminal: true, Screen: *screen, Accel: *accel, Log: log,
		Forwards: forwards,
	}
	restore := keepTerminal()
	defer restore()
	m, err := vm.Start(ctx, c)
	if err != nil {
		return err
	}
	var ports []string
	for _, p := range m.Ports() {
		ports = append(ports, m.Addr(p))
	}
	fmt.Fprintf(os.Stderr, "ports of the box: %s\r\nCtrl-A x turns it off\r\n", strings.Join(ports, " "))
	return errors.Join(m.Wait(ctx), m.Close())
}

// forwards leads the mail ports to loopback, offset higher.
func forwards(offset int) (list []vm.Forward, err error) {
	for _, p := range mailPorts() {
		if offset < 1 || p+offset > maxPort {
			return nil, fmt.Errorf("-port-offset %d: must be between 1 and %d", offset, maxPort-slices.Max(mailPorts()))
		}
		list = append(list, vm.Forward{Host: p + offset, Guest: p})
	}
	return list, nil
}

// runFolder is where the machine's files are: VMs side by side need disks of their
// own as well.
func runFolder(offset int) string {
	if offset == portOffset {
		return "run"
	}
	return fmt.Sprintf("run-%d", offset)
}

// prepare makes the disk, unless there is one of this image already: a newer
// image gets a new disk.
func prepare(disk, image, provision string, fresh bool) error {
	of, err := os.Stat(image)
	if err != nil {
		return fmt.Errorf("%w; `make image` builds it", err)
	}
	old, err := os.Stat(disk)
	if err == nil && !fresh && old.ModTime().After(of.ModTime()) {
		if provision != "" {
			return errors.New("the disk has been used: a provisioning file needs -fresh")
		}
		return nil
	}
	var text []byte
	if provision != "" {
		if text, err = os.ReadFile(provision); err != nil {
			return err
		}
	}
	return vm.NewDisk(disk, image, vm.DiskSize, text)
}

// newestImage finds the image in a board's folder.
func newestImage(dir string) (string, error) {
	list, err := filepath.Glob(filepath.Join(dir, "pillarbox-*.img"))
	if err != nil {
		return "", err
	}
	var at time.Time
	newest := ""
	for _, path := range slices.Sorted(slices.Values(list)) {
		st, err := os.Stat(path)
		if err == nil && st.ModTime().After(at) {
			newest, at = path, st.ModTime()
		}
	}
	if newest == "" {
		return "", fmt.Errorf("no image in %s; `make image` builds one", dir)
	}
	return newest, nil
}

// keepTerminal returns a function that gives the terminal back its settings,
// which QEMU changes and the box's console may leave in the alternate screen.
func keepTerminal() func() {
	stty := func(args ...string) ([]byte, error) {
		cmd := exec.Command("stty", args...)
		cmd.Stdin = os.Stdin
		return cmd.Output()
	}
	settings, err := stty("-g")
	if err != nil { // not a terminal
		return func() {}
	}
	return func() {
		fmt.Print("\x1b[?1049l\x1b[?25h\x1b[0m\r\n")
		// The terminal may be gone, and then needs nothing.
		_, _ = stty(strings.TrimSpace(string(settings)))
	}
}
