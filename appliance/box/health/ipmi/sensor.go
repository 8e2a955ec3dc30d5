package ipmi

import (
	"math"
)

// eventThreshold is the event type of a sensor that has a value with limits.
const eventThreshold = 0x01

// unit is how a sensor's octet is meant (IPMI 2.0 section 43.17).
type unit struct {
	format  byte // 0 unsigned, 1 ones' complement, 2 two's complement, 3 no value
	percent bool
	base    byte
	rated   bool // a rate or a product with another unit
}

// Quantities of a Value.
const (
	None    = ""
	Celsius = "celsius"
	Volts   = "volts"
	Amperes = "amperes"
	Watts   = "watts"
	RPM     = "rpm"
	Percent = "percent"
)

// quantity is what the sensor measures, and how to come to that unit from its own.
func (u unit) quantity() (string, func(float64) float64) {
	same := func(v float64) float64 { return v }
	if u.rated {
		return None, same
	}
	if u.percent {
		return Percent, same
	}
	switch u.base {
	case 1:
		return Celsius, same
	case 2:
		return Celsius, func(v float64) float64 { return (v - 32) / 1.8 }
	case 3:
		return Celsius, func(v float64) float64 { return v - 273.15 }
	case 4:
		return Volts, same
	case 5:
		return Amperes, same
	case 6:
		return Watts, same
	case 18:
		return RPM, same
	}
	return None, same
}

// factors turn an octet into a value (IPMI 2.0 section 36.3).
type factors struct {
	m, b          int16
	bExp, rExp    int8
	linearization byte
}

// parseFactors decodes M, B and their exponents from the six octets they take
// in a record and in Get Sensor Reading Factors.
func parseFactors(r []byte) factors {
	ten := func(low, high byte) int16 { return int16(uint16(low)<<6|uint16(high>>6)<<14) >> 6 }
	four := func(v byte) int8 { return int8(v<<4) >> 4 }
	return factors{m: ten(r[0], r[1]), b: ten(r[2], r[3]), rExp: four(r[5] >> 4), bExp: four(r[5])}
}

func (f factors) value(raw float64) float64 {
	v := (float64(f.m)*raw + float64(f.b)*math.Pow10(int(f.bExp))) * math.Pow10(int(f.rExp))
	switch f.linearization {
	case 1:
		return math.Log(v)
	case 2:
		return math.Log10(v)
	case 3:
		return math.Log2(v)
	case 4:
		return math.Exp(v)
	case 5:
		return math.Pow(10, v)
	case 6:
		return math.Exp2(v)
	case 7:
		return 1 / v
	case 8:
		return v * v
	case 9:
		return v * v * v
	case 10:
		return math.Sqrt(v)
	case 11:
		return math.Cbrt(v)
	}
	return v
}

// signed takes the octet as the sensor means it.
func (u unit) signed(raw byte) float64 {
	switch {
	case u.format == 1 && raw >= 0x80:
		return -float64(^raw)
	case u.format == 2:
		return float64(int8(raw))
	}
	return float64(raw)
}

// Value is what a sensor says now.
type Value struct {
	// Quantity is None where the sensor gives states alone.
	Quantity string
	Value    float64
	// Limits, nil where there is none: beyond Watch is not as it should be,
	// beyond Bad is critical.
	WatchLow, WatchHigh, BadLow, BadHigh *float64
	// States are what is the matter by the controller's own judgement.
	States []State
}

// Read asks for a sensor's reading. ok is false where the sensor has none now:
// the part is not there, or the machine does not scan it.
func (c *Controller) Read(s *Sensor) (v Value, ok bool, err error) {
	r, err := c.ask(2, netSensor, s.lun, cmdReading, s.number)
	if refusedWith(err, codeNotPresent) {
		return v, false, nil
	}
	if err != nil {
		return v, false, err
	}
	const scanning, unavailable = 1 << 6, 1 << 5
	if r[1]&scanning == 0 || r[1]&unavailable != 0 {
		return v, false, nil
	}
	var bits uint16
	if len(r) > 2 {
		bits = uint16(r[2])
	}
	if len(r) > 3 && s.EventType != eventThreshold {
		bits |= uint16(r[3]&0x7f) << 8
	}
	v.States = states(s, bits)
	if s.discreteOnly {
		return v, true, nil
	}
	quantity, convert := s.unit.quantity()
	f := s.factors
	if s.nonlinear {
		if f, err = c.readingFactors(s, r[0]); err != nil {
			return v, len(v.States) > 0, nil // its states are worth more than nothing
		}
	}
	number := func(raw byte) float64 { return convert(f.value(s.unit.signed(raw))) }
	v.Quantity, v.Value = quantity, number(r[0])
	if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
		v.Quantity, v.Value = None, 0
		return v, true, nil
	}
	limits, mask := s.limits, s.limitsMask
	// What is set now comes before what was set when the machine left its maker.
	if r, err := c.ask(7, netSensor, s.lun, cmdThresholds, s.number); err == nil {
		mask = r[0] & 0x3f
		copy(limits[:], r[1:7])
	}
	limit := func(which ...int) *float64 {
		for _, i := range which {
			if mask&(1<<i) != 0 {
				n := number(limits[i])
				if math.IsNaN(n) || math.IsInf(n, 0) {
					return nil
				}
				return &n
			}
		}
		return nil
	}
	v.WatchLow, v.BadLow = limit(limitLowWatch), limit(limitLowBad, limitLowDead)
	v.WatchHigh, v.BadHigh = limit(limitHighWatch), limit(limitHighBad, limitHighDead)
	return v, true, nil
}

// readingFactors asks for the factors of one reading (IPMI 2.0 section 35.5).
func (c *Controller) readingFactors(s *Sensor, raw byte) (factors, error) {
	r, err := c.ask(7, netSensor, s.lun, cmdReadingFactors, s.number, raw)
	if err != nil {
		return factors{}, err
	}
	return parseFactors(r[1:7]), nil
}
