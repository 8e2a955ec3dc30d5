package console

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/sys/unix"

	"pillarbox/appliance/console/ptytest"
)

// terminal is the far end of a pseudo-terminal: what was drawn there, without
// the escapes.
type terminal struct {
	far *os.File
	mu  sync.Mutex
	got bytes.Buffer
	new chan struct{} // something was drawn
}

// openTerminal makes a pseudo-terminal and gives the end for the console.
func openTerminal(t *testing.T, width, height uint16) (*terminal, *os.File) {
	t.Helper()
	far, near := ptytest.Open(t)
	if err := unix.IoctlSetWinsize(int(far.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		t.Fatal(err)
	}
	term := &terminal{far: far, new: make(chan struct{}, 1)}
	go term.read()
	return term, near
}

func (term *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := term.far.Read(buf)
		term.mu.Lock()
		term.got.Write(buf[:n])
		term.mu.Unlock()
		select {
		case term.new <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// shows waits until text was drawn after the mark, and moves the mark.
func (term *terminal) shows(t *testing.T, text string) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		term.mu.Lock()
		drawn := ansi.Strip(term.got.String())
		if strings.Contains(drawn, text) {
			term.got.Reset()
		}
		term.mu.Unlock()
		if strings.Contains(drawn, text) {
			return
		}
		select {
		case <-term.new:
		case <-limit:
			t.Fatalf("%q does not appear; what was drawn:\n%s", text, drawn)
		}
	}
}

func (term *terminal) types(t *testing.T, keys string) {
	t.Helper()
	if _, err := term.far.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// The console on a terminal: it reads keys as they come, draws what they lead
// to, takes no size for 80 by 24, and gives the terminal back when it ends.
func TestOnATerminal(t *testing.T) {
	for _, serial := range []bool{false, true} {
		far, near := openTerminal(t, 0, 0)
		before, err := unix.IoctlGetTermios(int(near.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		f := freshBox()
		go func() { ended <- Run(ctx, Config{TTY: near, Serial: serial, Backend: f}) }()
		far.shows(t, "Welcome (1/9)")
		far.types(t, "\r")
		far.shows(t, "Port 25 out")
		far.types(t, "\r")
		far.shows(t, "Mail domain")
		far.types(t, "example.org\r")
		far.shows(t, "mail.example.org")
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serial %v: %v", serial, err)
		}
		if after, err := unix.IoctlGetTermios(int(near.Fd()), unix.TCGETS); err != nil || *after != *before {
			t.Errorf("serial %v: the terminal is left as %+v, want %+v, %v", serial, after, before, err)
		}
	}
}
