package initramfs

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"pillarbox/appliance/config/boardfile"
	"pillarbox/board"
)

// TestArchive checks that the order in which files are added does not matter,
// and that folders come before what is in them.
func TestArchive(t *testing.T) {
	from := t.TempDir()
	for name, text := range map[string]string{"a/one": "1", "a/two": "2", "b/left out": "x"} {
		if err := os.MkdirAll(filepath.Join(from, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("one", filepath.Join(from, "a/link")); err != nil {
		t.Fatal(err)
	}
	adds := []func(*archive) error{
		func(a *archive) error { a.content("etc/x", "text", 0o644); return nil },
		func(a *archive) error { a.content("etc-x", "text", 0o600); return nil },
		func(a *archive) error { a.dir("tmp", 0o1777); return nil },
		func(a *archive) error { a.link("sbin", "bin"); return nil },
		func(a *archive) error {
			return a.tree("lib", from, func(rel string) bool { return !strings.HasPrefix(rel, "b") })
		},
	}
	var packed [2]bytes.Buffer
	for i := range packed {
		a := newArchive()
		for _, add := range adds {
			if err := add(a); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.write(&packed[i]); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(adds)
	}
	if !bytes.Equal(packed[0].Bytes(), packed[1].Bytes()) {
		t.Error("the same files make different archives")
	}
	r := cpio.Newc.Reader(bytes.NewReader(packed[0].Bytes()))
	var got []string
	for {
		record, err := r.ReadRecord()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if record.UID != 0 || record.GID != 0 || record.MTime != 0 {
			t.Errorf("%s: owner %d, group %d, time %d", record.Name, record.UID, record.GID, record.MTime)
		}
		got = append(got, fmt.Sprintf("%s %o", record.Name, record.Mode))
	}
	want := []string{"etc 40755", "etc/x 100644", "etc-x 100600", "lib 40755", "lib/a 40755", "lib/a/link 120777", "lib/a/one 100644", "lib/a/two 100644", "sbin 120777", "tmp 41777"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// kernelTree makes a kernel package with modules that have these lines of
// modinfo each.
func kernelTree(t *testing.T, modules map[string][]string) string {
	t.Helper()
	tree := t.TempDir()
	dir := filepath.Join(tree, "lib/modules/6.1-test")
	for path, info := range modules {
		source := new(strings.Builder)
		for i, line := range append(info, "license=GPL") {
			fmt.Fprintf(source, "static const char i%d[] __attribute__((section(\".modinfo\"), used)) = %q;\n", i, line)
		}
		ko := filepath.Join(dir, "kernel", path)
		if err := os.MkdirAll(filepath.Dir(ko), 0o755); err != nil {
			t.Fatal(err)
		}
		cc := exec.Command("gcc", "-c", "-x", "c", "-o", ko, "-")
		cc.Stdin = strings.NewReader(source.String())
		if out, err := cc.CombinedOutput(); err != nil {
			t.Fatalf("gcc: %v: %s", err, out)
		}
	}
	for name, text := range map[string]string{"modules.builtin": "kernel/fs/ext4/ext4.ko\n", "modules.builtin.modinfo": "", "modules.order": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func TestModules(t *testing.T) {
	set, err := readModules(kernelTree(t, map[string][]string{
		"drivers/ata/ahci.ko":          {"depends=libahci,lib-ata", "alias=pci:v00008086d*"},
		"drivers/ata/libahci.ko":       {"depends=lib-ata"},
		"drivers/ata/lib-ata.ko":       {"depends="},
		"drivers/ata/pata_old.ko":      {"depends="},
		"drivers/net/e1000.ko":         {"softdep=pre: mdio post: nothing", "firmware=e1000/fw.bin"},
		"drivers/net/mdio.ko":          {"firmware=mdio.bin"},
		"drivers/net/unwanted.ko":      {"firmware=unwanted.bin"},
		"drivers/watchdog/softdog.ko":  {},
		"drivers/video/needs-gone.ko":  {"depends=gone"},
		"drivers/video/fb/deeper.ko":   {},
		"drivers/videos/not-below.ko":  {},
		"drivers/video/fb/elsewhere.c": {},
	}))
	if err != nil {
		t.Fatal(err)
	}
	b := &board.Board{
		Modules: []string{"drivers/ata/", "e1000", "ext4", "drivers/video/fb/"}, Without: []string{"drivers/ata/pata_old"}, Load: []string{"softdog", "ext4"},
	}
	if err := set.choose(b); err != nil {
		t.Fatal(err)
	}
	want := []string{"ahci", "deeper", "e1000", "lib_ata", "libahci", "mdio", "softdog"}
	if got := slices.Sorted(maps.Keys(set.chosen)); !slices.Equal(got, want) {
		t.Errorf("chosen %q, want %q", got, want)
	}
	if got, err := set.firmware(); err != nil || !slices.Equal(got, []string{"e1000/fw.bin", "mdio.bin"}) {
		t.Errorf("firmware: %q, %v", got, err)
	}
	to := t.TempDir()
	if err := set.stage(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	dep, err := os.ReadFile(filepath.Join(to, "lib/modules/6.1-test/modules.dep"))
	if err != nil || !strings.Contains(string(dep), "kernel/drivers/ata/ahci.ko:") || strings.Contains(string(dep), "unwanted") {
		t.Errorf("modules.dep: %s, %v", dep, err)
	}
	alias, err := os.ReadFile(filepath.Join(to, "lib/modules/6.1-test/modules.alias"))
	if err != nil || !strings.Contains(string(alias), "alias pci:v00008086d* ahci") {
		t.Errorf("modules.alias: %s, %v", alias, err)
	}

	// A module that is renamed or gone in a newer kernel fails the build.
	for want, b := range map[string]*board.Board{
		"kernel 6.1-test does not have: ahcj, drivers/nothing/, pata_gone (to be left out)": {Modules: []string{"ahci", "ahcj", "drivers/nothing/"}, Without: []string{"pata_gone"}},
		"module gone is depended on and missing":                                            {Modules: []string{"needs-gone"}},
		"module nowhere is depended on and missing":                                         {Load: []string{"nowhere"}},
	} {
		if err := set.choose(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestProgramsAreThere holds what goes onto the box to what there is.
func TestProgramsAreThere(t *testing.T) {
	for _, name := range programs() {
		if _, err := os.Stat(filepath.Join("..", "cmd", name, "main.go")); err != nil {
			t.Error(err)
		}
	}
}

// What a board says of sensors and watchdogs is in the image as it stands in its file.
func TestBoardFile(t *testing.T) {
	for _, name := range board.Names("..") {
		b, err := board.Load("..", name)
		if err != nil {
			t.Fatal(err)
		}
		a := newArchive()
		c := &Config{Board: b, Version: "1"}
		if err := c.addSettings(a); err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(io.NewSectionReader(a.entries[boardfile.Path], 0, int64(a.entries[boardfile.Path].FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "board.json")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := boardfile.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		want := &boardfile.File{Name: name, Title: b.Title, Load: b.Load, Watchdogs: b.Watchdogs, Sensors: b.Sensors}
		if len(got.Sensors) == 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}
