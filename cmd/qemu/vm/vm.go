// Package vm runs an image in QEMU the way it runs on a server: UEFI firmware
// (OVMF), one disk, one network card, a serial line.
//
// A VM is driven from outside only: the serial line (Serial), the machine's
// buttons and screen through QEMU's monitor (QMP), and TCP ports of the guest
// forwarded to loopback. Everything of it lies in one folder, which its owner
// removes. The image itself is never written: the disk is a sparse copy.
//
// KVM is used where it works, which is found out by trying; else QEMU
// translates (TCG), ten to twenty times slower. Nothing here waits without a
// context or a limit, and QEMU never outlives the program that started it.
package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	program = "qemu-system-x86_64"

	// firmware and variables are OVMF as Debian's package ovmf has it.
	firmware  = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	variables = "/usr/share/OVMF/OVMF_VARS_4M.fd"

	// monitorWait is how long QEMU has until its monitor answers.
	monitorWait = 2 * time.Minute

	// quitWait is how long QEMU has to end once told to, before it is killed.
	quitWait = 10 * time.Second

	// defaultMemory is the smallest server the box is made for, halved, in MiB.
	defaultMemory = 1024
	defaultCPUs   = 2
)

// Forward leads a TCP port of loopback into the guest. Host 0 picks a free
// one, which VM.Addr tells.
type Forward struct {
	Host, Guest int
}

// Config is the machine to start.
type Config struct {
	// Dir holds the machine's files; it must exist.
	Dir string
	// Drive is the disk as QEMU's -drive names it, without interface and id:
	// "file=disk.img,format=raw", or the socket of an NBD server.
	Drive string
	// Memory in MiB and CPUs; zero for the defaults.
	Memory, CPUs int
	Forwards     []Forward
	// Cards is how many network cards there are, all on one switch; one where
	// zero. They are called card0, card1 and so on. Tap is the path of a unix
	// socket, for more than one card alone: who listens there is on the switch as
	// well, by frames with four octets of length before each.
	Cards int
	Tap   string
	// Terminal puts the serial line on this program's own terminal, with
	// QEMU's keys (Ctrl-A x ends it); VM.Serial is then nil.
	Terminal bool
	// Screen is QEMU's -display; "none" where empty.
	Screen string
	// Extra arguments of QEMU.
	Extra []string
	// Accel is what QEMU is to run on, "kvm" or "tcg"; found out where empty.
	Accel string
	Log   *slog.Logger
}

// VM is a machine that was started.
type VM struct {
	Serial *Serial

	cmd     *exec.Cmd
	monitor *monitor
	stderr  bytes.Buffer
	ended   chan struct{} // closed when QEMU has ended, waitErr is then set
	waitErr error
	addrs   map[int]string
	closing sync.Once
	sockets string // folder
}

// Start starts the machine. It runs until it powers itself off, Close, or the
// end of ctx.
func Start(ctx context.Context, c Config) (_ *VM, err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Accel == "" {
		c.Accel = Accelerator(ctx, c.Log)
	}
	vars := filepath.Join(c.Dir, "efivars.fd")
	if _, err := os.Stat(vars); errors.Is(err, os.ErrNotExist) {
		if err := CopySparse(vars, variables, 0); err != nil {
			return nil, fmt.Errorf("firmware variables: %w", err)
		}
	}
	// Sockets have a folder of their own: their paths may have 108 bytes.
	sockets, err := os.MkdirTemp("", "vm")
	if err != nil {
		return nil, err
	}
	v := &VM{ended: make(chan struct{}), sockets: sockets}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
		}
	}()
	qmp, line := filepath.Join(sockets, "qmp"), filepath.Join(sockets, "serial")
	v.cmd = exec.CommandContext(ctx, program, c.arguments(vars, qmp, line)...)
	v.cmd.Stderr = &v.stderr
	if c.Terminal {
		v.cmd.Stdin, v.cmd.Stdout, v.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	}
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Log.Info("starting", "program", program, "accel", c.Accel, "drive", c.Drive)
	if err := v.cmd.Start(); err != nil {
		close(v.ended)
		return nil, fmt.Errorf("start: %w", err)
	}
	go func() {
		v.waitErr = v.cmd.Wait()
		close(v.ended)
	}()

	starting, cancel := context.WithTimeout(ctx, monitorWait)
	defer cancel()
	conn, err := v.dial(starting, qmp)
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	if v.monitor, err = newMonitor(starting, conn); err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	if c.Terminal {
		if err := passThrough(os.Stdout); err != nil { // QEMU has set it up by now
			return nil, err
		}
	} else {
		conn, err := v.dial(starting, line)
		if err != nil {
			return nil, fmt.Errorf("serial line: %w", err)
		}
		if v.Serial, err = newSerial(conn, filepath.Join(c.Dir, "serial.log")); err != nil {
			return nil, fmt.Errorf("serial line: %w", err)
		}
	}
	if v.addrs, err = v.forwards(starting); err != nil {
		return nil, err
	}
	// The machine was held until all who watch it were there.
	return v, v.monitor.call(starting, "cont", nil, nil)
}

