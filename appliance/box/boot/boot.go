// Package boot is the work of PID 1: it takes the machine from the kernel's
// hand-over to "mail is served", keeps the services running, and brings
// everything down in order.
//
// In order: the kernel's file systems; drivers for the hardware there is; a
// clock that is at least plausible; the volumes of the system disk, grown and
// mounted; the services, each when those before it are ready. Then it waits for
// a reason to stop.
//
// Invariants: nothing that fails ends the boot. A step that fails becomes a
// Problem, a sentence on the screen and in the API, and what can go on without
// it goes on: without a data disk there is no mail, but there is a console that
// says so, and the disk is still waited for. Where another disk was chosen for
// mail, it is that one alone: the volume of the system disk never takes its place.
// PID 1 does not exit; a panic in any of its goroutines is an event.
//
// On disk: /state/log (see journal), /state/mail-disk.json (see disk). The package
// creates the folders that belong to the mail daemon and gives them to its user.
package boot

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/box/journal"
	"pillarbox/appliance/box/kmsg"
	"pillarbox/appliance/box/power"
	"pillarbox/appliance/box/supervise"
)

// Config is what the program knows of itself.
type Config struct {
	Version   string
	BuildTime time.Time // of the commit; zero if unknown
}

// System is the running box as PID 1 sees it.
type System struct {
	Config
	book   *journal.Book
	out    *announcer
	log    *slog.Logger
	procs  *supervise.Processes
	sup    *supervise.Supervisor
	events events
	kernel string

	problems problems
	volumes  volumes
	hardware *hardware
	finder   *disk.Finder

	// stop receives the first wish to end this run; later ones are dropped.
	stop chan stopWish

	mu          sync.Mutex
	served      bool
	bootSeconds float64
	stopping    bool
}

// stopWish is a wish to end this run of the box.
type stopWish struct {
	action power.Action
	why    string
}

// Run boots the box and returns when it has been brought down again, with
// what the caller is to do with the machine. It must run as PID 1.
func Run(cfg Config) power.Action {
	s := newSystem(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.earlyMounts()
	s.out.open(activeConsoles("/sys", "/dev"))
	s.kernel = kernelRelease()
	s.say("Pillarbox %s on Linux %s", cfg.Version, s.kernel)
	s.problems.report(s.say)

	s.guard("signals", func() { s.signals(ctx) })
	s.guard("reaper", func() { s.procs.Reap(ctx) })
	s.guard("kernel log", func() {
		w := s.book.Writer("kernel")
		if err := kmsg.Read(ctx, kmsg.Path, func(r kmsg.Record) { fmt.Fprintln(w, r.Text) }); err != nil {
			s.log.Warn("what the kernel says is not kept", "error", err)
		}
	})
	if err := unix.Sethostname([]byte("pillarbox")); err != nil {
		s.log.Warn("host name", "error", err)
	}
	s.bringUp(ctx)
	wish := <-s.stop
	s.bringDown(wish)
	return wish.action
}

func newSystem(cfg Config) *System {
	book := journal.New(time.Now)
	s := &System{
		Config: cfg,
		book:   book,
		out:    newAnnouncer(),
		stop:   make(chan stopWish, 1),
	}
	s.log = slog.New(slog.NewTextHandler(book.Writer("init"), &slog.HandlerOptions{
		// The book stamps the time of each line.
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		},
	}))
	s.hardware = newHardware(s.log)
	s.finder = disk.NewFinder("/sys", "/dev")
	s.procs = supervise.NewProcesses(func(service string) io.WriteCloser { return book.Writer(service) })
	s.sup = supervise.New(s.procs, s.tell, s.log)
	return s
}

// bringUp takes all steps of the boot. None of them ends it: a panic in one is
// told and the next is taken.
func (s *System) bringUp(ctx context.Context) {
	steps := []struct {
		name string
		do   func(context.Context)
	}{
		{"hardware", s.startHardware},
		{"clock", s.checkBuildTime},
		{"API", s.serveAPI},
		{"volumes", s.startVolumes},
		{"services", s.startServices},
	}
	for _, step := range steps {
		s.log.Info("boot", "step", step.name, "seconds", sinceKernelStart())
		func() {
			defer s.recovered(step.name)
			step.do(ctx)
		}()
	}
	s.guard("serving", func() { s.awaitServing(ctx) })
}

