package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAnnouncer(t *testing.T) {
	dir := t.TempDir()
	screen, gone, stuck := filepath.Join(dir, "screen"), filepath.Join(dir, "gone"), filepath.Join(dir, "stuck")
	if err := os.WriteFile(screen, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Nobody reads from it: whoever opens it to write waits.
	if err := unix.Mkfifo(stuck, 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAnnouncer()
	a.say("before there is a screen")
	a.open([]string{screen, gone, stuck})
	a.hush()
	a.say("while the console has the screens")
	a.always("for everybody")
	a.loud()
	for i := range backlog {
		a.say(fmt.Sprintf("line %d", i)) // more than the stuck one takes
	}
	// The reader that comes at last lets the stuck line end with the others.
	r, err := os.OpenFile(stuck, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a.close()
	raw, err := os.ReadFile(screen)
	if err != nil {
		t.Fatal(err)
	}
	got := string(raw)
	order := []string{"before there is a screen\r\n", "for everybody\r\n", plain, "line 0\r\n"}
	for _, want := range order {
		i := strings.Index(got, want)
		if i < 0 {
			t.Fatalf("%q is not written, or not in order: %q", want, got)
		}
		got = got[i+len(want):]
	}
	if strings.Contains(string(raw), "while the console") {
		t.Error("a line was written over the console")
	}
	if _, err := os.Stat(gone); err == nil {
		t.Error("a terminal that is not there was made as a file")
	}
	a.say("after the end") // must not panic
}

// The kernel's complaint of the watchdog that is left running comes while services
// end, and is not for the screen.
func TestKernelIsHushed(t *testing.T) {
	var levels []int
	a := newAnnouncer()
	a.kernel = func(level int) { levels = append(levels, level) }
	a.hush()
	a.reclaim()
	a.loud()
	if !slices.Equal(levels, []int{kernelPanics, kernelPanics, kernelErrors}) {
		t.Errorf("levels %v", levels)
	}
}

func TestActiveConsoles(t *testing.T) {
	for _, tt := range []struct {
		active string
		want   []string
	}{
		{"tty0 ttyS0\n", []string{"/dev/tty1", "/dev/ttyS0"}},
		{"ttyS1\n", []string{"/dev/ttyS1"}},
		{"", []string{"/dev/console"}},
	} {
		sys := t.TempDir()
		if err := os.MkdirAll(filepath.Join(sys, "class/tty/console"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sys, "class/tty/console/active"), []byte(tt.active), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := activeConsoles(sys, "/dev"); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %v, want %v", tt.active, got, tt.want)
		}
	}
	if got := activeConsoles(t.TempDir(), "/dev"); !slices.Equal(got, []string{"/dev/console"}) {
		t.Errorf("a kernel that does not say: %v", got)
	}
}
