package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/initapi"
)

// fakeRunner makes processes that tests end as they like.
type fakeRunner struct {
	mu      sync.Mutex
	pid     int
	started []string       // names in order of start
	ended   []string       // names in order of SIGTERM or SIGKILL with its signal
	deaf    map[string]int // 1: ignores SIGTERM, 2: SIGKILL too
	fault   error          // of the next Start
	procs   map[string]*fakeProcess
}

type fakeProcess struct {
	r    *fakeRunner
	name string
	pid  int
	exit chan Exit
	once sync.Once
}

func (r *fakeRunner) Start(spec *Spec) (Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = append(r.started, spec.Name)
	if r.fault != nil {
		return nil, r.fault
	}
	r.pid++
	p := &fakeProcess{r: r, name: spec.Name, pid: r.pid, exit: make(chan Exit, 1)}
	if r.procs == nil {
		r.procs = map[string]*fakeProcess{}
	}
	r.procs[spec.Name] = p
	return p, nil
}

// die ends the process of a service as if by itself.
func (r *fakeRunner) die(name string, exit Exit) {
	r.mu.Lock()
	p := r.procs[name]
	r.mu.Unlock()
	p.once.Do(func() { p.exit <- exit })
}

func (r *fakeRunner) starts() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.started, " ")
}

func (p *fakeProcess) PID() int   { return p.pid }
func (p *fakeProcess) Wait() Exit { return <-p.exit }

func (p *fakeProcess) Signal(sig unix.Signal) error {
	p.r.mu.Lock()
	deaf := p.r.deaf[p.name]
	p.r.mu.Unlock()
	if sig == unix.SIGTERM && deaf >= 1 || deaf >= 2 {
		return nil
	}
	p.once.Do(func() {
		p.r.mu.Lock()
		p.r.ended = append(p.r.ended, p.name+":"+unix.SignalName(sig))
		p.r.mu.Unlock()
		p.exit <- Exit{Signal: sig}
	})
	return nil
}

// harness runs a supervisor with fake processes in a synctest bubble.
type harness struct {
	*Supervisor
	r      *fakeRunner
	mu     sync.Mutex
	events []string
}

func newHarness() *harness {
	h := &harness{r: &fakeRunner{deaf: map[string]int{}}}
	h.Supervisor = New(h.r, func(e initapi.Event) {
		h.mu.Lock()
		h.events = append(h.events, e.Level+": "+e.Text)
		h.mu.Unlock()
	}, slog.New(slog.DiscardHandler))
	return h
}

func (h *harness) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events
}

// states returns the state of all services, as "a=running b=waiting".
func (h *harness) states() string {
	synctest.Wait()
	var out []string
	for _, s := range h.Status() {
		out = append(out, s.Name+"="+s.State)
	}
	return strings.Join(out, " ")
}

func spec(name string, after ...string) Spec {
	return Spec{Name: name, Command: []string{name}, After: after, StopWithin: 5 * time.Second}
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestOrderAndReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		var ready sync.Map
		isReady := func(name string) func(context.Context) error {
			return func(context.Context) error {
				if _, ok := ready.Load(name); !ok {
					return errors.New("not yet")
				}
				return nil
			}
		}
		a, b := spec("a"), spec("b", "a", "disk")
		a.Ready, b.Ready = isReady("a"), isReady("b")
		h.Add(a)
		h.Add(b)
		h.Add(spec("c", "b"))
		check(t, "at first", h.states(), "a=starting b=waiting c=waiting")
		ready.Store("a", true)
		time.Sleep(readyPoll)
		check(t, "a ready, no disk", h.states(), "a=running b=waiting c=waiting")
		h.Reach("disk")
		h.Reach("disk")
		check(t, "disk there", h.states(), "a=running b=starting c=waiting")
		ready.Store("b", true)
		time.Sleep(readyPoll)
		<-h.Ready("b")
		check(t, "b ready", h.states(), "a=running b=running c=running")
		h.Stop(t.Context())
		check(t, "stopped", h.states(), "a=stopped b=stopped c=stopped")
		check(t, "order of the end", strings.Join(h.r.ended, " "), "c:SIGTERM b:SIGTERM a:SIGTERM")
		if h.Ready("none") != nil {
			t.Error("an unknown service may become ready")
		}
	})
}

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.Add(spec("a"))
		h.Add(spec("b", "none-such-yet"))
		begin := time.Now()
		var at []string
		for range 8 {
			synctest.Wait()
			h.r.die("a", Exit{Code: 2})
			n := len(h.r.starts())
			for len(h.r.starts()) == n {
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
			}
			at = append(at, fmt.Sprint(time.Since(begin).Round(100*time.Millisecond)))
			begin = time.Now()
		}
		check(t, "pauses", strings.Join(at, " "), "200ms 400ms 800ms 1.6s 30s 30s 30s 30s")
		s := h.Status()[0]
		check(t, "last exit", s.LastExit, "exit status 2")
		if s.Restarts != 8 {
			t.Errorf("%d restarts", s.Restarts)
		}
		events := h.told()
		if len(events) != failedAfter || !strings.HasPrefix(events[failedAfter-1], "alert: a keeps dying (5 times in a row") {
			t.Errorf("events: %q", events)
		}

		// A run of a minute clears the account, and is told after an alert.
		time.Sleep(stableAfter + time.Second)
		synctest.Wait()
		check(t, "told", h.told()[len(h.told())-1], "info: a runs again")
		h.r.die("a", Exit{Signal: unix.SIGSEGV})
		time.Sleep(firstPause)
		check(t, "after a good run", h.states(), "a=running b=waiting")
		check(t, "last exit", h.Status()[0].LastExit, "killed by SIGSEGV")
		h.Stop(t.Context())
	})
}

func TestFailedServiceHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.r.fault = errors.New("no such file")
		h.Add(spec("a"))
		h.Add(spec("b", "a"))
		check(t, "at first", h.states(), "a=backoff b=waiting")
		time.Sleep(5 * time.Second)
		check(t, "given up", h.states(), "a=failed b=backoff")
		h.r.mu.Lock()
		h.r.fault = nil
		h.r.mu.Unlock()
		time.Sleep(longestPause)
		check(t, "well again", h.states(), "a=running b=running")
		h.Stop(t.Context())
	})
}

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		a := spec("a")
		a.Ready = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		b := spec("b", "a")
		b.Patience = time.Minute
		h.Add(a)
		h.Add(b)
		time.Sleep(time.Minute - time.Second)
		check(t, "patient", h.states(), "a=starting b=waiting")
		time.Sleep(2 * time.Second)
		check(t, "no longer", h.states(), "a=starting b=running")
		check(t, "told", h.told()[0], "warn: b starts although a is not ready after 1m0s")
		h.Stop(t.Context())
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.Add(spec("a"))
		h.states()
		if err := h.Restart("a"); err != nil {
			t.Fatal(err)
		}
		check(t, "restarted", h.states()+" "+h.r.starts(), "a=running a a")
		if n := h.Status()[0].Restarts; n != 0 {
			t.Errorf("a wish counts as %d deaths", n)
		}
		// It cuts a pause short.
		h.r.die("a", Exit{Code: 1})
		check(t, "dead", h.states(), "a=backoff")
		if err := h.Restart("a"); err != nil {
			t.Fatal(err)
		}
		check(t, "restarted", h.states()+" "+h.r.starts(), "a=running a a a")
		if h.Restart("b") == nil {
			t.Error("restarted what is not there")
		}
		h.Stop(t.Context())
		if h.Restart("a") == nil {
			t.Error("restarted while stopping")
		}
		h.Add(spec("late"))
		check(t, "after the end", h.states(), "a=stopped")
	})
}

func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.r.deaf = map[string]int{"deaf": 1, "stuck": 2}
		for _, name := range []string{"good", "deaf", "stuck"} {
			h.Add(spec(name))
		}
		h.states()
		begin := time.Now()
		h.Stop(t.Context())
		if d := time.Since(begin); d != 15*time.Second { // 5+5 stuck, 5 deaf
			t.Errorf("took %v", d)
		}
		check(t, "ended", strings.Join(h.r.ended, " "), "deaf:SIGKILL good:SIGTERM")
		if last := h.told(); len(last) != 3 || !strings.HasPrefix(last[1], "alert: stuck cannot be killed") {
			t.Errorf("told: %q", last)
		}
		h.r.procs["stuck"].exit <- Exit{} // the bubble must end
	})
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.r.deaf = map[string]int{"deaf": 1}
		h.Add(spec("good"))
		h.Add(spec("deaf"))
		h.states()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		h.Stop(ctx)
		if d := time.Since(begin); d != time.Second {
			t.Errorf("took %v", d)
		}
		if len(h.r.ended) != 2 {
			t.Errorf("ended: %v", h.r.ended)
		}
	})
}

// panicRunner panics where a fault of our own would.
type panicRunner struct{ *fakeRunner }

func (r panicRunner) Start(spec *Spec) (Process, error) {
	r.fakeRunner.Start(spec)
	panic("oh no")
}

func TestPanicIsADeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		h.Supervisor.runner = panicRunner{h.r}
		a := spec("a")
		h.Add(a)
		check(t, "state", h.states(), "a=backoff")
		check(t, "last exit", h.Status()[0].LastExit, "panic in the supervisor: oh no")
		h.Supervisor.Stop(t.Context())
	})
	synctest.Test(t, func(t *testing.T) {
		h := newHarness()
		a := spec("a")
		a.Ready = func(context.Context) error { panic("oh no") }
		h.Add(a)
		time.Sleep(time.Second)
		check(t, "state", h.states(), "a=starting")
		h.Stop(t.Context())
	})
}
