// Package supervise runs the services of the box: it starts them in order,
// starts them again when they die, and stops them in reverse order.
//
// A service is one process. It waits for what Spec.After names, is started,
// and counts as ready once Spec.Ready succeeds. When it dies it is started
// again after a pause that doubles from 200 ms to 30 s and is short again once
// a run has lasted a minute. After five deaths in a row it is failed: that is
// told once, as an alert, and it is tried on at the longest pause.
//
// Invariants: a service that dies, hangs or keeps dying delays no other beyond
// Spec.Patience; no fault of a service ends the supervisor, a panic of its own
// code included; each event is told once.
package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/wire"
)

const (
	// firstPause is short, since most deaths are one of a kind and people wait.
	firstPause = 200 * time.Millisecond

	// longestPause keeps a service that cannot run from using up the box, and
	// is short enough that a cause put right is noticed soon.
	longestPause = 30 * time.Second

	// stableAfter is the length of a run that clears the count of deaths.
	stableAfter = time.Minute

	// failedAfter deaths in a row are no accident any more.
	failedAfter = 5

	// readyPoll is the time between two questions whether a service is ready;
	// readyCall bounds one question.
	readyPoll = 100 * time.Millisecond
	readyCall = 5 * time.Second

	// killWait is how long a killed process may take to be gone. Longer means
	// that it hangs in the kernel, on a dead disk most likely.
	killWait = 5 * time.Second

	// holdPoll is the time between two looks whether a held service has ended.
	holdPoll = 20 * time.Millisecond
)

// Spec describes a service. Name and Command must be set.
type Spec struct {
	Name    string
	Command []string // path of the program and its arguments
	Env     []string

	// UID and GID that the process gets, 0 for root. Capabilities are those it
	// and its children can have (numbers of capabilities(7)); nil is all for
	// root and none for others. NoNewPrivs keeps them from gaining any by exec.
	UID, GID     uint32
	Capabilities []uintptr
	NoNewPrivs   bool

	// TTY makes the terminal of that path the process's standard input and
	// output and its controlling terminal. Standard error is logged as ever.
	TTY string

	// After names services that must be ready, and milestones (see Reach)
	// that must be reached, before the first start.
	After []string

	// Patience bounds the wait for services in After that do not become
	// ready, unless it is 0. A milestone is waited for without bound.
	Patience time.Duration

	// Ready returns nil when the service does its work. It is asked again and
	// again. Without it the service is ready once it is started.
	Ready func(ctx context.Context) error

	// StopWithin is how long the process may take to end after SIGTERM,
	// before it is killed.
	StopWithin time.Duration
}

// Runner starts processes.
type Runner interface {
	// Start starts the process of spec. What it writes to standard output and
	// error is logged under the service's name.
	Start(spec *Spec) (Process, error)
}

// Process is one that runs.
type Process interface {
	PID() int
	// Wait returns when the process has ended. It is called once.
	Wait() Exit
	// Signal sends sig to the process and all its children.
	Signal(sig unix.Signal) error
}

// Exit says how a process ended.
type Exit struct {
	Code   int         // when it ended by itself
	Signal unix.Signal // when it was killed, else 0
	Err    error       // when it could not be started
}

