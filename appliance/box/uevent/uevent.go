// Package uevent listens to what the kernel tells about devices that come, go
// and change. It needs no rights beyond those to open the netlink socket.
//
// Only the kernel is believed: programs that may set the network up can send to its
// group as well, and what is told here has drivers loaded.
//
// Messages can be lost when many devices change at once; the listener then
// yields an Event of action Lost, on which its reader looks at sysfs afresh.
package uevent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Actions of an Event, the ones that matter here.
const (
	Add    = "add"
	Remove = "remove"
	Change = "change"
	Lost   = "lost" // not the kernel's: events were lost
)

const (
	// kernelGroup is the multicast group of the kernel's own messages (udev's
	// are in group 2).
	kernelGroup = 1

	// receiveBuffer holds the messages of a coldplug of some thousand devices.
	receiveBuffer = 8 << 20

	// maxMessage is above the 2 KiB of variables and path the kernel allows.
	maxMessage = 16 << 10
)

// Event is one message. Fields that the message lacks are empty.
type Event struct {
	Action    string
	DevPath   string // under /sys
	Subsystem string
	DevName   string // under /dev
	DevType   string // such as disk or partition
	Modalias  string
}

// Listener receives events.
type Listener struct{ f *os.File }

// Listen opens the socket: what happens from now on is received.
func Listen() (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen to device events: %w", err)
	}
	// Beyond the system's limit, which only root may pass.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen to device events: %w", err)
	}
	return &Listener{os.NewFile(uintptr(fd), "uevent")}, nil
}

// Close ends a Next under way.
func (l *Listener) Close() error { return l.f.Close() }

// Run calls fn with each event until ctx ends or the socket fails. It closes
// the listener and returns nil when ctx ended it.
func (l *Listener) Run(ctx context.Context, fn func(Event)) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	buf := make([]byte, maxMessage)
	for {
		n, kernel, err := l.receive(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			fn(Event{Action: Lost})
		case err != nil:
			return fmt.Errorf("listen to device events: %w", err)
		case kernel:
			if e, ok := parse(buf[:n]); ok {
				fn(e)
			}
		}
	}
}

// receive waits for a message and says whether it is the kernel's.
func (l *Listener) receive(buf []byte) (n int, kernel bool, err error) {
	raw, err := l.f.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var from unix.Sockaddr
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, from, failed = unix.Recvfrom(int(fd), buf, 0)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err = cmp.Or(err, failed); err != nil {
		return 0, false, err
	}
	sender, ok := from.(*unix.SockaddrNetlink)
	return n, ok && sender.Pid == 0, nil
}

// parse takes a message apart: "ACTION@DEVPATH", then variables KEY=VALUE, each
// ended by a NUL.
func parse(msg []byte) (e Event, ok bool) {
	head, rest, _ := bytes.Cut(msg, []byte{0})
	e.Action, e.DevPath, ok = strings.Cut(string(head), "@")
	if !ok || e.Action == "" {
		return Event{}, false // udev's messages begin "libudev"
	}
	for v := range bytes.SplitSeq(rest, []byte{0}) {
		key, value, _ := strings.Cut(string(v), "=")
		switch key {
		case "SUBSYSTEM":
			e.Subsystem = value
		case "DEVNAME":
			e.DevName = value
		case "DEVTYPE":
			e.DevType = value
		case "MODALIAS":
			e.Modalias = value
		}
	}
	return e, true
}
