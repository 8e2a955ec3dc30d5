package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/box/health/ipmi"
	"pillarbox/appliance/config/atomicfile"
)

const (
	// eventShown is how long an entry of the controller's log stays a state. It
	// is told once, and a person who looks the next day still finds it.
	eventShown = 24 * time.Hour

	// maxEvents bounds what is kept of the log: a sensor that flutters fills it.
	maxEvents = 50

	// controllerSilence is how long a controller may keep silent, as it does
	// while it starts its firmware again.
	controllerSilence = 10 * time.Minute

	// lightSeconds is how long the identify light burns for one request: it
	// goes out by itself when nobody renews it.
	lightSeconds = 150
)

// management reads a server's management controller: sensors, event log, and
// redundant parts. A machine without one is asked again each time, at the cost
// of a file that is not there.
type management struct {
	// open opens the controller; fs.ErrNotExist says that there is none.
	open func() (ipmi.Transport, error)
	// path is where the place in the log is kept, and the events that are shown.
	path string
	log  *slog.Logger

	controller *ipmi.Controller
	silent     time.Time // since when it does not answer
	kept       *managementKept
}

// managementKept is what a restart must not forget: else it told all of the log
// again, or nothing of what came meanwhile.
type managementKept struct {
	Mark   ipmi.Mark   `json:"mark"`
	Events []seenEvent `json:"events,omitempty"`
}

type seenEvent struct {
	Seen time.Time `json:"seen"`
	ipmi.Event
}

// read gives what the controller says now. light asks for the identify light.
func (m *management) read(now time.Time, light bool) (readings []healthapi.Reading, found []finding) {
	answers := finding{id: "ipmi/answers"}
	if m.controller == nil {
		t, err := m.open()
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, []finding{m.mute(now, answers, err)}
		}
		m.controller = ipmi.New(t)
	}
	sensors, err := m.controller.Sensors()
	if err != nil {
		return nil, []finding{m.mute(now, answers, err)}
	}
	for i := range sensors {
		r, f, err := m.sensor(&sensors[i])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return readings, append(found, m.mute(now, answers, err)) // the others would not answer either
		}
		if err != nil {
			m.log.Debug("a sensor of the management controller", "sensor", sensors[i].Name, "error", err)
			continue
		}
		readings, found = append(readings, r...), append(found, f...)
	}
	m.silent = time.Time{}
	if light {
		if err := m.controller.Identify(lightSeconds); err != nil {
			m.log.Debug("the identify light", "error", err)
		}
	}
	return readings, append(found, append(m.events(now, sensors), answers)...)
}

func (m *management) mute(now time.Time, f finding, err error) finding {
	if m.silent.IsZero() {
		m.silent = now
	}
	if now.Sub(m.silent) >= controllerSilence {
		f.level = healthapi.Watch
		f.what = fmt.Sprintf("The server's management controller does not answer: %v.", err)
		f.means = "Temperatures, fans and power supplies that it alone sees are not watched."
		f.do = "Take the mains from the server for a minute when it suits; look for newer firmware."
	}
	return f
}

// sensor judges by the limits where there are some, else by the controller's word.
func (m *management) sensor(s *ipmi.Sensor) (readings []healthapi.Reading, found []finding, err error) {
	v, ok, err := m.controller.Read(s)
	if err != nil || !ok {
		return nil, nil, err
	}
	id := "ipmi/" + s.ID()
	kind, known := map[string]string{
		ipmi.Celsius: healthapi.Temperature, ipmi.RPM: healthapi.Fan, ipmi.Volts: healthapi.Voltage,
		ipmi.Amperes: healthapi.Current, ipmi.Watts: healthapi.Power, ipmi.Percent: healthapi.Percent,
	}[v.Quantity]
	if known {
		r := healthapi.Reading{ID: id, Kind: kind, Name: s.Name, Value: v.Value, WatchLow: v.WatchLow, WatchHigh: v.WatchHigh, BadLow: v.BadLow, BadHigh: v.BadHigh}
		switch kind {
		case healthapi.Temperature:
			r.WatchHigh, r.BadHigh = sane(r.WatchHigh, 30, 150), sane(r.BadHigh, 30, 150)
		case healthapi.Fan:
			r.WatchLow, r.BadLow = sane(r.WatchLow, 1, 100000), sane(r.BadLow, 1, 100000)
		}
		readings = append(readings, r)
		if r.WatchLow != nil || r.WatchHigh != nil || r.BadLow != nil || r.BadHigh != nil {
			return readings, nil, nil
		}
	}
	f := finding{id: id + "/state"}
	if len(v.States) > 0 {
		f.level = healthapi.Watch
		var texts []string
		for _, st := range v.States {
			texts = append(texts, st.Text)
			if st.Critical {
				f.level = healthapi.Bad
			}
		}
		f.what = fmt.Sprintf("The server's management controller says: %s %s.", s.Name, strings.Join(texts, ", "))
		f.means, f.do = meaningOfPart(s)
	}
	return readings, append(found, f), nil
}

