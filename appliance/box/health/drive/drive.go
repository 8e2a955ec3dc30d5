// Package drive asks disks how they are: the SMART data of ATA, the health log
// of NVMe and the log pages of SCSI, each by the kernel's own ioctls.
//
// The decoding of what a disk answers is apart from asking it, and takes any
// bytes: a disk that is ill may answer anything.
package drive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Health is what a disk says of itself. Pointers are nil where it does not say.
type Health struct {
	Device string // as under /dev, such as sda
	Model  string
	Serial string

	// Failing is the disk's own judgement that it is about to fail, with its
	// reasons in words.
	Failing bool
	Reasons []string

	Celsius      *float64
	CelsiusWatch *float64 // limits of the disk's own
	CelsiusBad   *float64
	WearPercent  *float64 // of the writes it is made for; may go beyond 100
	SparePercent *float64 // blocks left to replace bad ones
	SpareLimit   *float64
	Pending      *int64 // sectors that could not be read and wait to be rewritten
	Reallocated  *int64 // sectors replaced for good
	Uncorrected  *int64 // reads and writes that failed for good
	CableErrors  *int64 // transfers repeated after a checksum error
	PowerOnHours *int64
	SelfTest     SelfTest
}

// SelfTest is the last test a disk made of itself.
type SelfTest struct {
	Known   bool
	Running bool
	Left    int // tenths of the test that are left
	Failed  bool
}

// ErrSilent is a disk that has nothing to say: virtual disks, USB sticks.
var ErrSilent = errors.New("the disk tells nothing about its health")

// List names the whole disks under the sysfs at sys that could be asked.
func List(sys string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(sys, "block"))
	if err != nil {
		return nil, fmt.Errorf("disks: %w", err)
	}
	var names []string
	for _, e := range entries {
		n := e.Name()
		// nvme0c1n1 is one of the paths to nvme0n1.
		if strings.HasPrefix(n, "sd") || strings.HasPrefix(n, "nvme") && !strings.Contains(n, "c") {
			names = append(names, n)
		}
	}
	return names, nil
}

// onUSB tells a disk behind a USB bridge. Few of them pass questions on, and some
// sticks hang themselves up over one: they are left alone.
func onUSB(sys, name string) bool {
	target, err := filepath.EvalSymlinks(filepath.Join(sys, "block", name))
	return err == nil && strings.Contains(target, "/usb")
}

// Read asks one disk. ErrSilent says that it has nothing to tell.
func Read(sys, name string) (*Health, error) {
	if onUSB(sys, name) {
		return nil, ErrSilent
	}
	h := &Health{Device: name}
	device := filepath.Join(sys, "block", name, "device")
	h.Model = attribute(device, "model")
	h.Serial = attribute(device, "serial")
	if h.Serial == "" {
		h.Serial = vpdSerial(device)
	}
	f, err := os.OpenFile(filepath.Join("/dev", name), os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	if strings.HasPrefix(name, "nvme") {
		return h, h.askNVMe(f)
	}
	if strings.TrimSpace(attribute(device, "vendor")) == "ATA" {
		return h, h.askATA(f)
	}
	return h, h.askSCSI(f)
}

func attribute(dir, name string) string {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// vpdSerial is the serial number of page 80h (SPC-4 section 7.8.15).
func vpdSerial(device string) string {
	raw, err := os.ReadFile(filepath.Join(device, "vpd_pg80"))
	if err != nil || len(raw) < 4 {
		return ""
	}
	return strings.TrimSpace(string(raw[4:]))
}

// ID names the disk for history and alerts: by serial number, since device
// names change between starts.
func (h *Health) ID() string {
	if h.Serial != "" {
		return h.Serial
	}
	return h.Device
}

// Name is the disk for people.
func (h *Health) Name() string {
	if h.Model == "" {
		return h.Device
	}
	return fmt.Sprintf("%s (%s)", h.Device, h.Model)
}

func (h *Health) fail(format string, args ...any) {
	h.Failing = true
	h.Reasons = append(h.Reasons, fmt.Sprintf(format, args...))
}

func ptr[T any](v T) *T { return &v }
