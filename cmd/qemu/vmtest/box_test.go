//go:build vm

package vmtest

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
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox/cmd/qemu/vm"
)

const (
	// bootLimit is generous: translated by QEMU on two busy cores a boot takes
	// half a minute, and no test is about how fast the machine under it is.
	bootLimit = 10 * time.Minute

	// clientLimit bounds one run of a mail client, or one answer of the console,
	// on a machine that may be as busy.
	clientLimit = 10 * time.Minute

	// keyAnswer lies between looks at the screen for the answer to a key.
	keyAnswer = 50 * time.Millisecond

	// offLimit is what the box has to go off after its button was pressed.
	offLimit = 15 * time.Second

	annPassword   = "ann-has-a-password"
	bobPassword   = "bob-has-another"
	adminPassword = "correct horse battery"
)

const provision = `
[box]
hostname = "mail.example.org"
timezone = "Europe/Berlin"
admin_password = "` + adminPassword + `"
[network]
mode = "dhcp"
[[domain]]
name = "example.org"
[[user]]
address = "ann@example.org"
password = "` + annPassword + `"
aliases = ["info@example.org"]
[[user]]
address = "bob@example.org"
password = "` + bobPassword + `"
[[group]]
address = "all@example.org"
members = ["ann@example.org", "bob@example.org"]
`

// image builds the image once for all tests.
var image = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("PILLARBOX_IMAGE"); path != "" {
		return filepath.Abs(path)
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "run", "./cmd/mkimage", "-no-zst")
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("mkimage: %w", err)
	}
	list, err := filepath.Glob(filepath.Join(root, "build/qemu-x86_64/pillarbox-*.img"))
	if err != nil || len(list) != 1 {
		return "", fmt.Errorf("images built: %q, %v", list, err)
	}
	return list[0], nil
})

var accelerator = sync.OnceValue(func() string {
	return vm.Accelerator(context.Background(), slog.New(slog.NewTextHandler(os.Stdout, nil)))
})

// newDisk puts the image on a new disk, with a provisioning file unless it is empty.
func newDisk(t *testing.T, provision string) string {
	t.Helper()
	return newDiskOf(t, vm.DiskSize, provision)
}

// newDiskOf is newDisk for a disk of size bytes.
func newDiskOf(t *testing.T, size int64, provision string) string {
	t.Helper()
	img, err := image()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := vm.NewDisk(path, img, size, []byte(provision)); err != nil {
		t.Fatal(err)
	}
	return path
}

// box is a VM that has booted.
type box struct {
	*vm.VM
	t   *testing.T
	dir string
}

// ports are the mail ports of the box.
func ports() []vm.Forward {
	var list []vm.Forward
	for _, p := range []int{25, 110, 143, 465, 587, 993, 995} {
		list = append(list, vm.Forward{Guest: p})
	}
	return list
}

// start turns a machine on, with a disk as vm.Config.Drive has it.
func start(t *testing.T, drive string) *box {
	t.Helper()
	return startWith(t, vm.Config{Drive: drive})
}

// startWith turns a machine on that has more than a disk.
func startWith(t *testing.T, c vm.Config) *box {
	t.Helper()
	c.Dir, c.Forwards, c.Accel = t.TempDir(), ports(), accelerator()
	m, err := vm.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{m, t, c.Dir}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the serial line:\n%s", squeeze(m.Serial.Text()))
		}
	})
	return b
}

// boot turns a machine on and waits until it serves mail.
func boot(t *testing.T, drive string) *box {
	t.Helper()
	b := start(t, drive)
	b.served()
	return b
}

// served waits until the machine that boots serves mail.
func (b *box) served() {
	b.t.Helper()
	began := time.Now()
	b.expect(bootLimit, `pillarbox: mail is served`)
	took := b.expect(bootLimit, `pillarbox: boot took ([0-9.]+)s`)[1]
	b.t.Logf("boot: %s s from kernel start to mail served, %.1f s with firmware", took, time.Since(began).Seconds())
}

// raw is a disk in a file.
func raw(path string) string { return "file=" + path + ",format=raw" }

// expect waits for a pattern on the serial line and returns match and groups.
func (b *box) expect(limit time.Duration, pattern string) []string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	found, err := b.Serial.Expect(ctx, pattern)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// shows waits until the screen on the serial line shows a pattern.
func (b *box) shows(limit time.Duration, pattern string) []string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	found, err := b.Serial.ExpectScreen(ctx, pattern)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// typed types on the serial line.
func (b *box) typed(text string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientLimit)
	defer cancel()
	if err := b.Serial.Type(ctx, text); err != nil {
		b.t.Fatal(err)
	}
}

// pressButton presses the power button and waits until the box is off in order.
func (b *box) pressButton() {
	b.t.Helper()
	b.goesOff("the power button", func(ctx context.Context) error { return b.Powerdown(ctx) })
}

// goesOff asks the box to go off and waits until it is, in time and in order.
func (b *box) goesOff(by string, ask func(context.Context) error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bootLimit)
	defer cancel()
	began := time.Now()
	if err := ask(ctx); err != nil {
		b.t.Fatal(err)
	}
	if err := b.Wait(ctx); err != nil {
		b.t.Fatal(err)
	}
	took := time.Since(began)
	b.t.Logf("off %.1f s after %s", took.Seconds(), by)
	if took > offLimit {
		b.t.Errorf("it took %v to go off, more than %v", took, offLimit)
	}
	if !strings.Contains(b.Serial.Text(), "pillarbox: stores closed, powering off") {
		b.t.Error("the box did not say that its stores are closed")
	}
}

// port is where a port of the box is on loopback.
func (b *box) port(guest int) string {
	_, port, err := net.SplitHostPort(b.Addr(guest))
	if err != nil {
		b.t.Fatalf("port %d: %v", guest, err)
	}
	return port
}

// client runs a mail client and returns what it wrote and its exit code.
func client(t *testing.T, stdin, name string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("%s: %v\n%s", name, err, &out)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// must is client for a client that is to succeed.
func must(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	out, code := client(t, stdin, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s", name, strings.Join(args, " "), code, out)
	}
	return out
}

// squeeze leaves out the empty lines that a full-screen program makes.
func squeeze(text string) string {
	return regexp.MustCompile(`(\s*\n)+`).ReplaceAllString(text, "\n")
}

// stateLog reads a service's log from the state volume of a disk, the box
// being off.
func stateLog(t *testing.T, disk, service string) string {
	t.Helper()
	return must(t, "", "/sbin/debugfs", "-R", "cat /log/"+service+".log", stateVolume(t, disk))
}

// stateVolume is where debugfs finds the state volume of a disk.
func stateVolume(t *testing.T, disk string) string {
	t.Helper()
	return fmt.Sprintf("%s?offset=%d", disk, volumeStart(t, disk, "PBX-STATE"))
}

// volumeStart is the first byte of a volume on a disk.
func volumeStart(t *testing.T, disk, volume string) int64 {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	at, err := vm.PartitionStart(f, st.Size(), volume)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
