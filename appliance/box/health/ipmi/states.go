package ipmi

// State is something the controller finds remarkable.
type State struct {
	Text     string // such as "has failed", after the sensor's name
	Critical bool   // look now, and not within days
}

// Sensor types that have states of their own (IPMI 2.0 table 42-3).
const (
	typeFan          = 0x04
	typeIntrusion    = 0x05
	typeProcessor    = 0x07
	typePowerSupply  = 0x08
	typePowerUnit    = 0x09
	typeCooling      = 0x0a
	typeMemory       = 0x0c
	typeDrive        = 0x0d
	typeEventLog     = 0x10
	typeInterrupt    = 0x13
	typeBattery      = 0x29
	typeSubsystem    = 0x28
	typeWatchdog     = 0x23
	eventPredictive  = 0x04
	eventLimit       = 0x05
	eventPerformance = 0x06
	eventSeverity    = 0x07
	eventRedundancy  = 0x0b
	eventOwn         = 0x6f // the states of the sensor's type
)

// meaning finds what a state of a sensor means; ok is false for states that
// are as they should be, and for those of the machine's maker.
func meaning(sensorType, eventType byte, offset int) (s State, ok bool) {
	switch eventType {
	case eventThreshold:
		s, ok = thresholdEvents[offset]
	case eventPredictive:
		s, ok = State{"foretells its failure", false}, offset == 1
	case eventLimit:
		s, ok = State{"is beyond its limit", false}, offset == 1
	case eventPerformance:
		s, ok = State{"does not do what it should", false}, offset == 1
	case eventSeverity:
		s, ok = severities[offset]
	case eventRedundancy:
		s, ok = redundancy[offset]
	case eventOwn:
		s, ok = own[sensorType][offset]
	}
	return s, ok
}

// The tables are read and never written.
var (
	// IPMI 2.0 table 42-2, generic event type 01h: the limit and the way it was
	// passed. Even offsets go low, odd ones high.
	thresholdEvents = map[int]State{
		0x0: {"fell below its lower limit", false},
		0x2: {"fell below its critical lower limit", true},
		0x4: {"fell far below its lower limit", true},
		0x7: {"rose above its upper limit", false},
		0x9: {"rose above its critical upper limit", true},
		0xb: {"rose far above its upper limit", true},
	}
	severities = map[int]State{
		1: {"is not as it should be", false},
		2: {"is in a critical state", true},
		3: {"has failed", true},
		4: {"is not as it should be", false},
		5: {"is in a critical state", true},
		6: {"has failed", true},
	}
	redundancy = map[int]State{
		1: {"is redundant no more", false},
		2: {"has lost some of its redundancy", false},
		3: {"is not redundant, but enough is left", false},
		4: {"is not redundant, but enough is left", false},
		5: {"is not redundant, and what is left is not enough", true},
		6: {"has lost some of its redundancy", false},
		7: {"has lost some of its redundancy", false},
	}
	own = map[byte]map[int]State{
		typeIntrusion: {0: {"says that the case is open", false}, 1: {"says that a drive bay is open", false}, 2: {"says that the card area is open", false}, 3: {"says that the processor area is open", false}},
		typeProcessor: {
			0: {"had an internal error", true}, 1: {"was shut down by heat", true}, 5: {"is set up wrongly", true},
			6: {"had an error that could not be corrected", true}, 10: {"is slowed down by heat", false},
			11: {"had a machine check that could not be corrected", true},
		},
		typePowerSupply: {
			1: {"has failed", true}, 2: {"foretells its failure", false}, 3: {"gets no power from the mains", true},
			4: {"gets no power, or the wrong voltage, from the mains", true}, 5: {"gets the wrong voltage from the mains", false},
			6: {"does not fit the other power supply", false},
		},
		typePowerUnit: {4: {"lost the mains", true}, 5: {"could not be switched on by the controller", true}, 6: {"has failed", true}, 7: {"foretells its failure", false}},
		typeMemory: {
			0: {"had an error that was corrected", false}, 1: {"had an error that could not be corrected", true},
			2: {"had a parity error", true}, 3: {"could not be scrubbed", true}, 4: {"was switched off", true},
			5: {"has more corrected errors than it should", false}, 7: {"is set up wrongly", false},
			10: {"is slowed down by heat", false},
		},
		typeDrive: {
			1: {"has failed", true}, 2: {"foretells its failure", true}, 5: {"is in an array that lost its redundancy", true},
			6: {"is in an array that has failed", true}, 8: {"has its rebuild given up", true},
		},
		typeEventLog:  {4: {"is full", false}, 5: {"is nearly full", false}},
		typeInterrupt: {0: {"was raised from the front panel", false}, 4: {"had a parity error on the bus", true}, 5: {"had a system error on the bus", true}, 8: {"had a bus error that could not be corrected", true}, 10: {"had a fatal bus error", true}},
		typeWatchdog:  {1: {"restarted the machine, which hung", true}, 2: {"switched the machine off, which hung", true}, 3: {"switched the machine off and on, which hung", true}},
		typeSubsystem: {2: {"is offline", false}, 3: {"cannot be reached", false}, 4: {"has a sensor that failed", false}, 5: {"has a part that failed", true}},
		typeBattery:   {0: {"is low", false}, 1: {"has failed", false}},
	}
)

// states are the remarkable ones of a reading's bits.
func states(s *Sensor, bits uint16) (all []State) {
	if s.EventType == eventThreshold {
		return comparison(bits)
	}
	for i := range 15 {
		if bits&(1<<i) == 0 {
			continue
		}
		if st, ok := meaning(s.Type, s.EventType, i); ok {
			all = append(all, st)
		}
	}
	return all
}

// comparison decodes the threshold comparison of Get Sensor Reading (IPMI 2.0
// section 35.14): the worst alone, since the milder ones are true with it.
func comparison(bits uint16) []State {
	for _, c := range []struct {
		bit int
		st  State
	}{
		{limitLowDead, State{"is far below its lower limit", true}}, {limitHighDead, State{"is far above its upper limit", true}},
		{limitLowBad, State{"is below its critical lower limit", true}}, {limitHighBad, State{"is above its critical upper limit", true}},
		{limitLowWatch, State{"is below its lower limit", false}}, {limitHighWatch, State{"is above its upper limit", false}},
	} {
		if bits&(1<<c.bit) != 0 {
			return []State{c.st}
		}
	}
	return nil
}

// Part is the kind of thing that a sensor watches.
type Part int

// The parts that a person can do something about.
const (
	Other Part = iota
	PowerSupply
	Fans
	Memory
	Drive
	Case
	Battery
	Processor
)

// Part tells what kind of thing s watches.
func (s *Sensor) Part() Part {
	switch s.Type {
	case typePowerSupply, typePowerUnit:
		return PowerSupply
	case typeFan, typeCooling:
		return Fans
	case typeMemory:
		return Memory
	case typeDrive:
		return Drive
	case typeIntrusion:
		return Case
	case typeBattery:
		return Battery
	case typeProcessor:
		return Processor
	}
	return Other
}
