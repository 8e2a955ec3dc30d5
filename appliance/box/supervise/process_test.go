package supervise

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lines collects what processes say until they close it.
type lines struct {
	sync.Mutex
	strings.Builder
	closed chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Builder.Write(p)
}

func (l *lines) Close() error { close(l.closed); return nil }

func (l *lines) text() string {
	<-l.closed
	l.Lock()
	defer l.Unlock()
	return l.String()
}

func newProcesses(t *testing.T) (*Processes, *lines) {
	out := &lines{closed: make(chan struct{})}
	ps := NewProcesses(func(string) io.WriteCloser { return out })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { ps.Reap(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return ps, out
}

func shell(script string) *Spec {
	return &Spec{Name: "s", Command: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin", "X=1"}}
}

func TestProcessOutputAndExit(t *testing.T) {
	for _, tt := range []struct{ name, script, exit, out string }{
		{"ends", "echo out; echo err >&2; exit 3", "exit status 3", "out\nerr\n"},
		{"killed", "kill -SEGV $$", "killed by SIGSEGV", ""},
		{"own environment alone", "echo $X $HOME", "exit status 0", "1\n"},
		{"no input", "cat; pwd", "exit status 0", "/\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ps, out := newProcesses(t)
			p, err := ps.Start(shell(tt.script))
			if err != nil {
				t.Fatal(err)
			}
			check(t, "exit", p.Wait().String(), tt.exit)
			check(t, "output", out.text(), tt.out)
		})
	}
}

func TestProcessSignalReachesChildren(t *testing.T) {
	ps, out := newProcesses(t)
	p, err := ps.Start(shell("sleep 1000 & sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	check(t, "exit", p.Wait().String(), "killed by SIGKILL")
	out.text() // returns once nobody holds the output any more
}

func TestProcessFaults(t *testing.T) {
	ps, _ := newProcesses(t)
	for _, s := range []*Spec{
		{Name: "s", Command: []string{"/no/such/program"}},
		{Name: "s", Command: []string{"/no/such/program"}, NoNewPrivs: true},
		{Name: "s", Command: []string{"/bin/sh"}, TTY: "/no/such/tty"},
	} {
		if _, err := ps.Start(s); err == nil || !os.IsNotExist(unwrapAll(err)) {
			t.Errorf("%v: got %v", s.Command, err)
		}
	}
}

func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err
		}
		err = u.Unwrap()
	}
}

// TestPrivileges starts processes as maild and boxd are started. Who is not root
// can only show the part that needs no rights.
func TestPrivileges(t *testing.T) {
	const chown, netBindService = 0, 10 // even a container has them
	person := func(id string) string {
		return `Uid:` + strings.Repeat(`\s+`+id, 4) + `\nGid:` + strings.Repeat(`\s+`+id, 4) + `\n`
	}
	tests := []struct {
		name string
		spec Spec
		want string
	}{{"nothing more", Spec{NoNewPrivs: true}, `NoNewPrivs:\s+1\n`}}
	if os.Getuid() == 0 {
		tests = append(tests, []struct {
			name string
			spec Spec
			want string
		}{
			{"a person with one", Spec{UID: 1000, GID: 1000, Capabilities: []uintptr{netBindService}, NoNewPrivs: true},
				person("1000") + `Groups:\s*\nCapEff:\s+0000000000000400\nCapBnd:\s+0000000000000400\nNoNewPrivs:\s+1\n`},
			{"a person with none", Spec{UID: 1000, GID: 1000}, `CapEff:\s+0{16}\nCapBnd:\s+0{16}\nNoNewPrivs:\s+0\n`},
			{"root with two", Spec{Capabilities: []uintptr{netBindService, chown}},
				person("0") + `(?s).*CapEff:\s+0000000000000401\nCapBnd:\s+0000000000000401\n`},
			{"root with none", Spec{Capabilities: []uintptr{}}, `CapEff:\s+0{16}\n`},
		}...)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ps, out := newProcesses(t)
			s := tt.spec
			s.Name = "s"
			s.Command = shell("grep -E '^(Uid|Gid|Groups|CapEff|CapBnd|NoNewPrivs):' /proc/self/status").Command
			p, err := ps.Start(&s)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "exit", p.Wait().String(), "exit status 0")
			if got := out.text(); !regexp.MustCompile(tt.want).MatchString(got) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			// The supervisor itself keeps what it has.
			self, err := os.ReadFile("/proc/thread-self/status")
			if err != nil || !regexp.MustCompile(`NoNewPrivs:\s+0`).Match(self) {
				t.Errorf("our own thread: %s, %v", self, err)
			}
		})
	}
}

// TestSupervisesProcesses joins the two halves once.
func TestSupervisesProcesses(t *testing.T) {
	ps, _ := newProcesses(t)
	h := newHarness()
	h.Supervisor.runner = ps
	ps.output = func(string) io.WriteCloser { return &lines{closed: make(chan struct{})} }
	s := *shell("trap 'exit 0' TERM; while :; do sleep 0.05; done")
	s.StopWithin = 5 * time.Second
	h.Add(s)
	<-h.Ready("s")
	first := h.Status()[0].PID
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for h.Status()[0].PID == first || h.Status()[0].State != "running" {
		time.Sleep(10 * time.Millisecond)
	}
	check(t, "last exit", h.Status()[0].LastExit, "killed by SIGKILL")
	h.Stop(t.Context())
	check(t, "end", h.Status()[0].State, "stopped")
}
