package boot

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTakeOffCounter(t *testing.T) {
	const dir = "EFI/Linux"
	for _, tt := range []struct {
		name   string
		booted string   // what the loader said it started
		files  []string // what is there
		good   string
		left   string // a file that must be there afterwards
		fails  bool
	}{
		{name: "first try", booted: "box-1.0+3.efi", files: []string{"box-1.0+2-1.efi"}, good: "box-1.0.efi", left: "box-1.0.efi"},
		{name: "not renamed by the loader", booted: "box-1.0+3.efi", files: []string{"box-1.0+3.efi"}, good: "box-1.0.efi", left: "box-1.0.efi"},
		{name: "last try", booted: "box-1.0+1-2.efi", files: []string{"box-1.0+0-3.efi"}, good: "box-1.0.efi", left: "box-1.0.efi"},
		{name: "no counter", booted: "box-1.0.efi", files: []string{"box-1.0.efi"}, left: "box-1.0.efi"},
		{name: "marked before", booted: "box-1.0+3.efi", files: []string{"box-1.0.efi"}, left: "box-1.0.efi"},
		{name: "another version", booted: "box-1.0+3.efi", files: []string{"box-2.0+3.efi"}, left: "box-2.0+3.efi", fails: true},
		{name: "a version with a plus", booted: "box-1.0+git+3.efi", files: []string{"box-1.0+git+2-1.efi"}, good: "box-1.0+git.efi", left: "box-1.0+git.efi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			esp := t.TempDir()
			if err := os.MkdirAll(filepath.Join(esp, dir), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, f := range tt.files {
				if err := os.WriteFile(filepath.Join(esp, dir, f), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			good, err := takeOffCounter(esp, filepath.Join("/", dir, tt.booted))
			if good != tt.good || (err != nil) != tt.fails {
				t.Errorf("got %q, %v", good, err)
			}
			if _, err := os.Stat(filepath.Join(esp, dir, tt.left)); err != nil {
				t.Error(err)
			}
		})
	}
}
