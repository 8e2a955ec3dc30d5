package efivar

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestLoaderVariables(t *testing.T) {
	dir := t.TempDir()
	write := func(name, value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name+"-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Partition(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	write("LoaderDevicePartUUID", "\x06\x00\x00\x00A\x00B\x001\x00-\x00\x00\x00X\x00")
	if s, err := Partition(dir); err != nil || s != "ab1-" {
		t.Errorf("got %q, %v", s, err)
	}
	write("LoaderBootCountPath", "\x06\x00\x00\x00\\\x00E\x00\\\x00x\x00+\x002\x00")
	if s, err := BootCountPath(dir); err != nil || s != "/E/x+2" {
		t.Errorf("got %q, %v", s, err)
	}
	for _, bad := range []string{"", "\x06\x00\x00", "\x06\x00\x00\x00A"} {
		write("LoaderDevicePartUUID", bad)
		if s, err := Partition(dir); err == nil {
			t.Errorf("%q: got %q", bad, s)
		}
	}
}
