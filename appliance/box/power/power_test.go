package power

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHasKey(t *testing.T) {
	for _, tt := range []struct {
		bitmap string
		want   bool
	}{
		{"10000000000000 0", true}, // an ACPI power button
		{"10000000000000", false},
		{"402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe", true}, // a keyboard,
		{"1 10000000000000 ffff\n", true},
		{"", false},
		{"zz 0", false},
	} {
		if got := hasKey(tt.bitmap, keyPower); got != tt.want {
			t.Errorf("%q: %v", tt.bitmap, got)
		}
	}
}

func event(kind, code uint16, value uint32) string {
	b := make([]byte, eventSize)
	binary.LittleEndian.PutUint16(b[16:], kind)
	binary.LittleEndian.PutUint16(b[18:], code)
	binary.LittleEndian.PutUint32(b[20:], value)
	return string(b)
}

// The devices are a named pipe with a power button, one without, and a
// keyboard that has a power key.
func TestButtons(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	for name, keys := range map[string]string{
		"event0": "10000000000000 0\n",
		"event1": "fffe\n",
		"event2": "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n",
	} {
		dir := filepath.Join(sys, "class/input", name, "device/capabilities")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "key"), []byte(keys), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "../name"), []byte("Button of "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dev, "input"), 0o700); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dev, "input/event0")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// The others have no node: opening one would be logged.
	var logged strings.Builder
	pressed := make(chan string)
	b := NewButtons(sys, dev, pressed, slog.New(slog.NewTextHandler(&logged, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.Scan(ctx)
	b.Scan(ctx) // listens but once

	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.WriteString(event(evKey, 30, 1) + event(0, 0, 0) + event(evKey, keyPower, 0) + event(4, keyPower, 1))
	w.WriteString(event(evKey, keyPower, 1))
	if got := <-pressed; got != "Button of event0" {
		t.Errorf("pressed %q", got)
	}
	w.Close()
	if logged.Len() > 0 {
		t.Error(logged.String())
	}
}

func TestShortEvent(t *testing.T) {
	b := NewButtons("", "", nil, nil)
	if err := b.read(t.Context(), strings.NewReader(event(0, 0, 0)+"x"), ""); err == nil {
		t.Error("half an event is no error")
	}
}

func TestDisarmAll(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	for name, state := range map[string]string{"watchdog0": "active\n", "watchdog1": "inactive\n", "watchdog2": "active\n"} {
		dir := filepath.Join(sys, "class/watchdog", name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "state"), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "watchdog2" {
			continue // its device cannot be opened
		}
		if err := os.WriteFile(filepath.Join(dev, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := DisarmAll(sys, dev); err == nil || !strings.Contains(err.Error(), "watchdog2") {
		t.Errorf("one that cannot be stopped: %v", err)
	}
	for name, want := range map[string]string{"watchdog0": "V", "watchdog1": ""} {
		if got, err := os.ReadFile(filepath.Join(dev, name)); err != nil || string(got) != want {
			t.Errorf("%s was given %q, %v", name, got, err)
		}
	}
	if err := DisarmAll(t.TempDir(), dev); err != nil {
		t.Errorf("no watchdog: %v", err)
	}
}
