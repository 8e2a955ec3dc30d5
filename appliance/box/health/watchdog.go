package health

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/box/power"
	"pillarbox/appliance/config/atomicfile"
)

const (
	// watchdogSeconds is how long the timer lets the box hang, where it can. It is
	// fed often enough to bear that one time is late.
	watchdogSeconds = 60
	feedEvery       = 10 * time.Second
	feedsInTime     = 3

	// patience is how long the box may fail its probe before the timer is left
	// to run out: a large store may take minutes to open after a power cut.
	patience = 5 * time.Minute

	// start is the same for a box that has just started.
	startPatience = 15 * time.Minute

	softdog = "Software Watchdog"

	wdiofCardReset = 0x20 // WDIOF_CARDRESET: the timer caused the last start
)

// Timer is a watchdog timer that runs.
type Timer interface {
	Feed() error
}

// Watchdog feeds a timer while the box truly works. When it does not for too
// long, the reason is written down and the timer left to run out.
type Watchdog struct {
	Timer Timer
	// Probe tells whether the box works end to end.
	Probe func(context.Context) error
	// Remedy, where it is not nil, is tried once when half of the patience is
	// over, before the whole box is restarted.
	Remedy func(context.Context)
	// ReasonFile is where the reason for a restart is kept.
	ReasonFile string
	Log        *slog.Logger

	mu      sync.Mutex
	status  healthapi.Watchdog
	lastOK  time.Time
	started time.Time
	everOK  bool
	lastErr error
	tried   bool // the remedy, since it last worked
}

// Status is what the API tells.
func (w *Watchdog) Status() healthapi.Watchdog {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Set puts what is known about the timer into the status.
func (w *Watchdog) Set(s healthapi.Watchdog) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = s
}

// Probed takes the result of a probe.
func (w *Watchdog) Probed(now time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastErr = err
	if err != nil {
		return
	}
	w.lastOK, w.everOK, w.tried = now, true, false
	if w.status.Held != "" { // the box works again before the timer has run out
		w.status.Held = ""
		if err := os.Remove(w.ReasonFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.Log.Error("the reason for a restart that did not come stays", "error", err)
		}
	}
}

// remedyDue tells once that it is time for the remedy: a box that has worked
// does not any more. One that starts is left alone.
func (w *Watchdog) remedyDue(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	due := w.everOK && !w.tried && now.Sub(w.lastOK) > patience/2
	w.tried = w.tried || due
	return due
}

// Step feeds the timer, or does not.
func (w *Watchdog) Step(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Timer == nil {
		return
	}
	if w.started.IsZero() {
		w.started, w.lastOK = now, now
	}
	limit := patience
	if !w.everOK {
		limit = startPatience
	}
	// A restart that has not mended the box is not tried again: it would only
	// take the console away from who looks for the fault, again and again.
	hopeless := !w.everOK && w.status.LastReset != ""
	if silence := now.Sub(w.lastOK); silence > limit && !hopeless {
		if w.status.Held == "" {
			w.status.Held = fmt.Sprintf("the box has not worked for %v: %v", silence.Round(time.Second), w.lastErr)
			w.Log.Error("the watchdog is not fed any more and restarts the box", "reason", w.status.Held)
			// What is written must be on the disk before the timer runs out.
			if err := atomicfile.Write(w.ReasonFile, []byte(w.status.Held+"\n"), 0o600); err != nil {
				w.Log.Error("the reason could not be kept", "error", err)
			}
		}
		return
	}
	if err := w.Timer.Feed(); err != nil {
		w.Log.Error("the watchdog cannot be fed", "error", err)
		return
	}
	w.status.Fed = now
}

// Run probes and feeds until ctx ends, the two apart: a probe that hangs must
// not keep the timer from its food before patience is over, nor feed it after.
func (w *Watchdog) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() {
		for wait(ctx, feedEvery) {
			c, cancel := context.WithTimeout(ctx, patience/2)
			err := w.Probe(c)
			cancel()
			w.Probed(time.Now(), err)
		}
	})
	both.Go(func() {
		for w.Step(time.Now()); wait(ctx, w.every()); {
			w.Step(time.Now())
			if w.Remedy != nil && w.remedyDue(time.Now()) {
				both.Go(func() { w.Remedy(ctx) })
			}
		}
	})
	both.Wait()
}

// every is how often the timer is fed.
func (w *Watchdog) every() time.Duration {
	if t := w.Status().Timeout; t > 0 {
		return min(feedEvery, time.Duration(t*float64(time.Second))/feedsInTime)
	}
	return feedEvery
}

// wait waits for d and reports whether ctx has not ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// device is a timer of the kernel.
type device struct{ f *os.File }

