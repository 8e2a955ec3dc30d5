package drive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

const (
	ataSector     = 512
	ataAttributes = 30
	ataAttrSize   = 12

	smartReadData       = 0xD0
	smartReadThresholds = 0xD1
	smartExecute        = 0xD4
	smartReturnStatus   = 0xDA
)

// Attributes of SMART that makers agree on.
const (
	attrReallocated   = 5
	attrPowerOnHours  = 9
	attrUncorrectable = 187
	attrAirflow       = 190
	attrTemperature   = 194
	attrPending       = 197
	attrOffline       = 198
	attrCRC           = 199
)

// wearAttributes hold in their normalised value what is left of an SSD, in
// percent; makers differ in the number.
func wearAttributes() []byte { return []byte{231, 233, 177, 173, 202} }

// smart is ATA PASS-THROUGH (16) with SMART (ACS-3 section 7.48): the log
// signature C2 4F in the LBA, the feature as given.
func smart(feature, lba byte, protocol, flags byte, count byte) []byte {
	return []byte{0x85, protocol << 1, flags, 0, feature, 0, count, 0, lba, 0, 0x4F, 0, 0xC2, 0, 0xB0, 0}
}

const (
	protoNoData = 3
	protoPIOIn  = 4
	flagsIn     = 0x0e // from the device, in sectors, length in the count
	flagsStatus = 0x20 // give the registers back
)

func (h *Health) askATA(f *os.File) error {
	data, thresholds := make([]byte, ataSector), make([]byte, ataSector)
	if _, err := sg(f, smart(smartReadData, 0, protoPIOIn, flagsIn, 1), data); err != nil {
		if errors.Is(err, errRefused) {
			err = ErrSilent
		}
		return fmt.Errorf("%s: SMART data: %w", h.Device, err)
	}
	if _, err := sg(f, smart(smartReadThresholds, 1, protoPIOIn, flagsIn, 1), thresholds); err != nil {
		thresholds = nil // obsolete since ACS-2: newer disks need not have them
	}
	if err := h.ataData(data, thresholds); err != nil {
		return fmt.Errorf("%s: %w", h.Device, err)
	}
	if sense, err := sg(f, smart(smartReturnStatus, 0, protoNoData, flagsStatus, 0), nil); err == nil {
		h.ataStatus(sense)
	}
	return nil
}

// ataData decodes the SMART data and thresholds (ACS-2 section 7.52.5).
// thresholds may be nil.
func (h *Health) ataData(b, thresholds []byte) error {
	if len(b) < ataSector {
		return errors.New("SMART data cut short")
	}
	if sum(b[:ataSector]) != 0 {
		return errors.New("SMART data with a wrong checksum")
	}
	limit := map[byte]byte{}
	if len(thresholds) >= ataSector {
		for i := range ataAttributes {
			a := thresholds[2+i*ataAttrSize:]
			limit[a[0]] = a[1]
		}
	}
	left := map[byte]byte{}
	for i := range ataAttributes {
		a := b[2+i*ataAttrSize:]
		id, flags, value := a[0], binary.LittleEndian.Uint16(a[1:]), a[3]
		if id == 0 {
			continue
		}
		raw := int64(binary.LittleEndian.Uint32(a[5:])) | int64(binary.LittleEndian.Uint16(a[9:]))<<32
		left[id] = value
		// Bit 0: falling to the threshold foretells a failure, not mere age.
		if t := limit[id]; t > 0 && t < 0xfe && value <= t && flags&1 != 0 {
			h.fail("attribute %d fell to %d, its threshold is %d", id, value, t)
		}
		switch id {
		case attrReallocated:
			h.Reallocated = counted(raw)
		case attrPowerOnHours:
			// Some makers count minutes or seconds above.
			if hours := raw & 0xffffff; hours <= maxHours {
				h.PowerOnHours = ptr(hours)
			}
		case attrUncorrectable:
			h.Uncorrected = counted(raw)
		case attrPending, attrOffline:
			if n := counted(raw); n != nil && (h.Pending == nil || *n > *h.Pending) {
				h.Pending = n
			}
		case attrCRC:
			h.CableErrors = counted(raw)
		case attrTemperature:
			h.Celsius = celsius(raw)
		case attrAirflow:
			if h.Celsius == nil {
				h.Celsius = celsius(raw)
			}
		}
	}
	for _, id := range wearAttributes() {
		if v, ok := left[id]; ok && v <= 100 {
			h.WearPercent = ptr(100 - float64(v))
			break
		}
	}
	h.SelfTest = ataSelfTest(b[363])
	return nil
}

const (
	// maxCount is more than a disk that still works has of anything. Some makers
	// keep something else in the numbers of attributes that most agree on.
	maxCount = 1 << 20
	// maxHours is thirty years; what is more was not counted in hours.
	maxHours = 30 * 8766
)

// counted is the number in the lower four octets; nil for what is no count.
func counted(raw int64) *int64 {
	n := raw & 0xffffffff
	if n > maxCount {
		return nil
	}
	return &n
}

// celsius is the temperature in the lowest octet, the others are extremes; nil
// where a disk has no sensor and says 0.
func celsius(raw int64) *float64 {
	if int8(raw) == 0 {
		return nil
	}
	return ptr(float64(int8(raw)))
}

// ataSelfTest decodes the self-test execution status: result above, tenths
// that are left below.
func ataSelfTest(b byte) SelfTest {
	result := b >> 4
	return SelfTest{Known: true, Running: result == 0xf, Left: int(b & 0xf), Failed: result >= 3 && result <= 8}
}

// ataStatus reads the disk's verdict from the registers: 2C F4 in the place
// of C2 4F foretells a failure (ACS-3 section 7.48.8).
func (h *Health) ataStatus(sense []byte) {
	if ataAnswered(sense) && sense[17] == 0xF4 && sense[19] == 0x2C {
		h.fail("its own judgement is that it will fail soon")
	}
}

func sum(b []byte) (s byte) {
	for _, c := range b {
		s += c
	}
	return s
}
