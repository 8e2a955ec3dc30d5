package ipmi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	recordFull    = 0x01
	recordCompact = 0x02

	headerLen = 5  // of a sensor data record
	chunk     = 16 // what every controller returns at once
	maxRecord = headerLen + 0xff

	// maxRecords bounds the walk; a large server has some hundreds.
	maxRecords = 2000
	lastRecord = 0xffff

	// cancelled is how often a reservation may be lost on the way through the
	// repository, which happens while the controller itself writes to it.
	maxCancelled = 10

	ownerBMC = 0x20
)

// Sensor is a sensor as its data record describes it.
type Sensor struct {
	Name         string
	Type         byte // IPMI 2.0 table 42-3
	EventType    byte // IPMI 2.0 table 42-1: 1 for thresholds, else a set of states
	lun, number  byte
	unit         unit
	factors      factors
	limits       [6]byte // raw, in the order of limit…
	limitsMask   byte
	nonlinear    bool // its factors depend on the reading
	discreteOnly bool // it gives states and no value
}

// Limits in the order of Get Sensor Thresholds (IPMI 2.0 section 35.9).
const (
	limitLowWatch = iota
	limitLowBad
	limitLowDead
	limitHighWatch
	limitHighBad
	limitHighDead
)

// ID names the sensor for good: its number on its controller never changes.
func (s *Sensor) ID() string { return fmt.Sprintf("%d.%02x", s.lun, s.number) }

// Sensors returns the BMC's own sensors. The repository is read once, and
// again when it says that it was changed.
func (c *Controller) Sensors() ([]Sensor, error) {
	info, err := c.ask(14, netStorage, 0, cmdRepositoryInfo)
	if err != nil {
		return nil, fmt.Errorf("sensor repository: %w", err)
	}
	// Number of records and the times of the last addition and erasure.
	version := string(info[1:3]) + string(info[5:13])
	if c.sensors != nil && version == c.version {
		return c.sensors, nil
	}
	sensors := []Sensor{}
	reservation, cancelled := []byte{0, 0}, 0
	for id, n := uint16(0), 0; id != lastRecord && n < maxRecords; n++ {
		record, next, err := c.record(reservation, id)
		if refusedWith(err, codeReservation) && cancelled < maxCancelled {
			cancelled++
			n--
			if reservation, err = c.ask(2, netStorage, 0, cmdReserveSDR); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("sensor record %#x: %w", id, err)
		}
		sensors = append(sensors, parseRecord(record)...)
		if next == id {
			break // a controller that leads in a circle
		}
		id = next
	}
	c.sensors, c.version = sensors, version
	return sensors, nil
}

// record reads one record in pieces.
func (c *Controller) record(reservation []byte, id uint16) (record []byte, next uint16, err error) {
	want := headerLen
	for len(record) < want {
		n := min(chunk, want-len(record))
		r, err := c.ask(3, netStorage, 0, cmdGetSDR, reservation[0], reservation[1], byte(id), byte(id>>8), byte(len(record)), byte(n))
		if err != nil {
			return nil, 0, err
		}
		next = binary.LittleEndian.Uint16(r)
		record = append(record, r[2:]...)
		if len(record) >= headerLen {
			want = headerLen + int(record[4])
		}
		if len(record) > maxRecord {
			return nil, 0, errors.New("longer than any record")
		}
	}
	return record, next, nil
}

// parseRecord decodes a full or a compact record (IPMI 2.0 sections 43.1 and
// 43.2). A compact one may describe several sensors; others describe none.
func parseRecord(r []byte) []Sensor {
	const fullName, compactName = 47, 31
	if len(r) < headerLen {
		return nil
	}
	nameAt := fullName
	switch r[3] {
	case recordCompact:
		nameAt = compactName
	case recordFull:
	default:
		return nil
	}
	if len(r) <= nameAt || r[5] != ownerBMC {
		return nil
	}
	s := Sensor{lun: r[6] & 3, number: r[7], Type: r[12], EventType: r[13], Name: name(r[nameAt], r[nameAt+1:])}
	if s.Name == "" {
		s.Name = fmt.Sprintf("sensor %02x", s.number)
	}
	if r[3] == recordCompact {
		s.discreteOnly = true
		return shared(s, r[23], r[24])
	}
	s.unit = unit{format: r[20] >> 6, percent: r[20]&1 != 0, base: r[21], rated: r[20]>>3&7 != 0 || r[20]>>1&3 != 0}
	s.discreteOnly = s.unit.format == 3
	s.nonlinear = r[23]&0x7f >= 0x70
	s.factors = parseFactors(r[24:30])
	s.factors.linearization = r[23] & 0x7f
	s.limitsMask = r[18] & 0x3f
	s.limits = [6]byte{limitLowWatch: r[41], limitLowBad: r[40], limitLowDead: r[39], limitHighWatch: r[38], limitHighBad: r[37], limitHighDead: r[36]}
	if s.EventType != eventThreshold {
		s.limitsMask = 0 // the octet means states there
	}
	return []Sensor{s}
}

// shared makes the sensors of a record that stands for several in a row.
func shared(s Sensor, count, modifier byte) []Sensor {
	n := int(count & 0xf)
	if n <= 1 {
		return []Sensor{s}
	}
	var all []Sensor
	for i := range n {
		one := s
		one.number += byte(i)
		at := int(modifier&0x7f) + i
		if count>>4&3 == 1 {
			one.Name += " " + string(rune('A'+at%26))
		} else {
			one.Name += fmt.Sprintf(" %d", at)
		}
		all = append(all, one)
	}
	return all
}

// name decodes a type/length octet and the text after it (IPMI 2.0 section 43.15).
func name(kind byte, text []byte) string {
	n := min(int(kind&0x1f), len(text))
	switch kind >> 6 {
	case 3: // Latin-1
		var b strings.Builder
		for _, c := range text[:n] {
			if c >= ' ' && c < 0x7f || c >= 0xa0 {
				b.WriteRune(rune(c))
			}
		}
		return strings.TrimSpace(b.String())
	case 2: // four characters in three octets
		var b strings.Builder
		for i := 0; i < n*8/6; i++ {
			at := i * 6
			bits := uint16(text[at/8])
			if at/8+1 < n {
				bits |= uint16(text[at/8+1]) << 8
			}
			b.WriteByte(' ' + byte(bits>>(at%8)&0x3f))
		}
		return strings.TrimSpace(b.String())
	}
	return "" // Unicode without a stated form, and packed digits, name nothing
}