func (d device) Feed() error { return unix.IoctlWatchdogKeepalive(int(d.f.Fd())) }

// bestTimer picks one of the timers in names, which are folders of sysfs: the
// first of those that the board prefers, else any of the hardware's, else the
// kernel's own.
func bestTimer(names, preferred []string) string {
	best, rank := "", 0
	for _, n := range names {
		r := len(preferred)
		switch id := line(filepath.Join(n, "identity")); {
		case slices.Contains(preferred, id):
			r = slices.Index(preferred, id)
		case id == softdog:
			r = len(preferred) + 1
		}
		if best == "" || r < rank {
			best, rank = n, r
		}
	}
	return best
}

// OpenTimer starts the best timer there is: one that is preferred, by its
// identity, before others of the hardware, and those before the kernel's own; one
// that cannot be used is passed over. No timer is no error: Device of the result is
// empty then. The timer goes on after this process has ended, and is fed by the next
// one. LastReset of the result is what the timer itself says of the last start.
func OpenTimer(sys, dev string, preferred []string) (Timer, healthapi.Watchdog, error) {
	names, err := filepath.Glob(filepath.Join(sys, "class/watchdog/watchdog*"))
	if err != nil {
		return nil, healthapi.Watchdog{}, nil // the pattern is ours
	}
	var errs []error
	for len(names) > 0 {
		best := bestTimer(names, preferred)
		status := healthapi.Watchdog{Device: filepath.Base(best), Identity: line(filepath.Join(best, "identity"))}
		timer, err := startTimer(filepath.Join(dev, status.Device), &status)
		if err == nil {
			return timer, status, errors.Join(errs...)
		}
		errs = append(errs, fmt.Errorf("watchdog %s (%s): %w", status.Device, status.Identity, err))
		names = slices.DeleteFunc(names, func(n string) bool { return n == best })
	}
	return nil, healthapi.Watchdog{}, errors.Join(errs...)
}

func startTimer(path string, status *healthapi.Watchdog) (Timer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // it runs from here on
	if err != nil {
		return nil, err
	}
	seconds, err := setTimer(func(request uint, seconds *int32) error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(unsafe.Pointer(seconds))); errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		// One that is left running restarts a box that works, again and again.
		return nil, errors.Join(err, power.Disarm(f))
	}
	status.Timeout = float64(seconds)
	if boot, err := unix.IoctlGetInt(int(f.Fd()), unix.WDIOC_GETBOOTSTATUS); err == nil && boot&wdiofCardReset != 0 {
		status.LastReset = "the whole system hung"
	}
	return device{f}, nil
}

// setTimer has a timer run for watchdogSeconds, and returns how long it really runs:
// many have less to offer, and some one time alone.
func setTimer(ioctl func(request uint, seconds *int32) error) (int32, error) {
	seconds := int32(watchdogSeconds)
	err := ioctl(unix.WDIOC_SETTIMEOUT, &seconds)
	if err != nil {
		err = ioctl(unix.WDIOC_GETTIMEOUT, &seconds)
	}
	if err == nil && seconds < 1 {
		err = fmt.Errorf("a time of %d seconds", seconds)
	}
	if err != nil {
		return 0, fmt.Errorf("how long it runs: %w", err)
	}
	return seconds, nil
}

// lastReset says why the watchdog caused the last start: what healthd wrote to
// reasonFile before it let the timer run out, else what the timer says. The
// answer goes to bootFile, which lasts as long as this start: the timer says
// the same to a healthd that was itself started again, and the reason must not
// be taken for that of a later start.
func lastReset(timer, reasonFile, bootFile string) (string, error) {
	told, err := os.ReadFile(bootFile)
	if err == nil {
		return strings.TrimSpace(string(told)), nil
	}
	reason, err := os.ReadFile(reasonFile)
	switch {
	case err == nil:
		timer = strings.TrimSpace(string(reason))
	case !errors.Is(err, fs.ErrNotExist):
		timer = "the reason could not be read: " + err.Error()
	}
	if err := os.WriteFile(bootFile, []byte(timer+"\n"), 0o600); err != nil {
		return timer, err // the reason stays for the next one to tell
	}
	if err := os.Remove(reasonFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return timer, err
	}
	return timer, nil
}

// restartFinding tells once that the watchdog has restarted the box.
func restartFinding(s healthapi.Watchdog) finding {
	f := finding{id: "system/watchdog"}
	if s.LastReset != "" {
		f.level = healthapi.Watch
		f.what = "The watchdog has restarted the box: " + s.LastReset + "."
		f.means = "Something hung. Mail that was accepted is safe."
		f.do = "If it comes again, make a support bundle."
	}
	return f
}
