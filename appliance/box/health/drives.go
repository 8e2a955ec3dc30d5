package health

import (
	"errors"
	"fmt"
	"strings"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/box/health/drive"
)

// Limits where a disk states none.
const (
	diskWatchCelsius   = 55
	diskBadCelsius     = 65
	wearWatchPercent   = 85
	wearBadPercent     = 100
	reallocatedWatch   = 10
	reallocatedBad     = 1000
	cableErrorsToWatch = 100
)

// isNVMe tells the disks whose controller answers from its memory. To ask others
// costs them a moment, or wakes them.
func isNVMe(name string) bool    { return strings.HasPrefix(name, "nvme") }
func isNotNVMe(name string) bool { return !isNVMe(name) }

// judgeDrive turns what a disk says into readings and findings.
func judgeDrive(h *drive.Health) (readings []healthapi.Reading, found []finding) {
	id := "drive/" + h.ID()
	add := func(part, kind, what string, v *float64, watch, bad *float64, low bool) {
		if v == nil {
			return
		}
		r := healthapi.Reading{ID: id + "/" + part, Kind: kind, Name: what + " of disk " + h.Name(), Value: *v}
		if low {
			r.WatchLow, r.BadLow = watch, bad
		} else {
			r.WatchHigh, r.BadHigh = watch, bad
		}
		readings = append(readings, r)
	}
	count := func(n *int64) *float64 {
		if n == nil {
			return nil
		}
		return ptr(float64(*n))
	}
	watch, bad := ptr(float64(diskWatchCelsius)), ptr(float64(diskBadCelsius))
	if h.CelsiusWatch != nil {
		watch, bad = h.CelsiusWatch, h.CelsiusBad
	} else if h.CelsiusBad != nil {
		watch, bad = ptr(*h.CelsiusBad-5), h.CelsiusBad
	}
	add("temperature", healthapi.Temperature, "the temperature", h.Celsius, watch, bad, false)
	add("wear", healthapi.Percent, "wear", h.WearPercent, ptr(float64(wearWatchPercent)), ptr(float64(wearBadPercent)), false)
	if h.SparePercent != nil && h.SpareLimit != nil && *h.SpareLimit > 0 {
		add("spare", healthapi.Percent, "spare blocks", h.SparePercent, ptr(*h.SpareLimit+10), h.SpareLimit, true)
	}
	add("pending", healthapi.Count, "unreadable places", count(h.Pending), nil, ptr(1.0), false)
	add("reallocated", healthapi.Count, "replaced places", count(h.Reallocated), ptr(float64(reallocatedWatch)), ptr(float64(reallocatedBad)), false)
	add("uncorrected", healthapi.Count, "lost reads and writes", count(h.Uncorrected), nil, ptr(1.0), false)
	add("cable", healthapi.Count, "transfer errors", count(h.CableErrors), ptr(float64(cableErrorsToWatch)), nil, false)
	add("hours", healthapi.Count, "hours in use", count(h.PowerOnHours), nil, nil, false)

	verdict := finding{id: id + "/verdict"}
	if h.Failing {
		verdict.level = healthapi.Bad
		verdict.what = fmt.Sprintf("The disk %s says that it is failing: %s.", h.Name(), strings.Join(h.Reasons, "; "))
		verdict.means = "It may stop at any time, and take with it what is on it."
		verdict.do = "Make a backup now, then replace the disk."
	}
	test := finding{id: id + "/self-test"}
	if h.SelfTest.Failed {
		test.level = healthapi.Bad
		test.what = fmt.Sprintf("The disk %s has failed its self-test.", h.Name())
		test.means, test.do = "Parts of it cannot be read.", "Make a backup, replace the disk, check the mail store."
	}
	verdict.disk, test.disk = h.Device, h.Device
	return readings, append(found, verdict, test)
}

// readDrives asks the disks that which picks. A disk that can be asked and does
// not answer is a finding.
func readDrives(sys string, which func(name string) bool, read func(sys, name string) (*drive.Health, error)) (readings []healthapi.Reading, found []finding) {
	names, err := drive.List(sys)
	if err != nil {
		return nil, nil
	}
	for _, name := range names {
		if !which(name) {
			continue
		}
		h, err := read(sys, name)
		f := finding{id: "drive/" + name + "/answers", disk: name}
		switch {
		case errors.Is(err, drive.ErrSilent):
			continue
		case err != nil:
			f.level = healthapi.Watch
			f.what = fmt.Sprintf("The disk %s does not answer questions about its health: %v.", name, err)
			f.means, f.do = "It may be failing, or its cable.", "Look at the disk's other readings; plug it in again when the box is off."
		default:
			r, more := judgeDrive(h)
			readings, found = append(readings, r...), append(found, more...)
		}
		found = append(found, f)
	}
	return readings, found
}
