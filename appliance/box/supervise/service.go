package supervise

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/initapi"
)

// service is one that the supervisor has taken on.
type service struct {
	Spec
	sup        *Supervisor
	after      []*service
	milestones []chan struct{}

	stop    context.CancelFunc
	done    chan struct{} // closed when the service has stopped for good
	ready   chan struct{} // closed when it was ready for the first time
	release chan struct{} // closed when nobody should wait for it any more
	restart chan struct{} // asks for a restart

	// These are guarded by sup.mu.
	status  initapi.ServiceStatus
	process Process
	held    chan struct{} // closed at the release; nil: the service is not held
	active  bool          // a process runs, or is about to
}

// run takes the service through its life until ctx ends.
func (v *service) run(ctx context.Context) {
	defer close(v.done)
	defer v.set(initapi.StateStopped, 0)
	var once releases
	if !v.await(ctx) {
		return
	}
	deaths := 0
	for ctx.Err() == nil {
		if !v.enter(ctx) {
			return
		}
		begin := time.Now()
		exit, wanted := v.runGuarded(ctx, &once)
		v.leave()
		if ctx.Err() != nil {
			return
		}
		if wanted {
			deaths = 0
			continue
		}
		if time.Since(begin) >= stableAfter {
			deaths = 0
		}
		deaths++
		if !v.pause(ctx, v.died(exit, deaths, &once)) {
			return
		}
	}
}

// releases makes the two channels of a service close once each.
type releases struct{ ready, release sync.Once }

// await waits for what the service comes after. It returns false when ctx
// ended first.
func (v *service) await(ctx context.Context) bool {
	for _, m := range v.milestones {
		select {
		case <-m:
		case <-ctx.Done():
			return false
		}
	}
	var impatient <-chan time.Time
	if v.Patience > 0 {
		t := time.NewTimer(v.Patience)
		defer t.Stop()
		impatient = t.C
	}
	for _, other := range v.after {
		select {
		case <-other.ready:
		case <-other.release:
		case <-other.done:
		case <-impatient:
			v.tell(initapi.LevelWarn, "%s starts although %s is not ready after %v", v.Name, other.Name, v.Patience)
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// enter waits for as long as the service is held, and makes it active. It returns
// false when ctx ended first.
func (v *service) enter(ctx context.Context) bool {
	for {
		v.sup.mu.Lock()
		held := v.held
		v.active = held == nil
		v.sup.mu.Unlock()
		if held == nil {
			return true
		}
		v.set(initapi.StateStopped, 0)
		select {
		case <-held:
		case <-ctx.Done():
			return false
		}
		select {
		case <-v.restart: // it is started now anyway
		default:
		}
	}
}

func (v *service) leave() {
	v.sup.mu.Lock()
	defer v.sup.mu.Unlock()
	v.active = false
}

// died notes a death and returns how long to pause.
func (v *service) died(exit Exit, deaths int, once *releases) time.Duration {
	pause := longestPause
	if deaths < failedAfter {
		pause = min(firstPause<<(deaths-1), longestPause)
	}
	state := initapi.StateBackoff
	if deaths >= failedAfter {
		state = initapi.StateFailed
	}
	v.sup.mu.Lock()
	v.status.Restarts++
	v.status.LastExit = exit.String()
	v.sup.mu.Unlock()
	v.set(state, 0)
	v.sup.log.Warn("service died", "service", v.Name, "exit", exit.String(), "deaths", deaths, "pause", pause)
	switch {
	case deaths == failedAfter:
		v.tell(initapi.LevelAlert, "%s keeps dying (%d times in a row, the last by %s); it is tried again every %v",
			v.Name, deaths, exit, longestPause)
		once.release.Do(func() { close(v.release) })
	case deaths < failedAfter:
		v.tell(initapi.LevelWarn, "%s died (%s) and is started again", v.Name, exit)
	}
	return pause
}

// pause waits; a wish for a restart cuts it short. It returns false when ctx
// ended.
func (v *service) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-v.restart:
	case <-ctx.Done():
		return false
	}
	return true
}

// runGuarded is runOnce that takes a panic for a death.
func (v *service) runGuarded(ctx context.Context, once *releases) (exit Exit, wanted bool) {
	defer func() {
		if p := recover(); p != nil {
			v.kill()
			exit = Exit{Err: fmt.Errorf("panic in the supervisor: %v", p)}
		}
	}()
	return v.runOnce(ctx, once)
}

// runOnce starts the process and returns when it has ended. wanted is true
// when it was ended for a restart.
func (v *service) runOnce(ctx context.Context, once *releases) (exit Exit, wanted bool) {
	failed := v.state() == initapi.StateFailed
	p, err := v.sup.runner.Start(&v.Spec)
	if err != nil {
		return Exit{Err: err}, false
	}
	v.started(p)
	exited := make(chan Exit, 1)
	go func() { exited <- p.Wait() }()

	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := v.askReady(asking)
	var stable <-chan time.Time
	for {
		select {
		case <-ready:
			ready = nil
			v.set(initapi.StateRunning, p.PID())
			once.ready.Do(func() { close(v.ready) })
			if failed {
				t := time.NewTimer(stableAfter)
				defer t.Stop()
				stable = t.C
			}
		case <-stable:
			stable = nil
			v.tell(initapi.LevelInfo, "%s runs again", v.Name)
		case exit := <-exited:
			p.Signal(unix.SIGKILL) // children that outlived it
			return exit, false
		case <-v.restart:
			return v.end(p, exited), true
		case <-ctx.Done():
			return v.end(p, exited), false
		}
	}
}

// askReady returns a channel that is closed when the service is ready.
func (v *service) askReady(ctx context.Context) <-chan struct{} {
	ready := make(chan struct{})
	if v.Ready == nil {
		close(ready)
		return ready
	}
	ask := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		call, cancel := context.WithTimeout(ctx, readyCall)
		defer cancel()
		return v.Ready(call)
	}
	go func() {
		t := time.NewTicker(readyPoll)
		defer t.Stop()
		for ask() != nil {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
		}
		close(ready)
	}()
	return ready
}

