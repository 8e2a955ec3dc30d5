package fat

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const size = 300 << 20

func format(t testing.TB, path string) (*FS, *os.File) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	f, err := Format(file, Options{Size: size, Label: "PBX-ESP", Serial: 0x12345678, Time: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return f, file
}

func content(n int) []byte { return bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n] }

func put(t testing.TB, f *FS, path string, b []byte) {
	t.Helper()
	if err := f.WriteFile(path, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
}

// fsck asks the reference implementation.
func fsck(t *testing.T, path string) {
	t.Helper()
	out, err := exec.Command("/sbin/fsck.vfat", "-n", path).CombinedOutput()
	if err != nil {
		t.Errorf("fsck.vfat: %v\n%s", err, out)
	}
}

func TestFilesAsOthersReadThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "esp.img")
	f, _ := format(t, path)
	files := map[string][]byte{
		"EFI/BOOT/BOOTX64.EFI":                content(90_000),
		"EFI/Linux/pillarbox-1.2.3+3.efi":     content(3 << 20),
		"EFI/Linux/pillarbox-1.2.4-rc1+3.efi": content(4096),
		"loader/loader.conf":                  []byte("timeout 0\n"),
		"empty":                               {},
		"Grüße aus dem langen Namen.txt":      []byte("hallo"),
	}
	for i := range 200 { // a directory of several clusters
		files[fmt.Sprintf("many/file number %d.txt", i)] = []byte(fmt.Sprint(i))
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		put(t, f, name, files[name])
	}
	put(t, f, "loader/loader.conf", []byte("timeout 1\n")) // replaced
	files["loader/loader.conf"] = []byte("timeout 1\n")
	if err := f.Remove("empty"); err != nil {
		t.Fatal(err)
	}
	delete(files, "empty")
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	fsck(t, path)
	for name, want := range files {
		got, err := f.ReadFile(name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s reads back as %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
	for _, name := range []string{"EFI/Linux/pillarbox-1.2.3+3.efi", "loader/loader.conf", "many/file number 199.txt"} {
		cmd := exec.Command("mtype", "-i", path, "::"+name)
		out, err := cmd.Output()
		if err != nil || !bytes.Equal(out, files[name]) {
			t.Errorf("mtype %s: %d bytes, %v; want %d", name, len(out), err, len(files[name]))
		}
	}
}

func TestSameCallsSameBytes(t *testing.T) {
	sum := func() [32]byte {
		path := filepath.Join(t.TempDir(), "x.img")
		f, file := format(t, path)
		put(t, f, "a/b/c", content(10000))
		put(t, f, "a/long name here", content(1))
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(h, file); err != nil {
			t.Fatal(err)
		}
		return [32]byte(h.Sum(nil))
	}
	if a, b := sum(), sum(); a != b {
		t.Errorf("%x and %x", a, b)
	}
}

func TestOpenAddsToWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.img")
	f, file := format(t, path)
	put(t, f, "EFI/x", content(20000))
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	g, err := Open(file, time.Date(2026, 5, 5, 5, 5, 5, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	put(t, g, "pillarbox.toml", content(5000))
	if err := g.Flush(); err != nil {
		t.Fatal(err)
	}
	fsck(t, path)
	names, err := g.List("/")
	if err != nil || !slices.Equal(names, []string{"EFI/", "pillarbox.toml"}) {
		t.Errorf("root lists %q, %v", names, err)
	}
	if got, _ := g.ReadFile("EFI/x"); !bytes.Equal(got, content(20000)) {
		t.Error("the file that was there has changed")
	}
}

func TestErrors(t *testing.T) {
	f, file := format(t, filepath.Join(t.TempDir(), "x.img"))
	if err := f.WriteFile("big", bytes.NewReader(nil), size); !errors.Is(err, ErrFull) {
		t.Errorf("a file larger than the file system: %v", err)
	}
	put(t, f, "file", content(1))
	if err := f.WriteFile("file/below", bytes.NewReader(nil), 0); !errors.Is(err, ErrExists) {
		t.Errorf("a file as a directory: %v", err)
	}
	for _, name := range []string{"", "a:b", strings.Repeat("x", 256)} {
		if err := f.WriteFile(name, bytes.NewReader(nil), 0); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	if _, err := Format(file, Options{Size: 10 << 20}); err == nil {
		t.Error("a FAT32 of 10 MiB was made")
	}
	if _, err := file.WriteAt(make([]byte, 512), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, time.Time{}); !errors.Is(err, ErrFormat) {
		t.Errorf("opening zeros: %v", err)
	}
}
