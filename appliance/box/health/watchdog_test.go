package health

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/api/healthapi"
)

// A timer that cannot run for as long as is wished keeps its own time, and is fed
// within it. One that nothing is known of, and so cannot be fed in time, is stopped:
// it would restart a box that works.
func TestTimersOfOtherTimes(t *testing.T) {
	for _, tt := range []struct {
		name     string
		set, get error
		own      int32
		want     int32
		every    time.Duration
	}{
		{"as wished", nil, nil, 60, 60, 10 * time.Second},
		{"the nearest that it can do", nil, nil, 62, 62, 10 * time.Second},
		{"half a minute at most", unix.EINVAL, nil, 30, 30, 10 * time.Second},
		{"a few seconds", unix.EINVAL, nil, 9, 9, 3 * time.Second},
		{"one time alone", unix.EOPNOTSUPP, nil, 16, 16, 16 * time.Second / 3},
		{"it does not say", unix.EOPNOTSUPP, unix.EOPNOTSUPP, 0, 0, 0},
		{"it says nonsense", unix.EINVAL, nil, 0, 0, 0},
	} {
		got, err := setTimer(func(request uint, seconds *int32) error {
			if request == unix.WDIOC_SETTIMEOUT {
				if tt.set == nil {
					*seconds = tt.own
				}
				return tt.set
			}
			*seconds = tt.own
			return tt.get
		})
		if got != tt.want || (err == nil) != (tt.want != 0) {
			t.Errorf("%s: %d, %v", tt.name, got, err)
			continue
		}
		w := new(Watchdog)
		w.Set(healthapi.Watchdog{Timeout: float64(got)})
		if every := w.every(); err == nil && every != tt.every {
			t.Errorf("%s: fed every %v, want %v", tt.name, every, tt.every)
		}
	}
	sys, dev := tree(t, map[string]string{"class/watchdog/watchdog0/identity": "of no use"}), tree(t, map[string]string{"watchdog0": ""})
	tm, status, err := OpenTimer(sys, dev, nil) // a file knows no request
	if got := line(filepath.Join(dev, "watchdog0")); tm != nil || status.Device != "" || err == nil || got != "V" {
		t.Errorf("one that cannot be used: %v, %+v, %v, closed with %q", tm, status, err, got)
	}
}
