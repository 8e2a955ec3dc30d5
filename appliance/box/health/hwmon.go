package health

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/config/boardfile"
)

// sensorFile is an input of hwmon, such as temp1_input.
var sensorFile = regexp.MustCompile(`^(temp|fan|in|curr|power)(\d+)_(input|average)$`)

// fans remembers which fans have turned since healthd began.
type fans map[string]bool

// read gives a limit to fans without one that have turned: they must not stand
// still. One that never turned may be a plug without a fan.
func (f fans) read(readings []healthapi.Reading) {
	for i := range readings {
		switch r := &readings[i]; {
		case r.Kind != healthapi.Fan || r.BadLow != nil || r.WatchLow != nil:
		case r.Value > 0:
			f[r.ID] = true
		case f[r.ID]:
			r.WatchLow = ptr(0.0)
		}
	}
}

// boardLimits gives a reading the limits of its board, above and below, where the
// hardware states none on that side. What the hardware says of itself is true of
// this very part, and what the board says may only be so of most.
func boardLimits(r *healthapi.Reading, s *boardfile.Sensor) {
	if s == nil {
		return
	}
	if r.WatchHigh == nil && r.BadHigh == nil {
		r.WatchHigh, r.BadHigh = s.WatchHigh, s.BadHigh
	}
	if r.WatchLow == nil && r.BadLow == nil {
		r.WatchLow, r.BadLow = s.WatchLow, s.BadLow
	}
}

// hwmon reads the sensors that drivers show under /sys/class/hwmon, with the
// limits of the board's sensors. Their numbers change between starts: a sensor is
// known by its chip's place.
func hwmon(sys string, sensors []boardfile.Sensor) []healthapi.Reading {
	chips, err := filepath.Glob(filepath.Join(sys, "class/hwmon/hwmon*"))
	if err != nil {
		return nil // the pattern is ours
	}
	var all []healthapi.Reading
	for _, chip := range chips {
		name := line(filepath.Join(chip, "name"))
		place := name
		if target, err := filepath.EvalSymlinks(filepath.Join(chip, "device")); err == nil {
			place = name + "-" + filepath.Base(target)
		}
		entries, err := os.ReadDir(chip)
		if err != nil {
			continue // a chip that went away
		}
		for _, e := range entries {
			m := sensorFile.FindStringSubmatch(e.Name())
			if m == nil || m[3] == "average" && m[1] != "power" {
				continue
			}
			if r, ok := sensor(chip, m[1], m[2], m[3]); ok {
				label := line(filepath.Join(chip, m[1]+m[2]+"_label"))
				boardLimits(&r, boardfile.Find(sensors, name, m[1]+m[2], label))
				r.ID = "hwmon/" + place + "/" + m[1] + m[2]
				r.Name = sensorName(name, label, m[1], m[2])
				all = append(all, r)
			}
		}
	}
	return all
}

func sensor(chip, kind, number, input string) (r healthapi.Reading, ok bool) {
	base := filepath.Join(chip, kind+number+"_")
	if v, ok := integer(base + "enable"); ok && v == 0 {
		return r, false // nothing is connected there
	}
	// Documentation/hwmon/sysfs-interface of the kernel: milli-units, and
	// micro for power.
	scale := 1000.0
	switch kind {
	case "temp":
		r.Kind = healthapi.Temperature
	case "fan":
		r.Kind, scale = healthapi.Fan, 1
	case "in":
		r.Kind = healthapi.Voltage
	case "curr":
		r.Kind = healthapi.Current
	case "power":
		r.Kind, scale = healthapi.Power, 1e6
	}
	v, ok := integer(base + input)
	if !ok {
		return r, false // drivers answer with an error while a sensor is silent
	}
	r.Value = v / scale
	if v, ok := integer(base + "fault"); ok && v != 0 {
		return r, false
	}
	limit := func(name string) *float64 {
		v, ok := integer(base + name)
		if !ok {
			return nil
		}
		v /= scale
		return &v
	}
	switch r.Kind {
	case healthapi.Temperature:
		r.WatchHigh, r.BadHigh = sane(limit("max"), 30, 150), sane(limit("crit"), 30, 150)
		if r.BadHigh != nil && r.WatchHigh != nil && *r.WatchHigh > *r.BadHigh {
			r.WatchHigh = nil
		}
		// -55 and lower, 127 and higher are what chips answer for a sensor that
		// is not there.
		if r.Value <= -40 || r.Value >= 127 {
			return r, false
		}
	case healthapi.Fan:
		r.BadLow = sane(limit("min"), 1, 100000)
	default:
		r.WatchLow, r.WatchHigh = limit("min"), limit("max")
		r.BadLow, r.BadHigh = limit("lcrit"), limit("crit")
		// Many boards leave the limits of voltages at zero or at the end of the scale.
		if r.WatchLow != nil && r.WatchHigh != nil && (*r.WatchHigh <= *r.WatchLow || r.Value > 2**r.WatchHigh) {
			r.WatchLow, r.WatchHigh = nil, nil
		}
	}
	return r, true
}

// sane drops a limit that no hardware means.
func sane(v *float64, low, high float64) *float64 {
	if v == nil || *v < low || *v > high {
		return nil
	}
	return v
}

// sensorName says for people where a sensor sits.
func sensorName(chip, label, kind, number string) string {
	if label == "" {
		label = kind + number
	}
	switch chip {
	case "coretemp", "k10temp", "zenpower", "via_cputemp":
		return "processor " + label
	case "drivetemp", "nvme":
		return "disk " + label
	case "jc42", "spd5118":
		return "memory " + label
	case "acpitz", "pch_cannonlake", "pch_skylake":
		return "board " + label
	}
	return chip + " " + label
}

// line reads a file of one line; "" where it cannot be had.
func line(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// integer reads a file of one number.
func integer(path string) (float64, bool) {
	n, err := strconv.ParseInt(line(path), 10, 64)
	return float64(n), err == nil
}
