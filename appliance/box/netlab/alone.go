package netlab

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// alone is set in the process that Alone starts.
const alone = "NETLAB_ALONE"

// Alone runs a test again as a process with a network of its own, all of it: a
// program of several goroutines can be tested so, where Space.Do takes one function
// at a time. It returns false in the process that was there, whose test is over
// then, and true in the new one. Where namespaces are not to be had the test is
// skipped.
func Alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(alone) == t.Name() {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), alone+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	// Pdeathsig is about the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Errorf("%s\n%v", out, err)
	case errors.Is(err, unix.EPERM):
		t.Skip("network namespaces are not allowed here: ", err)
	case err != nil:
		t.Fatal(err)
	}
	return false
}

// Here is the network that the process itself has, after Alone.
func Here(t testing.TB) *Space {
	t.Helper()
	s := &Space{work: make(chan func()), t: t}
	var err error
	if s.file, err = os.Open("/proc/self/ns/net"); err != nil {
		t.Fatal(err)
	}
	go func() {
		for f := range s.work {
			f()
		}
	}()
	t.Cleanup(func() {
		close(s.work)
		s.file.Close()
	})
	return s
}
