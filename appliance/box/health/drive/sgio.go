package drive

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sgIO           = 0x2285
	sgFromDevice   = -3
	sgNoData       = -1
	sgAskMillis    = 10000 // a disk may need seconds to answer, never more
	sgInterface    = 'S'
	senseRecovered = 0x01
	checkCondition = 0x02
)

// sgHeader is struct sg_io_hdr of the kernel's interface.
type sgHeader struct {
	interfaceID, direction int32
	cmdLen, senseLen       uint8
	iovecs                 uint16
	dataLen                uint32
	data, cmd, sense       unsafe.Pointer
	timeout, flags         uint32
	packID                 int32
	user                   uintptr
	status, masked, msg    uint8
	senseWritten           uint8
	hostStatus, driver     uint16
	resid                  int32
	duration, info         uint32
}

// errRefused is a command the disk does not know.
var errRefused = errors.New("the disk refused the command")

// sg sends one command and returns the sense data. data may be nil.
func sg(f *os.File, cmd, data []byte) (sense []byte, err error) {
	sense = make([]byte, 32)
	h := sgHeader{
		interfaceID: sgInterface, direction: sgNoData, cmdLen: uint8(len(cmd)), senseLen: uint8(len(sense)),
		cmd: unsafe.Pointer(&cmd[0]), sense: unsafe.Pointer(&sense[0]), timeout: sgAskMillis,
	}
	if len(data) > 0 {
		h.direction, h.dataLen, h.data = sgFromDevice, uint32(len(data)), unsafe.Pointer(&data[0])
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), sgIO, uintptr(unsafe.Pointer(&h)))
	switch {
	case errno == unix.ENOTTY, errno == unix.EINVAL:
		return nil, ErrSilent
	case errno != 0:
		return nil, errno
	case h.hostStatus != 0:
		return nil, fmt.Errorf("the controller reports %#x", h.hostStatus)
	}
	sense = sense[:h.senseWritten]
	if h.status&^1 == checkCondition && !ataAnswered(sense) {
		return sense, errRefused
	}
	return sense, nil
}

// ataAnswered tells the sense data that carries ATA registers, which a
// pass-through returns with a check condition though nothing is wrong
// (SAT-3 section 12.2.2.6).
func ataAnswered(sense []byte) bool {
	return len(sense) >= 22 && sense[0]&0x7f == 0x72 && sense[1]&0x0f <= senseRecovered && sense[8] == 0x09
}
