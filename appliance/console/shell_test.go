package console

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"
)

// line gives both ends of a line that could be a terminal's.
func line(t *testing.T) (near, far *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far = os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func TestShell(t *testing.T) {
	near, far := line(t)
	if _, err := io.WriteString(far, "echo $((40+2)); nothing-of-this-name\nexit 3\n"); err != nil {
		t.Fatal(err)
	}
	var s tea.ExecCommand = newShell(t.Context(), "/bin/sh", near, "how to leave")
	s.SetStdin(strings.NewReader("echo other input\n"))
	s.SetStdout(io.Discard)
	s.SetStderr(io.Discard)
	if err := s.Run(); err == nil || err.Error() != "exit status 3" {
		t.Errorf("it ended with %v", err)
	}
	near.Close()
	out, err := io.ReadAll(far)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"how to leave\r\n", "42\n", "nothing-of-this-name"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in %q", want, out)
		}
	}
}

func TestShellFromTheMenu(t *testing.T) {
	d, _, _ := menuDrive(t)
	var log strings.Builder
	d.m.logger = slog.New(slog.NewTextHandler(&log, nil))
	var opened []*shell
	d.m.exec = func(c tea.ExecCommand, done tea.ExecCallback) tea.Cmd {
		opened = append(opened, c.(*shell))
		return func() tea.Msg { return done(os.ErrNotExist) }
	}
	d.unlock()
	for range len(d.m.menu().items) {
		if strings.Contains(d.screen(), ">  Command line") {
			break
		}
		d.keys("down")
	}
	d.wants(">  Command line")
	d.keys("enter")
	d.wants("That did not work: file does not exist")
	if len(opened) != 1 || opened[0].Path != shellProgram {
		t.Errorf("opened: %v", opened)
	}
	if !strings.Contains(log.String(), "the command line was opened") || !strings.Contains(log.String(), "the command line was left") {
		t.Errorf("the log says %q", log.String())
	}
}
