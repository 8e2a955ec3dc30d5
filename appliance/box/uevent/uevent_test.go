package uevent

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, msg string
		want      Event
		ok        bool
	}{
		{"disk", "add@/devices/pci0/block/sda\x00ACTION=add\x00DEVPATH=/devices/pci0/block/sda\x00SUBSYSTEM=block\x00DEVNAME=sda\x00DEVTYPE=disk\x00SEQNUM=7\x00",
			Event{Action: "add", DevPath: "/devices/pci0/block/sda", Subsystem: "block", DevName: "sda", DevType: "disk"}, true},
		{"device", "add@/devices/x\x00SUBSYSTEM=pci\x00MODALIAS=pci:v1=2d*\x00",
			Event{Action: "add", DevPath: "/devices/x", Subsystem: "pci", Modalias: "pci:v1=2d*"}, true},
		{"bare", "change@/x", Event{Action: "change", DevPath: "/x"}, true},
		{"udev", "libudev\x00\xfe\xed\xca\xfe", Event{}, false},
		{"empty", "", Event{}, false},
		{"no action", "@/x\x00", Event{}, false},
		{"odd variables", "add@/x\x00\x00=\x00SUBSYSTEM\x00", Event{Action: "add", DevPath: "/x"}, true},
	} {
		got, ok := parse([]byte(tt.msg))
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %+v, %v", tt.name, got, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("add@/x\x00SUBSYSTEM=block\x00"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if e, ok := parse(msg); ok && e.Action == "" {
			t.Error("an event without action")
		}
	})
}

func TestRunEndsWithContext(t *testing.T) {
	l, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, func(Event) {}) }()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// What a program sends is not taken for the kernel's.
func TestOnlyTheKernelIsBelieved(t *testing.T) {
	l, err := Listen()
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	raw, err := l.f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var to unix.Sockaddr
	if cerr := raw.Control(func(fd uintptr) { to, err = unix.Getsockname(int(fd)) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	if err := unix.Sendto(fd, []byte("add@/devices/forged\x00ACTION=add\x00MODALIAS=pci:forged\x00"), 0, to); err != nil {
		t.Skip("programs may not send here: ", err)
	}
	buf := make([]byte, maxMessage)
	for {
		n, kernel, err := l.receive(buf)
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := parse(buf[:n]); ok && e.DevPath == "/devices/forged" {
			if kernel {
				t.Error("a program was taken for the kernel")
			}
			break
		}
	}
	ended := make(chan error)
	go func() { ended <- l.Run(ctx, func(Event) {}) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
