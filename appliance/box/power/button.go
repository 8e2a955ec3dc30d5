// Package power turns the machine off and on again, and hears its power button.
package power

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

const (
	// keyPower is KEY_POWER of linux/input-event-codes.h, keyA KEY_A: a device
	// that has it is a keyboard.
	keyPower = 116
	keyA     = 30

	evKey     = 1
	keyDown   = 1
	eventSize = 24 // struct input_event of a 64 bit kernel
)

// Buttons listens to the power buttons among the input devices. Keyboards are
// left alone, though many have a power key: what people type is none of its
// business, and the key is pressed by mistake more often than not.
type Buttons struct {
	sys, dev string
	pressed  chan<- string
	log      *slog.Logger

	mu   sync.Mutex
	open map[string]bool
}

// NewButtons returns a listener that sends the name of a device on pressed when
// its power button is pressed. sys and dev are "/sys" and "/dev" but for tests.
func NewButtons(sys, dev string, pressed chan<- string, log *slog.Logger) *Buttons {
	return &Buttons{sys: sys, dev: dev, pressed: pressed, log: log, open: map[string]bool{}}
}

// Scan begins to listen to power buttons that it does not listen to yet. It is
// called at first and whenever an input device appears; listening ends with ctx.
func (b *Buttons) Scan(ctx context.Context) {
	paths, _ := filepath.Glob(filepath.Join(b.sys, "class/input/event*"))
	for _, path := range paths {
		name := filepath.Base(path)
		keys, err := os.ReadFile(filepath.Join(path, "device/capabilities/key"))
		if err != nil || !hasKey(string(keys), keyPower) || hasKey(string(keys), keyA) {
			continue
		}
		b.mu.Lock()
		known := b.open[name]
		b.open[name] = true
		b.mu.Unlock()
		if !known {
			go b.listen(ctx, name)
		}
	}
}

// hasKey reports whether a capability bitmap of sysfs, 64 bit words in hex with
// the highest first, has bit key.
func hasKey(bitmap string, key int) bool {
	words := strings.Fields(bitmap)
	i := len(words) - 1 - key/64
	if i < 0 {
		return false
	}
	w, err := strconv.ParseUint(words[i], 16, 64)
	return err == nil && w>>(key%64)&1 == 1
}

func (b *Buttons) listen(ctx context.Context, name string) {
	defer func() {
		b.mu.Lock()
		delete(b.open, name)
		b.mu.Unlock()
	}()
	f, err := os.Open(filepath.Join(b.dev, "input", name))
	if err != nil {
		b.log.Warn("power button", "device", name, "error", err)
		return
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	label, _ := os.ReadFile(filepath.Join(b.sys, "class/input", name, "device/name"))
	if err := b.read(ctx, f, strings.TrimSpace(string(label))); err != nil && ctx.Err() == nil {
		b.log.Warn("power button", "device", name, "error", err)
	}
}

// read sends label for each press of the power button in a stream of events.
func (b *Buttons) read(ctx context.Context, r io.Reader, label string) error {
	event := make([]byte, eventSize)
	for {
		if _, err := io.ReadFull(r, event); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read: %w", err)
		}
		// Two words of time, then type, code and value.
		le := binary.LittleEndian
		kind, code, value := le.Uint16(event[16:]), le.Uint16(event[18:]), le.Uint32(event[20:])
		if kind != evKey || code != keyPower || value != keyDown {
			continue
		}
		select {
		case b.pressed <- label:
		case <-ctx.Done():
			return nil
		}
	}
}