func (e Exit) String() string {
	switch {
	case e.Err != nil:
		return e.Err.Error()
	case e.Signal != 0:
		return "killed by " + unix.SignalName(e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// Supervisor runs services. Its methods may be called from several goroutines.
type Supervisor struct {
	runner Runner
	tell   func(initapi.Event)
	log    *slog.Logger

	mu         sync.Mutex
	services   []*service // in the order they were added
	milestones map[string]chan struct{}
	stopping   bool
}

// New returns a supervisor without services. tell is called with what a person
// may want to know; it must not block and not call the supervisor.
func New(runner Runner, tell func(initapi.Event), log *slog.Logger) *Supervisor {
	return &Supervisor{runner: runner, tell: tell, log: log, milestones: map[string]chan struct{}{}}
}

// Add takes on a service and begins to run it. Services named in its After
// must be added before it; other names are milestones.
func (s *Supervisor) Add(spec Spec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	svc := &service{
		Spec:    spec,
		sup:     s,
		stop:    cancel,
		done:    make(chan struct{}),
		ready:   make(chan struct{}),
		release: make(chan struct{}),
		restart: make(chan struct{}, 1),
		status:  initapi.ServiceStatus{Name: spec.Name, State: initapi.StateWaiting, Since: time.Now()},
	}
	for _, name := range spec.After {
		if other := s.find(name); other != nil {
			svc.after = append(svc.after, other)
		} else {
			svc.milestones = append(svc.milestones, s.milestone(name))
		}
	}
	s.services = append(s.services, svc)
	go svc.run(ctx)
}

// Reach marks a milestone as reached, so that the services that wait for it
// go on. Reaching it again does nothing.
func (s *Supervisor) Reach(milestone string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.milestone(milestone)
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// milestone returns the channel that is closed once name is reached. s.mu is held.
func (s *Supervisor) milestone(name string) chan struct{} {
	ch := s.milestones[name]
	if ch == nil {
		ch = make(chan struct{})
		s.milestones[name] = ch
	}
	return ch
}

// find returns the service of that name, or nil. s.mu is held.
func (s *Supervisor) find(name string) *service {
	for _, svc := range s.services {
		if svc.Name == name {
			return svc
		}
	}
	return nil
}

// Ready returns a channel that is closed once the service has been ready for
// the first time; nil, which blocks for ever, when there is no such service.
func (s *Supervisor) Ready(name string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if svc := s.find(name); svc != nil {
		return svc.ready
	}
	return nil
}

// Status returns the state of all services in the order they were added.
func (s *Supervisor) Status() []initapi.ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]initapi.ServiceStatus, 0, len(s.services))
	for _, svc := range s.services {
		list = append(list, svc.status)
	}
	return list
}

// Restart ends the process of a service, if one runs, and starts it anew
// without a pause.
func (s *Supervisor) Restart(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.find(name)
	switch {
	case svc == nil:
		return wire.NotFound("there is no service %q", name)
	case s.stopping:
		return wire.Conflict("the box is stopping")
	}
	select {
	case svc.restart <- struct{}{}:
	default: // one restart is asked for already
	}
	return nil
}

// Hold ends the process of a service, if one runs, and keeps it from being started
// until release is called. It returns when there is none, or with the error of ctx;
// release is to be called in any case.
func (s *Supervisor) Hold(ctx context.Context, name string) (release func(), err error) {
	s.mu.Lock()
	svc := s.find(name)
	if svc == nil || svc.held != nil {
		s.mu.Unlock()
		if svc == nil {
			return func() {}, wire.NotFound("there is no service %q", name)
		}
		return func() {}, wire.Conflict("%s is held already", name)
	}
	held := make(chan struct{})
	svc.held = held
	if svc.active {
		select {
		case svc.restart <- struct{}{}:
		default:
		}
	}
	s.mu.Unlock()
	release = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if svc.held == held {
			svc.held = nil
			close(held)
		}
	}
	t := time.NewTicker(holdPoll)
	defer t.Stop()
	for {
		s.mu.Lock()
		active := svc.active
		s.mu.Unlock()
		if !active {
			return release, nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return release, fmt.Errorf("%s does not end: %w", name, ctx.Err())
		}
	}
}

// Stop ends all services, the last added first, each given its StopWithin
// before it is killed. It returns early when ctx ends; services that still run
// then are killed. The supervisor starts nothing afterwards.
func (s *Supervisor) Stop(ctx context.Context) {
	s.mu.Lock()
	s.stopping = true
	services := s.services
	s.mu.Unlock()
	for i := len(services) - 1; i >= 0; i-- {
		svc := services[i]
		svc.stop()
		select {
		case <-svc.done:
		case <-ctx.Done():
			s.abandon(services[:i+1])
			return
		}
	}
}

// abandon kills what still runs and waits no longer than for a killed process.
func (s *Supervisor) abandon(services []*service) {
	for _, svc := range services {
		svc.stop()
		svc.kill()
	}
	gone := time.After(killWait)
	for _, svc := range services {
		select {
		case <-svc.done:
		case <-gone:
			return
		}
	}
}
