package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/box/efivar"
)

// counted is the name of a kernel image with a counter: tries left and, once
// one was used, tries done.
var counted = regexp.MustCompile(`^(.+)\+\d+(-\d+)?(\.efi)$`)

// markGood takes the boot counter off the name of the kernel image that runs,
// so that the loader does not fall back to an older one.
func (s *System) markGood() error {
	path, err := efivar.BootCountPath(efivar.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing is counted
	}
	if err != nil {
		return err
	}
	if _, _, esp := s.volumes.get(); esp == nil {
		return errors.New("the boot volume is not mounted")
	}
	if name, err := countedFile(espPath, path); name == "" || err != nil {
		return err
	}
	var good string
	err = disk.Writable(espPath, func() (err error) {
		good, err = takeOffCounter(espPath, path)
		return err
	})
	if err == nil {
		s.log.Info("this version is marked as good", "image", good)
	}
	return err
}

// takeOffCounter renames the image at path on the ESP, and returns its new name.
func takeOffCounter(esp, path string) (string, error) {
	name, err := countedFile(esp, path)
	if name == "" || err != nil {
		return "", err
	}
	good := counted.ReplaceAllString(name, "$1$3")
	dir := filepath.Join(esp, filepath.Dir(path))
	return good, os.Rename(filepath.Join(dir, name), filepath.Join(dir, good))
}

// countedFile returns the present name of the image that was at path when the
// loader ran: its counter may have changed since. It is empty when the image
// has no counter any more.
func countedFile(esp, path string) (string, error) {
	want := counted.FindStringSubmatch(filepath.Base(path))
	if want == nil {
		return "", nil
	}
	entries, err := os.ReadDir(filepath.Join(esp, filepath.Dir(path)))
	if err != nil {
		return "", err
	}
	bare := false
	for _, e := range entries {
		if m := counted.FindStringSubmatch(e.Name()); m != nil && m[1] == want[1] {
			return e.Name(), nil
		}
		bare = bare || e.Name() == want[1]+want[3]
	}
	if bare {
		return "", nil
	}
	return "", fmt.Errorf("%s is not on the boot volume", path)
}