// end ends the process: politely, then not.
func (v *service) end(p Process, exited <-chan Exit) Exit {
	p.Signal(unix.SIGTERM)
	t := time.NewTimer(v.StopWithin)
	defer t.Stop()
	select {
	case exit := <-exited:
		p.Signal(unix.SIGKILL) // children that outlived it
		return exit
	case <-t.C:
	}
	v.tell(initapi.LevelWarn, "%s did not end within %v and is killed", v.Name, v.StopWithin)
	p.Signal(unix.SIGKILL)
	t.Reset(killWait)
	select {
	case exit := <-exited:
		return exit
	case <-t.C:
		v.tell(initapi.LevelAlert, "%s cannot be killed: it hangs in the kernel", v.Name)
		return Exit{Err: fmt.Errorf("hangs in the kernel")}
	}
}

func (v *service) started(p Process) {
	v.sup.mu.Lock()
	v.process = p
	v.sup.mu.Unlock()
	v.set(initapi.StateStarting, p.PID())
}

// kill ends the process at once, if there is one.
func (v *service) kill() {
	v.sup.mu.Lock()
	defer v.sup.mu.Unlock()
	if v.process != nil {
		v.process.Signal(unix.SIGKILL)
	}
}

func (v *service) state() string {
	v.sup.mu.Lock()
	defer v.sup.mu.Unlock()
	return v.status.State
}

func (v *service) set(state string, pid int) {
	v.sup.mu.Lock()
	defer v.sup.mu.Unlock()
	v.status.State, v.status.PID, v.status.Since = state, pid, time.Now()
	if pid == 0 {
		v.process = nil
	}
}

func (v *service) tell(level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	v.sup.tell(initapi.Event{Time: time.Now(), Level: level, Service: v.Name, Text: strings.TrimSpace(text)})
}
