package modules

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"*", "", true},
		{"*", "a/b:c", true},
		{"a", "", false},
		{"", "a", false},
		{"a*c", "abbbc", true},
		{"a*c", "abbbcd", false},
		{"a*b*c", "a1b2b3c", true},
		{"*a*a*a*b", strings.Repeat("a", 200), false},
		{"pci:v00008086d0000100Esv*sd*bc*sc*i*", "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", true},
		{"pci:v00008086d0000100Fsv*sd*bc*sc*i*", "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", false},
		{"virtio:d00000002v*", "virtio:d00000002v00001AF4", true},
		{"acpi*:LNXPWRBN:*", "acpi:LNXPWRBN:", true},
		{"dmi*:svnDell*:pnR[67]20:*", "dmi:bvnDell/Inc.:svnDell Inc.:pnR720:x", true},
		{"dmi*:svnDell*:pnR[67]20:*", "dmi:bvnDell/Inc.:svnDell Inc.:pnR820:x", false},
		{"usb:v*p*d[0-1]*dc?", "usb:v1p2d1xdc9", true},
		{"usb:v*p*d[0-1]*dc?", "usb:v1p2d2xdc9", false},
		{"a[b", "a[b", true},
		{"[]", "x", false},
	} {
		if got := match(tt.pattern, tt.s); got != tt.want {
			t.Errorf("match(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b?c[d-f]", "axbycd")
	f.Add("[", "[")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		match(pattern, s) // ends and does not panic
		if !match(pattern+"*", s+"x") && match(pattern, s) {
			t.Error("a longer text does not fit with a * at the end")
		}
	})
}

const (
	aliasFile = `# Aliases extracted from modules themselves.
alias virtio:d00000002v* virtio_blk
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias pci:v00008086d00002922sv*sd*bc*sc*i* ahci
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias pci:v00008086d00002922sv*sd*bc*sc*i* left_out
alias acpi*:PNP0C0C:* button
alias crypto-crc32c crc32c_generic
alias crypto-crc32c crc32c-intel
`
	depFile = `kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio_pci.ko:
kernel/drivers/ata/ahci.ko: kernel/a.ko kernel/b.ko
kernel/drivers/acpi/button.ko.xz:
kernel/fs/ext4.ko:
kernel/crypto/crc32c_generic.ko:
kernel/arch/crc32c-intel.ko:
kernel/circle_a.ko:
kernel/circle-b.ko:
kernel/after.ko.zst:
`
	softdepFile = `# Soft dependencies
softdep ext4 pre: crypto-crc32c
softdep circle_a pre: circle_b post: after
softdep circle_b pre: circle_a no_such
`
	builtinFile = "kernel/drivers/tty/serial.ko\n"
)

// fakeProber keeps what it was asked to load and calls onLoad.
type fakeProber struct {
	mu     sync.Mutex
	loaded []string
	onLoad func(name string) error
}

func (p *fakeProber) Probe(name, _ string) error {
	p.mu.Lock()
	p.loaded = append(p.loaded, name)
	p.mu.Unlock()
	if p.onLoad != nil {
		return p.onLoad(name)
	}
	return nil
}

func (p *fakeProber) String() string { return strings.Join(p.loaded, " ") }

func testLoader(t *testing.T) (*Loader, *fakeProber) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"modules.alias": aliasFile, "modules.dep": depFile,
		"modules.softdep": softdepFile, "modules.builtin": builtinFile,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &fakeProber{}
	l, err := open(dir, p, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l, p
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		names, want, err string
	}{
		{"virtio-blk virtio_blk", "virtio_blk", ""},
		{"ext4", "crc32c_generic crc32c_intel ext4", ""},
		{"crypto-crc32c", "crc32c_generic crc32c_intel", ""},
		{"circle-a", "circle_b circle_a after", ""},
		{"nothing button nix", "button", "there is no kernel module nothing\nthere is no kernel module nix"},
		{"serial", "serial", ""},
	} {
		l, p := testLoader(t)
		err := l.Load(strings.Fields(tt.names)...)
		if p.String() != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: loaded %q, %v", tt.names, p, err)
		}
	}
}

func TestLoadTellsFaults(t *testing.T) {
	l, p := testLoader(t)
	fault := errors.New("bad signature")
	p.onLoad = func(name string) error {
		if name == "button" {
			return fault
		}
		return nil
	}
	if err := l.Load("button", "ext4"); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	if !slices.Contains(p.loaded, "ext4") {
		t.Errorf("loaded only %q", p)
	}
}

// A controller's driver brings the disk, whose driver is loaded in a later round.
func TestColdplugFollowsNewDevices(t *testing.T) {
	l, p := testLoader(t)
	sys := t.TempDir()
	device := func(path, modalias string) {
		dir := filepath.Join(sys, "devices", path)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "modalias"), []byte(modalias+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
	device("pci0/0.1", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00")
	device("pci0/0.2", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01")
	device("pci0/0.3", "pci:v0000FFFFd00000000sv00000000sd00000000bc00sc00i00")
	device("acpi/x", "acpi:PNP0C0C:")
	device("acpi/empty", "")
	p.onLoad = func(name string) error {
		if name == "virtio_pci" {
			device("pci0/0.1/virtio0", "virtio:d00000002v00001AF4")
			device("pci0/0.1/virtio1", "virtio:d00000002v00001AF4")
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		if n := l.Coldplug(t.Context(), sys); n != 4 {
			t.Errorf("%d modules loaded", n)
		}
	})
	slices.Sort(p.loaded)
	if p.String() != "ahci button virtio_blk virtio_pci" {
		t.Errorf("loaded %q", p)
	}
	if l.Device("acpi:PNP0C0C:") {
		t.Error("a modalias is new twice")
	}
	if !l.Device("virtio:d0000ffffv0") {
		t.Error("a new modalias is old")
	}
}

func TestColdplugEnds(t *testing.T) {
	l, _ := testLoader(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n := l.Coldplug(ctx, t.TempDir()); n != 0 {
		t.Errorf("loaded %d", n)
	}
}

func TestOpenFaults(t *testing.T) {
	dir := t.TempDir()
	if _, err := open(dir, nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no alias file: %v", err)
	}
	if _, err := Open(dir, "6.1", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no modules: %v", err)
	}
	long := "alias " + strings.Repeat("x", 1<<17) + " y\n"
	if err := os.WriteFile(filepath.Join(dir, "modules.alias"), []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(dir, nil, nil); err == nil {
		t.Error("a line without end is accepted")
	}
}

func TestReadList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("# always\next4 vfat\n\n  button # power\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadList(path)
	if err != nil || !slices.Equal(got, []string{"ext4", "vfat", "button"}) {
		t.Errorf("got %q, %v", got, err)
	}
}
