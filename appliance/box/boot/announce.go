package boot

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// backlog is how many lines wait for a slow serial line.
	backlog = 256

	// drainWait is how long the last words wait to get out: 256 lines of 80
	// characters take two seconds at 115200 baud.
	drainWait = 3 * time.Second

	// Levels of the kernel's messages, as its parameter loglevel has them: all
	// errors, and nothing but the system's end.
	kernelErrors = 4
	kernelPanics = 1

	// plain leaves whatever a full screen program set up: the alternate
	// screen, hidden cursor, colours.
	plain = "\x1b[?1049l\x1b[?25h\x1b[0m\r\n"
)

// announcer writes lines for people to all screens and serial lines, the
// slowest of which holds up none of the others and nobody else.
type announcer struct {
	mu    sync.Mutex
	lines []chan string
	early []string // said before there was a screen
	quiet bool
	done  sync.WaitGroup

	kernel func(level int) // says from which level on the kernel writes to its consoles
}

func newAnnouncer() *announcer { return &announcer{kernel: setKernelLevel} }

// open begins to write to the terminals at paths, with what was said before.
func (a *announcer) open(paths []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, path := range paths {
		ch := make(chan string, backlog)
		a.lines = append(a.lines, ch)
		a.done.Go(func() {
			t := terminal{path: path}
			for line := range ch {
				t.write(line)
			}
			t.close()
		})
	}
	for _, line := range a.early {
		a.send(line)
	}
	a.early = nil
}

// say writes a line unless a console has the screens.
func (a *announcer) say(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.quiet {
		a.send(line + "\r\n")
	}
}

// always writes a line whoever has the screens: the ones that a person or a
// test waits for.
func (a *announcer) always(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.send(line + "\r\n")
}

// hush leaves the screens to the console; loud takes them back. The kernel is
// told the same: what it says of a disk that fails, many lines a second, would
// run over the screen that says what to do about it, and is in its log. reclaim
// takes them back for this program alone: while services end, the kernel complains
// of the watchdog whose timer is left running on purpose, which looks like a fault.
func (a *announcer) hush() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.quiet = true
	a.kernel(kernelPanics)
}

func (a *announcer) loud()    { a.take(kernelErrors) }
func (a *announcer) reclaim() { a.take(kernelPanics) }

func (a *announcer) take(kernel int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.quiet = false
	a.kernel(kernel)
	a.send(plain)
}

// setKernelLevel lets the kernel write to its consoles what is worse than level.
func setKernelLevel(level int) {
	// The level is the length; without the right, or in a test, it stays as it was.
	_, _ = unix.Klogctl(unix.SYSLOG_ACTION_CONSOLE_LEVEL, make([]byte, level))
}

// send queues text; what finds no room in a backlog is dropped. a.mu is held.
func (a *announcer) send(text string) {
	if a.lines == nil {
		a.early = append(a.early, text)
		return
	}
	for _, ch := range a.lines {
		select {
		case ch <- text:
		default:
		}
	}
}

// close writes what is still queued, for as long as that may take.
func (a *announcer) close() {
	a.mu.Lock()
	for _, ch := range a.lines {
		close(ch)
	}
	a.lines = []chan string{}
	a.mu.Unlock()
	written := make(chan struct{})
	go func() { a.done.Wait(); close(written) }()
	select {
	case <-written:
	case <-time.After(drainWait):
	}
}

// terminal is a screen or serial line to write to. The kernel hangs up all who
// have it open when a program that had it as controlling terminal ends, as the
// console does: it is then opened anew.
type terminal struct {
	path string
	f    *os.File
}

func (t *terminal) write(text string) {
	for range 2 {
		if t.f == nil {
			f, err := os.OpenFile(t.path, os.O_WRONLY|unix.O_NOCTTY, 0)
			if err != nil {
				return
			}
			t.f = f
		}
		if _, err := t.f.WriteString(text); err == nil {
			return
		}
		t.close()
	}
}

func (t *terminal) close() {
	if t.f != nil {
		t.f.Close()
		t.f = nil
	}
}

// activeConsoles returns the paths of the terminals that the kernel has its
// console on, as its command line says. tty0, the screen in front, becomes
// tty1, where the console program will be.
func activeConsoles(sys, dev string) []string {
	text, err := os.ReadFile(filepath.Join(sys, "class/tty/console/active"))
	names := strings.Fields(string(text))
	if err != nil || len(names) == 0 {
		return []string{filepath.Join(dev, "console")}
	}
	var paths []string
	for _, name := range names {
		if name == "tty0" {
			name = "tty1"
		}
		paths = append(paths, filepath.Join(dev, name))
	}
	return paths
}