func (c Config) arguments(vars, qmp, line string) []string {
	accel := "tcg,thread=multi"
	if c.Accel == "kvm" {
		accel = "kvm"
	}
	memory, cpus, screen := c.Memory, c.CPUs, c.Screen
	if memory == 0 {
		memory = defaultMemory
	}
	if cpus == 0 {
		cpus = defaultCPUs
	}
	if screen == "" {
		screen = "none"
	}
	args := []string{
		"-name", "pillarbox", "-nodefaults", "-no-user-config", "-S",
		"-M", "q35", "-cpu", "max", "-accel", accel, "-m", strconv.Itoa(memory), "-smp", strconv.Itoa(cpus),
		"-vga", "std", "-display", screen,
		"-drive", "if=pflash,format=raw,readonly=on,file=" + firmware,
		"-drive", "if=pflash,format=raw,file=" + vars,
		"-drive", "if=none,id=disk," + c.Drive,
		"-device", "virtio-blk-pci,drive=disk,bootindex=0",
		"-device", "virtio-rng-pci",
		"-chardev", "socket,id=qmp,server=on,wait=off,path=" + qmp, "-mon", "chardev=qmp,mode=control",
	}
	args = append(args, c.network()...)
	if c.Terminal {
		args = append(args, "-serial", "mon:stdio")
	} else {
		args = append(args, "-chardev", "socket,id=serial,server=on,wait=off,path="+line, "-serial", "chardev:serial")
	}
	return append(args, c.Extra...)
}

// network are the cards, and QEMU's own network behind them, which has a DHCP
// server and forwards ports of loopback.
func (c Config) network() []string {
	user := "user,id=net"
	for _, f := range c.Forwards {
		user += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", f.Host, f.Guest)
	}
	if c.Cards <= 1 {
		return []string{"-netdev", user, "-device", "virtio-net-pci,netdev=net"}
	}
	args := []string{"-netdev", user, "-netdev", "hubport,id=uplink,hubid=0,netdev=net"}
	for i := range c.Cards {
		args = append(args, "-netdev", fmt.Sprintf("hubport,id=card%d,hubid=0", i), "-device", fmt.Sprintf("virtio-net-pci,netdev=card%d", i))
	}
	if c.Tap != "" {
		args = append(args, "-netdev", "stream,id=tap,server=off,addr.type=unix,addr.path="+c.Tap, "-netdev", "hubport,id=tapped,hubid=0,netdev=tap")
	}
	return args
}