// meaningOfPart explains what a part's state means, by the kind of the part.
func meaningOfPart(s *ipmi.Sensor) (means, do string) {
	switch s.Part() {
	case ipmi.PowerSupply:
		return "The server may run on one power supply alone: it stops when that fails, or its mains.", "Look at the power supplies and their cables; replace the one that failed."
	case ipmi.Fans:
		return "The server may get hot.", "Look at the fans; replace the one that failed."
	case ipmi.Memory:
		return "A memory module makes errors.", "Replace the memory module when the box is off."
	case ipmi.Drive:
		return "A disk in the server's bays has failed or will.", "Make a backup, replace the disk whose light burns."
	case ipmi.Case:
		return "Somebody may have opened the server.", "Find out who, and close it."
	case ipmi.Battery:
		return "The board's battery keeps the clock and the firmware's settings.", "Replace the battery when the box is off."
	case ipmi.Processor:
		return "The processor may be damaged or too hot.", "Look at the fans and the heat sink; ask the maker of the server."
	}
	return "A part of the server is not as it should be.", "Look at the server's lights; ask its maker what this sensor means."
}

// events are what the controller's log has got since it was last looked at.
func (m *management) events(now time.Time, sensors []ipmi.Sensor) []finding {
	full, recent := finding{id: "ipmi/log/full"}, finding{id: "ipmi/log"}
	info, err := m.controller.LogInfo()
	if err != nil {
		return nil // a controller without a log
	}
	if info.Entries > 0 && info.Free == 0 {
		full.level = healthapi.Watch
		full.what = fmt.Sprintf("The event log of the server's management controller is full (%d entries).", info.Entries)
		full.means = "What happens to the hardware from now on is not recorded there."
		full.do = "Clear the log in the controller's own pages or in the firmware setup."
	}
	if err := m.follow(now, sensors); err != nil {
		m.log.Warn("the event log of the management controller", "error", err)
	}
	if n := len(m.kept.Events); n > 0 {
		recent.level = healthapi.Watch
		last := m.kept.Events[n-1]
		if last.Critical {
			recent.level = healthapi.Bad
		}
		recent.what = "The server's management controller has recorded: " + last.Text
		if !last.Time.IsZero() {
			recent.what += last.Time.Format(" (2006-01-02 15:04 by its clock)")
		}
		if n > 1 {
			recent.what += fmt.Sprintf("; and %d more since yesterday", n-1)
		}
		recent.what += "."
		recent.means, recent.do = "Something happened to the hardware. It may be over.", "Look at the other readings, and at the controller's log."
	}
	return []finding{full, recent}
}

// follow takes up new entries of the log. At the first look ever the log's past
// is left alone: it may be years old.
func (m *management) follow(now time.Time, sensors []ipmi.Sensor) error {
	first, err := m.load()
	if err != nil {
		return err
	}
	before := len(m.kept.Events)
	for len(m.kept.Events) > 0 && now.Sub(m.kept.Events[0].Seen) >= eventShown {
		m.kept.Events = m.kept.Events[1:]
	}
	var end ipmi.Mark
	var events []ipmi.Event
	if first {
		if end, err = m.controller.End(); err != nil {
			m.kept = nil // the next look is the first
			return err
		}
	} else {
		events, end, err = m.controller.EventsAfter(m.kept.Mark, sensors)
	}
	for _, e := range events {
		m.log.Warn("management controller", "event", e.Text, "time", e.Time, "critical", e.Critical)
		m.kept.Events = append(m.kept.Events, seenEvent{now, e})
	}
	m.kept.Events = m.kept.Events[max(0, len(m.kept.Events)-maxEvents):]
	if !first && end == m.kept.Mark && len(m.kept.Events) == before {
		return err
	}
	m.kept.Mark = end
	raw, marshalErr := json.Marshal(m.kept)
	if marshalErr != nil {
		return errors.Join(err, marshalErr)
	}
	return errors.Join(err, atomicfile.Write(m.path, raw, 0o600))
}

// load reads what was kept; first is true where nothing was.
func (m *management) load() (first bool, err error) {
	if m.kept != nil {
		return false, nil
	}
	m.kept = &managementKept{}
	raw, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, m.kept)
	}
	if err != nil {
		m.log.Warn("the place in the management controller's log is lost", "error", err)
		return true, nil
	}
	return false, nil
}

// openController opens the kernel's device of the first controller.
func openController(dev string) func() (ipmi.Transport, error) {
	return func() (ipmi.Transport, error) {
		d, err := ipmi.Open(dev + "/ipmi0")
		if err != nil {
			return nil, err
		}
		return d, nil
	}
}
