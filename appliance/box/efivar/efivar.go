// Package efivar reads the variables by which the boot loader tells the
// running system how it was started (the Boot Loader Interface of systemd).
// A machine that was not started by UEFI has none: every function then returns
// fs.ErrNotExist.
package efivar

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"
)

// Dir is where efivarfs is mounted.
const Dir = "/sys/firmware/efi/efivars"

// loaderVendor is the vendor of the loader's variables.
const loaderVendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// attributes precede the value in a file of efivarfs.
const attributes = 4

// Partition returns the GUID, in lower case, of the partition that the loader
// was started from: the ESP of the boot disk.
func Partition(dir string) (string, error) {
	s, err := loaderString(dir, "LoaderDevicePartUUID")
	return strings.ToLower(s), err
}

// BootCountPath returns the path on the ESP of the kernel image that was
// started with a counter of tries in its name, as it is named after this
// try was counted, with slashes. It does not exist when nothing is counted.
func BootCountPath(dir string) (string, error) {
	s, err := loaderString(dir, "LoaderBootCountPath")
	return strings.ReplaceAll(s, `\`, "/"), err
}

func loaderString(dir, name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, name+"-"+loaderVendor))
	if err != nil {
		return "", fmt.Errorf("EFI variable %s: %w", name, err)
	}
	if len(b) < attributes || len(b)%2 != 0 {
		return "", fmt.Errorf("EFI variable %s: %d octets are no text", name, len(b))
	}
	var units []uint16
	for b := b[attributes:]; len(b) > 0; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units)), nil
}
