package shell

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"pillarbox/appliance/console/ptytest"
)

// asShell has the test program be the shell on its standard input: Ctrl-C is for
// the processes of a terminal alone, and the tests have none of their own.
const asShell = "PILLARBOX_TEST_SHELL"

func TestMain(m *testing.M) {
	if os.Getenv(asShell) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // as the console does
	if err := new(Shell).Run(ctx, os.Stdin, "how to leave"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// line is a shell on a terminal, seen from the far end.
type line struct {
	t         *testing.T
	far, near *os.File
	child     *exec.Cmd
	mu        sync.Mutex
	got       bytes.Buffer
	more      chan struct{}
}

// open runs a shell on a terminal that somebody left in raw mode.
func open(t *testing.T) *line {
	t.Helper()
	far, near := ptytest.Open(t)
	if _, err := term.MakeRaw(int(near.Fd())); err != nil {
		t.Fatal(err)
	}
	l := &line{t: t, far: far, near: near, more: make(chan struct{}, 1)}
	l.child = exec.Command(os.Args[0])
	l.child.Env = append(os.Environ(), asShell+"=1")
	l.child.Stdin, l.child.Stdout, l.child.Stderr = near, near, near
	l.child.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := l.child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.child.Process.Kill() })
	go l.read()
	l.shows("how to leave\r\n\r\n$ ")
	return l
}

func (l *line) read() {
	buf := make([]byte, 4096)
	for {
		n, err := l.far.Read(buf)
		l.mu.Lock()
		l.got.Write(buf[:n])
		l.mu.Unlock()
		select {
		case l.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// shows waits until text was written, and forgets what was up to there.
func (l *line) shows(text string) {
	l.t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		l.mu.Lock()
		got := l.got.String()
		_, rest, found := strings.Cut(got, text)
		if found {
			l.got.Reset()
			l.got.WriteString(rest)
		}
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-l.more:
		case <-limit:
			l.t.Fatalf("%q does not appear; there is %q", text, got)
		}
	}
}

func (l *line) types(keys string) {
	l.t.Helper()
	if _, err := l.far.WriteString(keys); err != nil {
		l.t.Fatal(err)
	}
}

// ends leaves the shell, and finds the terminal as it was.
func (l *line) ends(how func()) {
	l.t.Helper()
	how()
	if err := l.child.Wait(); err != nil {
		l.t.Errorf("it ended with %v", err)
	}
	now, err := unix.IoctlGetTermios(int(l.near.Fd()), unix.TCGETS)
	if err != nil || now.Oflag&unix.OPOST != 0 || now.Lflag&unix.ICANON != 0 {
		l.t.Errorf("the terminal is left as %+v, %v", now, err)
	}
}

// A command has a terminal as it expects it, whatever mode it was in before.
func TestCommandsHaveACookedTerminal(t *testing.T) {
	l := open(t)
	l.types("printf 'one\\ntwo\\n'\r")
	l.shows("one\r\ntwo\r\n$ ")
	l.types("stty -a; echo asked\r")
	l.shows("icrnl")
	l.shows("\r\nopost ")
	l.shows(" onlcr ")
	l.shows("isig icanon iexten echo ")
	l.shows("asked\r\n$ ")
	l.types("echo begun; cat\r")
	l.shows("begun\r\n") // before, what is typed would be for the line's editor
	l.types("typed to cat\r\x04")
	l.shows("typed to cat\r\ntyped to cat\r\n$ ")
	l.ends(func() { l.types("exit\r") })
}

// Ctrl-C ends a command, or the line that is typed, and nothing else.
func TestCtrlC(t *testing.T) {
	l := open(t)
	l.types("echo begun; sleep 1000\r")
	l.shows("begun\r\n")
	l.types("\x03")
	l.shows("^C")
	l.shows("$ ")
	l.types("echo begun; while true; do :; done\r")
	l.shows("begun\r\n")
	l.types("\x03")
	l.shows("^C")
	l.shows("$ ")
	l.types("echo 'never")
	l.shows("never")
	l.types("\x03")
	l.shows("^C\r\n$ ")
	l.types("if true\r")
	l.shows("> ")
	l.types("\x03")
	l.shows("^C\r\n$ ")
	l.types("echo still $((40+2))\r")
	l.shows("still 42\r\n$ ")
	l.types("sleep 0.01\x1c\r") // Ctrl-\ is no way out of the console
	l.shows("$ ")
	l.ends(func() { l.types("\x04") })
}

// The shell goes on where the last command left it.
func TestLinesBelongTogether(t *testing.T) {
	l := open(t)
	l.types("cd /proc/self; word=kept\r")
	l.shows("$ ")
	l.types("pwd; echo $word\r")
	l.shows("/proc/self\r\nkept\r\n$ ")
	l.types("for i in 1 2; do\r")
	l.shows("> ")
	l.types("echo n$i\r")
	l.shows("> ")
	l.types("done\r")
	l.shows("n1\r\nn2\r\n$ ")
	l.types("\x1b[A\x1b[A\x1b[A\x1b[A\r") // back to the second
	l.shows("/proc/self\r\nkept\r\n$ ")
	l.types("nothing-of-this-name; false; echo )\r")
	l.shows("$ ")
	l.types("nothing-of-this-name\r")
	l.shows("nothing-of-this-name\": executable file not found in $PATH\r\n$ ")
	l.ends(func() { l.types("exit 3\r") })
}

// A command in the background is not ended with the line that began it.
func TestBackground(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t)
	l.types("cat " + pipe + " &\r")
	l.shows("$ ")
	// It waits for who reads. One word is written at once: the prompt may come
	// between two.
	l.types("echo heard$((40+2)) >" + pipe + "\r")
	l.shows("heard42")
	l.ends(func() { l.types("exit\r") })
}

