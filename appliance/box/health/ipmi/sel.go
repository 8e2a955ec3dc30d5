package ipmi

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	entryLen    = 16
	entrySystem = 0x02 // other types belong to the machine's maker

	firstEntry = 0x0000
	lastEntry  = 0xffff

	// maxEntries bounds one walk through the log; the rest comes with the next.
	maxEntries = 256

	// sinceStart is the greatest time stamp that counts from the controller's
	// own start, for one whose clock was never set (IPMI 2.0 section 37).
	sinceStart = 0x20000000
	noTime     = 0xffffffff
)

// Mark is a place in the event log.
type Mark struct {
	ID   uint16 `json:"id"`
	Time uint32 `json:"time"` // of the entry, to tell it from a later one of the same number
}

// Event is an entry of the log that something is the matter.
type Event struct {
	Time time.Time `json:"time,omitzero"` // by the controller's clock; zero where that was not set
	// Text is a sentence without its full stop, such as "PS1 Status has failed".
	Text     string `json:"text"`
	Critical bool   `json:"critical"`
}

// Log is what is known of the log as a whole.
type Log struct {
	Entries int
	Free    int // octets
}

// LogInfo asks for the size of the log (IPMI 2.0 section 31.2).
func (c *Controller) LogInfo() (Log, error) {
	r, err := c.ask(5, netStorage, 0, cmdLogInfo)
	if err != nil {
		return Log{}, fmt.Errorf("event log: %w", err)
	}
	return Log{Entries: int(binary.LittleEndian.Uint16(r[1:])), Free: int(binary.LittleEndian.Uint16(r[3:]))}, nil
}

// End is the place of the last entry; the zero Mark where there is none.
func (c *Controller) End() (Mark, error) {
	e, _, err := c.entry(lastEntry)
	if refusedWith(err, codeNotPresent) {
		return Mark{}, nil
	}
	if err != nil {
		return Mark{}, fmt.Errorf("event log: %w", err)
	}
	return markOf(e), nil
}

// EventsAfter gives what was entered after m and is remarkable, the oldest
// first, and the place of the last entry it looked at. A log that was cleared
// since is read from its beginning.
func (c *Controller) EventsAfter(m Mark, sensors []Sensor) (events []Event, end Mark, err error) {
	id, end := uint16(firstEntry), m
	if m != (Mark{}) {
		e, next, err := c.entry(m.ID)
		switch {
		case err == nil && markOf(e) == m:
			id = next
		case err != nil && !refusedWith(err, codeNotPresent):
			return nil, m, fmt.Errorf("event log: %w", err)
		}
	}
	for n := 0; id != lastEntry && n < maxEntries; n++ {
		e, next, err := c.entry(id)
		if refusedWith(err, codeNotPresent) {
			break // an empty log
		}
		if err != nil {
			return events, end, fmt.Errorf("event log: %w", err)
		}
		end = markOf(e)
		if ev, ok := eventOf(e, sensors); ok {
			events = append(events, ev)
		}
		if next == id {
			break
		}
		id = next
	}
	return events, end, nil
}

// entry reads one entry (IPMI 2.0 section 31.5).
func (c *Controller) entry(id uint16) (e []byte, next uint16, err error) {
	const whole = 0xff
	r, err := c.ask(2+entryLen, netStorage, 0, cmdGetEntry, 0, 0, byte(id), byte(id>>8), 0, whole)
	if err != nil {
		return nil, 0, err
	}
	return r[2 : 2+entryLen], binary.LittleEndian.Uint16(r), nil
}

func markOf(e []byte) Mark {
	return Mark{ID: binary.LittleEndian.Uint16(e), Time: binary.LittleEndian.Uint32(e[3:])}
}

// eventOf decodes an entry (IPMI 2.0 section 32.1). ok is false for entries
// that say that something is well again, and for those that say nothing ill.
func eventOf(e []byte, sensors []Sensor) (ev Event, ok bool) {
	const deassertion = 0x80
	sensorType, number, kind := e[10], e[11], e[12]
	if e[2] != entrySystem || kind&deassertion != 0 {
		return ev, false
	}
	st, ok := meaning(sensorType, kind&0x7f, int(e[13]&0xf))
	if !ok {
		return ev, false
	}
	name := fmt.Sprintf("sensor %02x", number)
	lun := e[8] & 3
	for i := range sensors {
		if s := &sensors[i]; s.number == number && s.lun == lun && e[7] == ownerBMC {
			name = s.Name
		}
	}
	ev = Event{Text: name + " " + st.Text, Critical: st.Critical}
	if t := binary.LittleEndian.Uint32(e[3:]); t > sinceStart && t != noTime {
		ev.Time = time.Unix(int64(t), 0).UTC()
	}
	return ev, true
}
