package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/box/clock"
	"pillarbox/appliance/box/modules"
	"pillarbox/appliance/box/power"
	"pillarbox/appliance/box/uevent"
)

// modulesList names the modules that no device asks for; the image's board
// decides.
const modulesList = "/etc/pillarbox/modules-load"

// alwaysLoad are the modules that a box cannot do without, whatever the board
// lists: file systems of its volumes, the power button, what the loader and a
// crash left in the firmware, the firewall, bonds and VLANs.
var alwaysLoad = []string{
	"ext4", "vfat", "nls_cp437", "nls_ascii", "sd_mod", "evdev", "button", "efivarfs", "efi_pstore",
	"nf_tables", "nft_ct", "nft_limit", "nft_connlimit", "nft_reject_inet",
	"bonding", "8021q",
}

// hardware is what reacts to devices that appear.
type hardware struct {
	loader  *modules.Loader // nil when there are no modules to load
	buttons *power.Buttons
	pressed chan string   // a power button was pressed
	disks   chan struct{} // a block device came or went; capacity 1
}

func newHardware(log *slog.Logger) *hardware {
	pressed := make(chan string)
	return &hardware{
		buttons: power.NewButtons("/sys", "/dev", pressed, log),
		pressed: pressed,
		disks:   make(chan struct{}, 1),
	}
}

// startHardware loads drivers for what is there and goes on to do so for what
// comes.
func (s *System) startHardware(ctx context.Context) {
	h := s.hardware
	begin := time.Now()
	loader, err := modules.Open("/", s.kernel, s.log)
	if err != nil {
		s.problems.add("drivers", fmt.Sprintf("no drivers can be loaded: %v", err))
	}
	h.loader = loader
	// Listen before looking, so that nothing falls between the two.
	listener, err := uevent.Listen()
	if err != nil {
		s.problems.add("device events", err.Error())
	} else {
		s.guard("device events", func() {
			if err := listener.Run(ctx, func(e uevent.Event) { s.device(ctx, e) }); err != nil {
				s.problems.add("device events", err.Error())
			}
		})
	}
	s.guard("power button", func() {
		for {
			select {
			case name := <-h.pressed:
				s.wish(power.Off, name)
			case <-ctx.Done():
				return
			}
		}
	})
	if h.loader == nil {
		return
	}
	names, err := modules.ReadList(modulesList)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("module list", "error", err)
	}
	if err := h.loader.Load(append(alwaysLoad, names...)...); err != nil {
		s.log.Info("some listed modules are not loaded", "error", err)
	}
	s.mountVariables()
	n := h.loader.Coldplug(ctx, "/sys")
	s.softWatchdog()
	h.buttons.Scan(ctx)
	s.say("%d drivers loaded in %.1fs", n+len(alwaysLoad), time.Since(begin).Seconds())
}

// softWatchdog loads the kernel's own watchdog where the hardware has none: it
// mends no hung kernel, but a box whose programs hang.
func (s *System) softWatchdog() {
	timers, err := filepath.Glob("/sys/class/watchdog/watchdog*")
	if err != nil || len(timers) > 0 {
		return
	}
	if err := s.hardware.loader.Load("softdog"); err != nil {
		s.log.Warn("there is no watchdog: a box that hangs stays so", "error", err)
	}
}

// device reacts to a device that came.
func (s *System) device(ctx context.Context, e uevent.Event) {
	h := s.hardware
	if e.Action == uevent.Remove {
		if e.Subsystem == "block" { // of two that are alike the right one may be left
			h.wakeDisks()
		}
		return
	}
	if e.Modalias != "" && h.loader != nil {
		s.guard("driver", func() { h.loader.Device(e.Modalias) })
	}
	lost := e.Action == uevent.Lost
	if lost && h.loader != nil {
		s.guard("drivers", func() { h.loader.Coldplug(ctx, "/sys") })
	}
	if lost || e.Subsystem == "input" {
		h.buttons.Scan(ctx)
	}
	if lost || e.Subsystem == "block" {
		h.wakeDisks()
	}
}

// wakeDisks has the disks looked at soon.
func (h *hardware) wakeDisks() {
	select {
	case h.disks <- struct{}{}:
	default:
	}
}

// checkBuildTime moves a clock that is before the time of this program.
func (s *System) checkBuildTime(context.Context) {
	s.setSaneClock("this version was made", s.BuildTime)
}

// setSaneClock sets the clock to the latest of the times that have passed for
// certain, if it shows an earlier one, or one that is no time to be running in.
func (s *System) setSaneClock(what string, passed ...time.Time) {
	now := time.Now()
	set, ok := clock.Sane(now, passed...)
	if ok {
		return
	}
	const format = "2006-01-02 15:04 MST"
	wrong := "before " + what
	if now.After(set) {
		wrong = "many years after this version was made"
	}
	text := fmt.Sprintf("the clock showed %s, which is %s; it is set to %s until a time server is reached. "+
		"Look at the battery of the mainboard.", now.UTC().Format(format), wrong, set.UTC().Format(format))
	ts := unix.NsecToTimespec(set.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		text = fmt.Sprintf("the clock shows %s, which is %s, and cannot be set: %v", now.UTC().Format(format), wrong, err)
	}
	s.problems.add("clock", text)
}
