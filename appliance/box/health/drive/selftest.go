package drive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	testShort = 1
	testLong  = 2

	nvmeSelfTest    = 0x14
	nvmeLogSelfTest = 0x06
	nvmeTestSize    = 564

	pageSelfTest = 0x10
)

// StartSelfTest lets the disk test itself beside its work: two minutes for a
// short one, hours for a long one. ErrSilent says that it cannot.
func StartSelfTest(sys, name string, long bool) error {
	if onUSB(sys, name) {
		return ErrSilent
	}
	f, err := os.OpenFile(filepath.Join("/dev", name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	kind := byte(testShort)
	if long {
		kind = testLong
	}
	switch {
	case strings.HasPrefix(name, "nvme"):
		// NVMe base specification 1.4 section 5.8, of all namespaces.
		err = nvmeAsk(f, nvmeSelfTest, nvmeAllSpaces, uint32(kind), nil)
	case attribute(filepath.Join(sys, "block", name, "device"), "vendor") == "ATA":
		_, err = sg(f, smart(smartExecute, kind, protoNoData, flagsStatus, 0), nil)
	default:
		// SEND DIAGNOSTIC, a background self-test (SPC-4 section 6.28).
		_, err = sg(f, []byte{0x1d, kind << 5, 0, 0, 0, 0}, nil)
	}
	if errors.Is(err, errRefused) {
		err = ErrSilent
	}
	if err != nil {
		return fmt.Errorf("%s: self-test: %w", name, err)
	}
	return nil
}

// nvmeTest decodes the self-test log (NVMe base specification 1.4 section
// 5.14.1.6): what runs, then the results, the newest first.
func (h *Health) nvmeTest(b []byte) error {
	if len(b) < 4+28 {
		return errors.New("self-test log cut short")
	}
	running := b[0] & 0xf
	result, none := b[4]&0xf, byte(0xf)
	// Results 5 to 7 are failures; what ended a test from outside is none.
	h.SelfTest = SelfTest{Known: running != 0 || result != none, Running: running != 0, Failed: result >= 5 && result <= 7}
	if h.SelfTest.Running {
		h.SelfTest.Left = 10 - min(int(b[1]&0x7f), 100)/10
	}
	return nil
}

// scsiTest decodes a parameter of the self-test results page (SPC-4 section
// 7.3.15); the first is the newest.
func (h *Health) scsiTest(v []byte) {
	const never = 0
	if len(v) < 1 || v[0]>>5 == never {
		return
	}
	result := v[0] & 0xf
	h.SelfTest = SelfTest{Known: true, Running: result == 0xf, Failed: result >= 3 && result <= 7}
}
