package power

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Action is how a run of the box ends.
type Action int

const (
	Off Action = iota
	Reboot
)

func (a Action) String() string {
	if a == Reboot {
		return "restarting"
	}
	return "powering off"
}

// Do ends this run of the machine at once, without a word to anybody. It
// returns only with an error.
func (a Action) Do() error {
	cmd := unix.LINUX_REBOOT_CMD_POWER_OFF
	if a == Reboot {
		cmd = unix.LINUX_REBOOT_CMD_RESTART
	}
	if err := unix.Reboot(cmd); err != nil {
		return fmt.Errorf("%v: %w", a, err)
	}
	return nil
}

// TakeCtrlAltDel makes the keys send SIGINT to PID 1 instead of restarting the
// machine on the spot.
func TakeCtrlAltDel() error {
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		return fmt.Errorf("take Ctrl-Alt-Del: %w", err)
	}
	return nil
}