// wish asks for the end of this run. The first wish counts.
func (s *System) wish(action power.Action, why string) {
	select {
	case s.stop <- stopWish{action, why}:
	default:
	}
}

// wished reports whether the end of this run is asked for and has not begun.
func (s *System) wished() bool { return len(s.stop) > 0 }

// ending reports whether the box is being brought down.
func (s *System) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// signals turns signals into wishes. All that would end an ordinary program
// are taken, since the end of PID 1 is the end of the kernel.
func (s *System) signals(ctx context.Context) {
	ch := make(chan os.Signal, 8)
	signal.Notify(ch, unix.SIGINT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPWR, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(ch)
	if err := power.TakeCtrlAltDel(); err != nil {
		s.log.Warn("Ctrl-Alt-Del", "error", err)
	}
	for {
		select {
		case sig := <-ch:
			switch sig {
			case unix.SIGINT: // the kernel's, for Ctrl-Alt-Del
				s.wish(power.Reboot, "Ctrl-Alt-Del")
			case unix.SIGTERM:
				s.wish(power.Reboot, "signal TERM")
			case unix.SIGUSR1, unix.SIGUSR2, unix.SIGPWR:
				s.wish(power.Off, "signal "+unix.SignalName(sig.(unix.Signal)))
			}
		case <-ctx.Done():
			return
		}
	}
}

// serveAPI offers initapi on its socket.
func (s *System) serveAPI(ctx context.Context) {
	l, err := wire.Listen(initapi.Socket, 0o600)
	if err != nil {
		s.problems.add("API", err.Error())
		return
	}
	s.guard("API", func() {
		if err := wire.Serve(ctx, l, initapi.Handler(api{s}), s.log); err != nil {
			s.problems.add("API", err.Error())
		}
	})
}

// awaitServing announces the moment that mail is served and, since this is
// what a boot is for, marks the kernel image as good.
func (s *System) awaitServing(ctx context.Context) {
	select {
	case <-s.sup.Ready(serviceMail):
	case <-ctx.Done():
		return
	}
	took := sinceKernelStart()
	s.mu.Lock()
	s.served, s.bootSeconds = true, took
	s.mu.Unlock()
	s.out.always("pillarbox: mail is served")
	s.out.always(fmt.Sprintf("pillarbox: boot took %.1fs", took))
	s.log.Info("mail is served", "boot_seconds", took)
	s.sup.Reach(milestoneServing)
	s.guard("memory", func() { s.noteMemory(ctx) })
	if err := s.markGood(); err != nil {
		s.problems.add("boot counter", fmt.Sprintf("this version could not be marked as good: %v", err))
	}
}

// say tells people at the screens what happens, until the console is there,
// and the log in any case.
func (s *System) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.log.Info(text)
	s.out.say("pillarbox: " + text)
}

// tell keeps an event, and shows the ones that somebody should see. The log keeps
// it over a restart, marked with the attribute event, the last of its line.
func (s *System) tell(e initapi.Event) {
	s.events.add(e)
	if e.Level == initapi.LevelInfo {
		s.log.Info(e.Text, "event", e.Level)
		return
	}
	s.log.Warn(e.Text, "event", e.Level)
	s.out.say("pillarbox: " + e.Text)
}

// guard runs fn in a goroutine whose panic is told and ends nothing else.
func (s *System) guard(name string, fn func()) {
	go func() {
		defer s.recovered(name)
		fn()
	}()
}

// recovered is deferred: it turns a panic into an event.
func (s *System) recovered(name string) {
	if p := recover(); p != nil {
		for line := range strings.Lines(string(debug.Stack())) {
			s.book.Add("init", strings.TrimRight(line, "\n"))
		}
		s.tell(initapi.Event{Time: time.Now(), Level: initapi.LevelAlert, Service: "init",
			Text: fmt.Sprintf("a fault in init (%s): %v", name, p)})
	}
}

// sinceKernelStart returns the seconds since the kernel was started.
func sinceKernelStart() float64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return float64(ts.Sec) + float64(ts.Nsec)/1e9
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
