package image

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"pillarbox/image/fat"
	"pillarbox/image/gpt"
)

// WriteESPFile puts a file on the ESP of an image or of a disk nobody has
// mounted, such as the provisioning file before a first boot.
func WriteESPFile(imagePath, name string, content []byte, now time.Time) error {
	return withESP(imagePath, now, func(esp *fat.FS) error {
		if err := esp.WriteFile(name, bytes.NewReader(content), int64(len(content))); err != nil {
			return err
		}
		return esp.Flush()
	})
}

// ReadESPFile reads a file of the ESP, nil where there is none.
func ReadESPFile(imagePath, name string) (content []byte, err error) {
	err = withESP(imagePath, time.Time{}, func(esp *fat.FS) error {
		content, err = esp.ReadFile(name)
		return err
	})
	return content, err
}

func withESP(path string, now time.Time, fn func(*fat.FS) error) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	table, err := gpt.Read(f, st.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for i, p := range table.Partitions {
		if p.Type != gpt.TypeESP {
			continue
		}
		esp, err := fat.Open(part(f, table, i), now)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := fn(esp); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return f.Close()
	}
	return fmt.Errorf("%s: no EFI system partition", path)
}
