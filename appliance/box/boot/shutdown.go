package boot

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/box/power"
)

const (
	// stopServices bounds the end of all services together: the sum of their
	// own limits and some air.
	stopServices = 14 * time.Second

	// strayWait is what is left to processes that no service owns, such as a
	// shell somebody has open.
	strayWait = 500 * time.Millisecond

	// syncWait bounds the writing out of what is still in memory. A disk that
	// hangs must not keep the box from going off.
	syncWait = 10 * time.Second
)

// bringDown ends the services, the last started first, and takes the volumes
// out of use. After it the machine can be turned off at any moment.
func (s *System) bringDown(wish stopWish) {
	defer s.recovered("shutdown")
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.out.reclaim()
	s.say("%v: %s", wish.action, wish.why)

	s.noteProcessor()
	ctx, cancel := context.WithTimeout(context.Background(), stopServices)
	defer cancel()
	s.sup.Stop(ctx)
	s.out.loud() // the console has let go of the screen
	clean := true
	for _, svc := range s.sup.Status() {
		clean = clean && svc.State == initapi.StateStopped
	}
	endStrays()
	clean = s.release() && clean
	if clean && wish.action == power.Off {
		// Where not all could be ended the timer stays: the way off may hang.
		if err := power.DisarmAll("/sys", "/dev"); err != nil {
			s.say("watchdog: %v", err)
		}
	}
	if clean {
		s.out.always("pillarbox: stores closed, " + wish.action.String())
	} else {
		s.out.always("pillarbox: not all could be ended in order, " + wish.action.String())
	}
	s.out.close()
}

// release ends the logs, writes out and unmounts all volumes, and reports whether that was
// done in time and without error.
func (s *System) release() bool {
	done := make(chan bool, 1)
	go func() {
		defer s.recovered("unmount")
		ok := true
		if err := s.book.Close(); err != nil {
			s.say("logs: %v", err)
		}
		unix.Sync()
		state, data, esp := s.volumes.get()
		for _, m := range []*disk.Mount{data, state, esp} {
			if err := m.Unmount(); err != nil {
				s.say("%v", err)
				ok = false
			}
		}
		done <- ok
	}()
	select {
	case ok := <-done:
		return ok
	case <-time.After(syncWait):
		s.say("a disk does not finish writing after %v", syncWait)
		return false
	}
}

// endStrays ends every process but this one and the kernel's own.
func endStrays() {
	if !strays() {
		return
	}
	unix.Kill(-1, unix.SIGTERM)
	unix.Kill(-1, unix.SIGCONT) // a stopped process hears nothing
	for deadline := time.Now().Add(strayWait); strays() && time.Now().Before(deadline); {
		time.Sleep(strayWait / 20)
	}
	unix.Kill(-1, unix.SIGKILL)
}

// strays reports whether there are processes left; the kernel's own threads,
// which have no command line, and zombies do not count.
func strays() bool {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err != nil || pid == os.Getpid() {
			continue
		}
		if line, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && len(line) > 0 {
			return true
		}
	}
	return false
}