// What the interpreter does not know of is said, and the shell goes on.
func TestWhatCannotBeDone(t *testing.T) {
	l := open(t)
	l.types("word=kept; echo x 3>/dev/null\r")
	l.shows("this cannot be done here: unsupported redirect fd: 3\r\n$ ")
	l.types("wait 1\r")
	l.shows("this cannot be done here: wait with args")
	l.shows("$ ")
	l.types("echo $word\r")
	l.shows("kept\r\n$ ")
	l.ends(func() { l.types("exit\r") })
}

// The console ends with its context, whoever is at the command line.
func TestEndsWithItsContext(t *testing.T) {
	l := open(t)
	l.ends(func() {
		if err := l.child.Process.Signal(unix.SIGTERM); err != nil {
			t.Error(err)
		}
	})
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"bin/mailctl", "bin/mailx", "bin/ls", "log/maild.log", "log/.hidden", "log/boxd.log"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := commands(filepath.Join(dir, "bin")+":"+filepath.Join(dir, "nowhere"), "mail"); !slices.Equal(got, []string{"mailctl", "mailx"}) {
		t.Errorf("commands: %q", got)
	}
	for word, want := range map[string][]string{
		"l": {"log/"}, "log/": {"log/boxd.log", "log/maild.log"}, "log/m": {"log/maild.log"}, "log/.": {"log/.hidden"}, "x": nil,
		dir + "/b": {dir + "/bin/"},
	} {
		if got := files(dir, word); !slices.Equal(got, want) {
			t.Errorf("files %q: %q, want %q", word, got, want)
		}
	}
	if got := common([]string{"mailctl", "mailx"}); got != "mail" {
		t.Errorf("common: %q", got)
	}
}

func TestTabCompletes(t *testing.T) {
	l := open(t)
	l.types("cat /proc/self/mountinf\t | wc -l > /dev/nul\t; echo d\x7fdone\r")
	l.shows("done\r\n$ ")
	l.types("\x1b[A")
	l.shows("cat /proc/self/mountinfo  | wc -l > /dev/null ; echo done")
	l.types("\x03")
	l.shows("$ ")
	l.types("echo /proc/self/mou\t")
	l.shows("nt")
	l.types("\t")
	l.shows("/proc/self/mountinfo  /proc/self/mounts")
	l.ends(func() { l.types("\x03\x04") })
}
