package health

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	kdMakeTone = 0x4b30 // KDMKTONE
	timerHertz = 1193180
	toneHertz  = 880
	toneTime   = 250 * time.Millisecond
	tones      = 3
)

// beep sounds the PC speaker by the console's ioctl_console(2). A machine
// without one stays silent.
func beep(ctx context.Context, dev string) error {
	f, err := os.OpenFile(dev+"/tty0", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for range tones {
		if err := unix.IoctlSetInt(int(f.Fd()), kdMakeTone, int(toneTime.Milliseconds())<<16|timerHertz/toneHertz); err != nil {
			return err
		}
		if !wait(ctx, 2*toneTime) {
			return nil
		}
	}
	return nil
}
