// Package boardfile is what the box knows of its board: a file in the image,
// made of board/NAME/board.toml when the image is built, and read by boxd and
// healthd.
//
// It is the same for everybody who has the board, and the last to be asked:
// what the hardware says of itself goes before what stands here. A box without
// the file, or with one that cannot be read, works all the same and knows less.
package boardfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
)

// Path is where the file is, from the root of the box's file system.
const Path = "etc/pillarbox/board.json"

// File is the file, which is JSON.
type File struct {
	Name  string   `json:"name"`
	Title string   `json:"title"`
	Load  []string `json:"load"`
	// Watchdogs are the timers to be taken before others where the hardware has
	// several, the best first, by the identities that their drivers give them.
	Watchdogs []string `json:"watchdogs,omitempty"`
	// Sensors are checked by whoever uses them, see CheckSensors.
	Sensors []Sensor `json:"sensors,omitempty"`
}

// Read reads a file.
func Read(name string) (*File, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := new(File)
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// Sensor says from where on readings of a sensor are to be looked at (watch)
// and are bad, for sensors whose hardware does not say it. A value at a limit is
// beyond it. The units are °C, turns a minute, volts, amperes and watts.
type Sensor struct {
	// Chips are names of chips as their drivers give them under
	// /sys/class/hwmon: coretemp.
	Chips []string `toml:"chips" json:"chips"`
	// Input is one of the chip's inputs by the kernel's name for it (temp1), or
	// all of one kind (temp*). The kinds are temp, fan, in (volts), curr and power.
	Input string `toml:"input" json:"input"`
	// Label is a pattern of package path that the input's label has to fit; ""
	// fits any.
	Label string `toml:"label" json:"label,omitempty"`

	WatchLow  *float64 `toml:"watch_low" json:"watch_low,omitempty"`
	WatchHigh *float64 `toml:"watch_high" json:"watch_high,omitempty"`
	BadLow    *float64 `toml:"bad_low" json:"bad_low,omitempty"`
	BadHigh   *float64 `toml:"bad_high" json:"bad_high,omitempty"`
}

// input is what Input may be.
var input = regexp.MustCompile(`^(temp|fan|in|curr|power)(\*|0|[1-9][0-9]*)$`)

// measurable are the values that a limit may have, by the kind of the input.
// They are wide, and there for limits in other units: the kernel's files have
// thousandths. Temperatures beyond theirs are not believed when they are read.
var measurable = map[string]struct{ least, most float64 }{
	"temp": {-39, 126}, "fan": {0, 100_000}, "in": {-500, 500}, "curr": {-1000, 1000}, "power": {0, 20_000},
}

// Fits reports whether s is about an input of a chip.
func (s *Sensor) Fits(chip, name, label string) bool {
	m := input.FindStringSubmatch(s.Input)
	if m == nil || !slices.Contains(s.Chips, chip) {
		return false
	}
	if of := input.FindStringSubmatch(name); of == nil || of[1] != m[1] || m[2] != "*" && m[2] != of[2] {
		return false
	}
	if s.Label == "" {
		return true
	}
	fits, err := path.Match(s.Label, label)
	return err == nil && fits
}

// Find gives the first of sensors that is about an input of a chip; nil where
// there is none.
func Find(sensors []Sensor, chip, name, label string) *Sensor {
	i := slices.IndexFunc(sensors, func(s Sensor) bool { return s.Fits(chip, name, label) })
	if i < 0 {
		return nil
	}
	return &sensors[i]
}

// CheckSensors says all that is wrong with sensors, by number and key.
func CheckSensors(sensors []Sensor) error {
	var all []error
	for i := range sensors {
		sensors[i].check(func(key, format string, args ...any) {
			all = append(all, fmt.Errorf("sensor %d: %s %s", i+1, key, fmt.Sprintf(format, args...)))
		})
	}
	return errors.Join(all...)
}

func (s *Sensor) check(problem func(key, format string, args ...any)) {
	if len(s.Chips) == 0 || slices.Contains(s.Chips, "") {
		problem("chips", "must name chips, such as coretemp")
	}
	if _, err := path.Match(s.Label, ""); err != nil {
		problem("label", "%q is no pattern", s.Label)
	}
	m := input.FindStringSubmatch(s.Input)
	if m == nil {
		problem("input", "%q must be one input, such as temp1, or all of a kind, such as temp*: temp, fan, in, curr, power", s.Input)
		return
	}
	limits := []struct {
		key   string
		value *float64
	}{{"bad_low", s.BadLow}, {"watch_low", s.WatchLow}, {"watch_high", s.WatchHigh}, {"bad_high", s.BadHigh}}
	before := -1 // the limit that this one must not be below
	for i, l := range limits {
		if l.value == nil {
			continue
		}
		// Not a number is neither below nor above anything.
		if may := measurable[m[1]]; !(*l.value >= may.least && *l.value <= may.most) {
			problem(l.key, "%v is out of what a %s can be, %v to %v: limits are in °C, turns a minute, volts, amperes, watts", *l.value, m[1], may.least, may.most)
			continue
		}
		if before >= 0 {
			b := limits[before]
			// A watch_low at watch_high, say, leaves no value that is well.
			if across := before < 2 && i >= 2; *l.value < *b.value || across && *l.value == *b.value {
				problem(l.key, "%v must be above %s, which is %v", *l.value, b.key, *b.value)
			}
		}
		before = i
	}
	if s.BadLow == nil && s.WatchLow == nil && s.WatchHigh == nil && s.BadHigh == nil {
		problem("watch_high", "or another limit must be given: watch_low, watch_high, bad_low, bad_high")
	}
}
