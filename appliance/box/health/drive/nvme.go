package drive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	nvmeAdminCmd    = 0xC0484E41 // NVME_IOCTL_ADMIN_CMD
	nvmeGetLog      = 0x02
	nvmeIdentify    = 0x06
	nvmeLogHealth   = 0x02
	nvmeLogSize     = 512
	nvmeIdentSize   = 4096
	nvmeAllSpaces   = 0xffffffff
	nvmeAskMillis   = 5000
	kelvinToCelsius = 273
)

// nvmeCommand is struct nvme_admin_cmd of the kernel's interface.
type nvmeCommand struct {
	opcode, flags                                  uint8
	rsvd1                                          uint16
	nsid, cdw2, cdw3                               uint32
	metadata, addr                                 unsafe.Pointer // 64 bits wide, as on every machine this runs on
	metadataLen, dataLen                           uint32
	cdw10, cdw11, cdw12, cdw13, cdw14, cdw15, time uint32
	result                                         uint32
}

// nvmeAsk sends an admin command; data, which may be nil, takes what it answers.
func nvmeAsk(f *os.File, opcode uint8, nsid, cdw10 uint32, data []byte) error {
	c := nvmeCommand{opcode: opcode, nsid: nsid, addr: unsafe.Pointer(unsafe.SliceData(data)), dataLen: uint32(len(data)), cdw10: cdw10, time: nvmeAskMillis}
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), nvmeAdminCmd, uintptr(unsafe.Pointer(&c)))
	switch {
	case errno == unix.ENOTTY:
		return ErrSilent
	case errno != 0:
		return errno
	case status != 0:
		return fmt.Errorf("the disk refused, status %#x", status)
	}
	return nil
}

func (h *Health) askNVMe(f *os.File) error {
	log := make([]byte, nvmeLogSize)
	// Dword 10: number of dwords less one above the log's number (NVMe base specification 1.4 section 5.14).
	if err := nvmeAsk(f, nvmeGetLog, nvmeAllSpaces, (nvmeLogSize/4-1)<<16|nvmeLogHealth, log); err != nil {
		return fmt.Errorf("%s: health log: %w", h.Device, err)
	}
	if err := h.nvmeLog(log); err != nil {
		return err
	}
	test := make([]byte, nvmeTestSize)
	if nvmeAsk(f, nvmeGetLog, nvmeAllSpaces, (nvmeTestSize/4-1)<<16|nvmeLogSelfTest, test) == nil {
		if err := h.nvmeTest(test); err != nil {
			return err
		}
	}
	ident := make([]byte, nvmeIdentSize)
	if nvmeAsk(f, nvmeIdentify, 0, 1, ident) == nil {
		h.nvmeLimits(ident)
	}
	return nil
}

// nvmeLog decodes the health log (NVMe base specification 1.4 section 5.14.1.2).
func (h *Health) nvmeLog(b []byte) error {
	if len(b) < nvmeLogSize {
		return errors.New("health log cut short")
	}
	for bit, reason := range []string{
		"few spare blocks are left",
		"its temperature is out of bounds",
		"it is not reliable any more",
		"it takes no more writes",
		"its buffer would not survive a power cut",
		"its persistent memory is read-only",
	} {
		if b[0]&(1<<bit) != 0 {
			h.fail("%s", reason)
		}
	}
	if k := binary.LittleEndian.Uint16(b[1:]); k != 0 {
		h.Celsius = ptr(float64(k) - kelvinToCelsius)
	}
	h.SparePercent, h.SpareLimit = ptr(float64(b[3])), ptr(float64(b[4]))
	h.WearPercent = ptr(float64(b[5]))
	h.PowerOnHours = ptr(int64(binary.LittleEndian.Uint64(b[128:])))
	h.Uncorrected = ptr(int64(binary.LittleEndian.Uint64(b[160:]))) // media and data integrity errors
	return nil
}

// nvmeLimits takes the disk's own temperature limits from the controller's
// identity (NVMe base specification 1.4 figure 247, WCTEMP and CCTEMP).
func (h *Health) nvmeLimits(b []byte) {
	if len(b) < 270 {
		return
	}
	if k := binary.LittleEndian.Uint16(b[266:]); k > kelvinToCelsius {
		h.CelsiusWatch = ptr(float64(k) - kelvinToCelsius)
	}
	if k := binary.LittleEndian.Uint16(b[268:]); k > kelvinToCelsius {
		h.CelsiusBad = ptr(float64(k) - kelvinToCelsius)
	}
}
