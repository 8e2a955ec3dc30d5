//go:build vm

package vmtest

import (
	"os"
	"path/filepath"
	"testing"
)

// hotInlet writes the sensor records of a management controller that measures
// 90 degrees where 75 are too much, and returns the file for ipmi-bmc-sim.
//
// The simulator makes a sensor of a compact record alone (IPMI 2.0 section
// 43.2), whose reading is always 0, and a value with limits takes a full one
// (section 43.1). So there are two for the same number, of which the compact one
// says that another controller owns it, and is passed over by who asks.
func hotInlet(t *testing.T) string {
	t.Helper()
	const (
		number       = 2 // the simulator has 20
		another, own = 0x22, 0x20
		scans        = 0x40
		temperature  = 0x01
		thresholds   = 0x01
		celsius      = 0x01
		name         = "Air inlet"
	)
	compact := make([]byte, 32)
	copy(compact[2:], []byte{0x51, 0x02, byte(len(compact) - 5), another, 0, number})
	compact[10], compact[12], compact[13] = scans, temperature, thresholds

	full := make([]byte, 48, 64)
	copy(full[2:], []byte{0x51, 0x01, byte(len(full) + len(name) - 5), own, 0, number})
	full[10], full[12], full[13] = scans, temperature, thresholds
	full[18] = 1<<3 | 1<<4 // upper limits: non-critical and critical
	full[21] = celsius
	full[24], full[25] = 0xff, 0xc0 // M is -1 and B is 90: a reading of 0 means 90
	full[26] = 90
	full[37], full[38] = 90-75, 90-70
	full[47] = 0xc0 | byte(len(name))
	full = append(full, name...)

	path := filepath.Join(t.TempDir(), "records")
	if err := os.WriteFile(path, append(compact, full...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