// dial connects to a socket that QEMU makes while it starts.
func (v *VM) dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return conn, nil
		}
		select {
		case <-v.ended:
			return nil, fmt.Errorf("%s ended: %w: %s", program, v.waitErr, strings.TrimSpace(v.stderr.String()))
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// forwards asks which ports of loopback lead into the guest.
func (v *VM) forwards(ctx context.Context) (map[int]string, error) {
	text, err := v.Monitor(ctx, "info usernet")
	if err != nil {
		return nil, err
	}
	return parseForwards(text), nil
}

// parseForwards reads lines such as
//
//	TCP[HOST_FORWARD]  13  127.0.0.1 34567  10.0.2.15  25  0  0
func parseForwards(text string) map[int]string {
	addrs := make(map[int]string)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != "TCP[HOST_FORWARD]" {
			continue
		}
		guest, err := strconv.Atoi(f[5])
		if err == nil {
			addrs[guest] = net.JoinHostPort(f[2], f[3])
		}
	}
	return addrs
}

// Addr is where a forwarded port of the guest is reached, empty when it is not forwarded.
func (v *VM) Addr(guest int) string { return v.addrs[guest] }

// Ports lists the guest's ports that are forwarded.
func (v *VM) Ports() []int {
	var ports []int
	for p := range v.addrs {
		ports = append(ports, p)
	}
	slices.Sort(ports)
	return ports
}

// Monitor gives QEMU's monitor a command for people and returns the answer.
func (v *VM) Monitor(ctx context.Context, command string) (string, error) {
	var out string
	err := v.monitor.call(ctx, "human-monitor-command", map[string]any{"command-line": command}, &out)
	return out, err
}

// Powerdown presses the power button.
func (v *VM) Powerdown(ctx context.Context) error {
	return v.monitor.call(ctx, "system_powerdown", nil, nil)
}

// Reset presses the reset button.
func (v *VM) Reset(ctx context.Context) error { return v.monitor.call(ctx, "system_reset", nil, nil) }

// Screendump writes what the screen shows to path, as PNG.
func (v *VM) Screendump(ctx context.Context, path string) error {
	return v.monitor.call(ctx, "screendump", map[string]any{"filename": path, "format": "png"}, nil)
}

// Set changes a property of a device, such as nvme's smart_critical_warning.
func (v *VM) Set(ctx context.Context, path, property string, value any) error {
	return v.monitor.call(ctx, "qom-set", map[string]any{"path": path, "property": property, "value": value}, nil)
}

// SetLink plugs the network cable of a card in or out: of net where there is one,
// else of card0 and so on.
func (v *VM) SetLink(ctx context.Context, card string, up bool) error {
	return v.monitor.call(ctx, "set_link", map[string]any{"name": card, "up": up}, nil)
}

// Wait waits until the machine is off.
func (v *VM) Wait(ctx context.Context) error {
	select {
	case <-v.ended:
		return v.failure()
	case <-ctx.Done():
		return fmt.Errorf("the machine is not off: %w", ctx.Err())
	}
}

// Ended is closed once the machine is off.
func (v *VM) Ended() <-chan struct{} { return v.ended }

// failure is how QEMU ended, when that was not in order.
func (v *VM) failure() error {
	if v.waitErr == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", program, v.waitErr, strings.TrimSpace(v.stderr.String()))
}

// Kill ends QEMU at once, with nothing written that was not yet.
func (v *VM) Kill() error {
	// It may have ended by itself.
	_ = v.cmd.Process.Kill()
	<-v.ended
	return v.Close()
}

// Close pulls the plug: the guest is told nothing, though what it wrote is
// kept by the host. It may be called at any time, and again.
func (v *VM) Close() (err error) {
	v.closing.Do(func() { err = v.close() })
	return err
}

func (v *VM) close() error {
	defer os.RemoveAll(v.sockets)
	if v.cmd == nil || v.cmd.Process == nil {
		return nil
	}
	if v.monitor != nil {
		ctx, cancel := context.WithTimeout(context.Background(), quitWait)
		defer cancel()
		// QEMU may be gone before it answers.
		_ = v.monitor.call(ctx, "quit", nil, nil)
		select {
		case <-v.ended:
		case <-ctx.Done():
		}
		v.monitor.close()
	}
	select {
	case <-v.ended:
	default:
		_ = v.cmd.Process.Kill()
		<-v.ended
	}
	if v.Serial == nil {
		return nil
	}
	return v.Serial.close()
}
