package ipmi

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ioctlSend    = 0x8028690d // IPMICTL_SEND_COMMAND
	ioctlReceive = 0xc030690b // IPMICTL_RECEIVE_MSG_TRUNC

	addrSystemInterface = 0x0c // IPMI_SYSTEM_INTERFACE_ADDR_TYPE
	channelBMC          = 0x0f // IPMI_BMC_CHANNEL
	recvResponse        = 1    // IPMI_RESPONSE_RECV_TYPE

	// answerWithin is generous: a controller answers in milliseconds, or, while
	// it starts its own firmware again, not at all.
	answerWithin = 5 * time.Second

	maxMessage = 272 // IPMI_MAX_MSG_LENGTH
)

// The kernel's structures (include/uapi/linux/ipmi.h) on a 64-bit machine.
type (
	systemAddr struct {
		kind    int32
		channel int16
		lun     uint8
	}
	message struct {
		netFn, cmd uint8
		length     uint16
		data       unsafe.Pointer
	}
	request struct {
		addr    unsafe.Pointer
		addrLen uint32
		id      int64
		msg     message
	}
	received struct {
		kind    int32
		addr    unsafe.Pointer
		addrLen uint32
		id      int64
		msg     message
	}
)

// Device is a controller's device of the kernel, such as /dev/ipmi0. It is not
// safe for concurrent use.
type Device struct {
	f  *os.File
	id int64
}

var _ Transport = (*Device)(nil)

// Open opens the device at path.
func Open(path string) (*Device, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &Device{f: f}, nil
}

// Close closes the device.
func (d *Device) Close() error { return d.f.Close() }

// Exchange implements [Transport].
func (d *Device) Exchange(netFn, lun, cmd byte, data []byte) ([]byte, error) {
	d.id++
	addr := &systemAddr{kind: addrSystemInterface, channel: channelBMC, lun: lun}
	body := make([]byte, max(len(data), 1)) // never a pointer to nothing
	copy(body, data)
	req := &request{
		addr: unsafe.Pointer(addr), addrLen: uint32(unsafe.Sizeof(*addr)), id: d.id,
		msg: message{netFn: netFn, cmd: cmd, length: uint16(len(data)), data: unsafe.Pointer(&body[0])},
	}
	fd := d.f.Fd()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, ioctlSend, uintptr(unsafe.Pointer(req)))
	runtime.KeepAlive(req)
	if errno != 0 {
		return nil, fmt.Errorf("%s: send: %w", d.f.Name(), errno)
	}
	for deadline := time.Now().Add(answerWithin); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, fmt.Errorf("%s: %w", d.f.Name(), os.ErrDeadlineExceeded)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("%s: wait: %w", d.f.Name(), err)
		}
		if n <= 0 {
			continue
		}
		// An answer to a request that was given up may still come first.
		answer, id, err := receive(fd)
		if err != nil {
			return nil, fmt.Errorf("%s: receive: %w", d.f.Name(), err)
		}
		if id == d.id {
			return answer, nil
		}
	}
}

func receive(fd uintptr) (answer []byte, id int64, err error) {
	addr := make([]byte, 64) // more than any of the kernel's addresses
	body := make([]byte, maxMessage)
	r := &received{addr: unsafe.Pointer(&addr[0]), addrLen: uint32(len(addr)), msg: message{length: maxMessage, data: unsafe.Pointer(&body[0])}}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, ioctlReceive, uintptr(unsafe.Pointer(r)))
	switch {
	case errno == unix.EAGAIN, errno == unix.EINTR:
		return nil, 0, nil
	case errno != 0 && errno != unix.EMSGSIZE: // cut to what fits, which is more than is asked for
		return nil, 0, errno
	case r.kind != recvResponse:
		return nil, 0, nil
	}
	return body[:min(int(r.msg.length), maxMessage)], r.id, nil
}
