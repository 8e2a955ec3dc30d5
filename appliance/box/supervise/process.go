package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Processes starts the processes of services and reaps every child of this
// process, the orphans that PID 1 inherits included. While Reap runs, nothing
// else in the process may wait for children (os/exec does).
type Processes struct {
	// output returns where the lines of a service go.
	output func(service string) io.WriteCloser

	// mu is held while a child is made and while one is collected, so that
	// none can be collected before it is known.
	mu      sync.Mutex
	waiting map[int]chan<- unix.WaitStatus
}

// NewProcesses returns a Runner. output gives the writer for what a process of
// the named service says; it is closed when the process and all who inherited
// its output have ended.
func NewProcesses(output func(service string) io.WriteCloser) *Processes {
	return &Processes{output: output, waiting: map[int]chan<- unix.WaitStatus{}}
}

// Reap collects ended children until ctx ends.
func (ps *Processes) Reap(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	defer signal.Stop(died)
	for {
		ps.collect()
		select {
		case <-died:
		case <-ctx.Done():
			return
		}
	}
}

// collect takes the status of all children that have ended.
func (ps *Processes) collect() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if ch := ps.waiting[pid]; ch != nil {
			delete(ps.waiting, pid)
			ch <- ws
		}
	}
}

// Start starts the process of spec in a session of its own.
func (ps *Processes) Start(spec *Spec) (Process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	p, err := ps.start(spec, w)
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	out := ps.output(spec.Name)
	go func() {
		defer r.Close()
		defer out.Close()
		io.Copy(out, r)
	}()
	return p, nil
}

func (ps *Processes) start(spec *Spec, log *os.File) (Process, error) {
	files := []*os.File{nil, log, log}
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   spec.Env,
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if attr.Env == nil {
		attr.Env = []string{} // nil would mean our own
	}
	if spec.TTY != "" {
		tty, err := os.OpenFile(spec.TTY, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			return nil, err
		}
		defer tty.Close()
		files[0], files[1] = tty, tty
		attr.Sys.Setctty, attr.Sys.Ctty = true, 0
	} else {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		files[0] = null
	}
	if spec.UID != 0 || spec.GID != 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: spec.UID, Gid: spec.GID, Groups: []uint32{}}
		attr.Sys.AmbientCaps = spec.Capabilities
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	child, err := startProcess(spec, attr)
	if err != nil {
		return nil, err
	}
	status := make(chan unix.WaitStatus, 1)
	ps.waiting[child.Pid] = status
	p := &process{pid: child.Pid, status: status}
	child.Release()
	return p, nil
}

// startProcess makes the child. What a thread may gain by exec is inherited by
// the processes it makes, and can be given up but never regained: so a child that
// may not have everything is made by a thread that has given up the rest and then
// ends.
func startProcess(spec *Spec, attr *os.ProcAttr) (child *os.Process, err error) {
	bounded := spec.UID != 0 || spec.Capabilities != nil
	if !bounded && !spec.NoNewPrivs {
		return os.StartProcess(spec.Command[0], spec.Command, attr)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if bounded {
			if err = bound(spec.Capabilities); err != nil {
				return
			}
		}
		if spec.NoNewPrivs {
			if err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				err = fmt.Errorf("no_new_privs: %w", err)
				return
			}
		}
		child, err = os.StartProcess(spec.Command[0], spec.Command, attr)
	}()
	<-done
	return child, err
}

// bound takes every capability but keep out of this thread's bounding set. Linux
// has at most 64 capabilities; it answers EINVAL to the first that it does not
// know.
func bound(keep []uintptr) error {
	for c := range uintptr(64) {
		if slices.Contains(keep, c) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// process is a child that runs as leader of its own process group.
type process struct {
	pid    int
	status <-chan unix.WaitStatus
}

func (p *process) PID() int { return p.pid }

func (p *process) Wait() Exit {
	ws := <-p.status
	if ws.Signaled() {
		return Exit{Signal: ws.Signal()}
	}
	return Exit{Code: ws.ExitStatus()}
}

// Signal reaches the group, which outlives its leader while it has members.
// The leader's number is not given out again before that.
func (p *process) Signal(sig unix.Signal) error {
	return unix.Kill(-p.pid, sig)
}
