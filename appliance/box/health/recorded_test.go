package health

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/appliance/api/healthapi"
)

// recorded makes the tree that testdata/sysfs.txt describes.
func recorded(t *testing.T) string {
	t.Helper()
	f, err := os.Open("testdata/sysfs.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	root := t.TempDir()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, ok := strings.Cut(s.Text(), " ")
		if !ok || name == "#" {
			continue
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(value, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(value+"\n"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// What the links to the devices lead to: folders without files of interest.
	for _, d := range []string{"coretemp.0", "coretemp.1", "nct6775.656", "applesmc.768"} {
		if err := os.MkdirAll(filepath.Join(root, "devices/platform", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// The sensors of real machines: two processors that must not be taken for one
// another, a board chip whose limits make no sense, a fan without a limit.
func TestRecordedSensors(t *testing.T) {
	byID := map[string]healthapi.Reading{}
	for _, r := range hwmon(recorded(t), generic(t)) {
		if _, twice := byID[r.ID]; twice {
			t.Errorf("two sensors are %s", r.ID)
		}
		byID[r.ID] = r
		if l := levelOf(r, healthapi.OK); l != healthapi.OK {
			t.Errorf("%s is %v: %s", r.ID, l, describe(r, l).what)
		}
	}
	for id, want := range map[string]struct {
		value      float64
		watch, bad float64 // upper limits, 0 for none
		name       string
		kind       string
	}{
		"hwmon/coretemp-coretemp.0/temp1": {55, 84, 100, "processor Physical id 0", healthapi.Temperature},
		"hwmon/coretemp-coretemp.1/temp1": {55, 84, 100, "processor Physical id 0", healthapi.Temperature},
		"hwmon/nct6779/fan2":              {1098, 0, 0, "nct6779 fan2", healthapi.Fan},
		"hwmon/nct6779/in0":               {0.792, 1.744, 0, "nct6779 in0", healthapi.Voltage},
		"hwmon/nct6779/in1":               {1.024, 0, 0, "nct6779 in1", healthapi.Voltage},
	} {
		r, ok := byID[id]
		limit := func(v *float64) float64 {
			if v == nil {
				return 0
			}
			return *v
		}
		if !ok || r.Value != want.value || limit(r.WatchHigh) != want.watch || limit(r.BadHigh) != want.bad || r.Name != want.name || r.Kind != want.kind {
			t.Errorf("%s: %+v (%v, %v), want %+v", id, r, limit(r.WatchHigh), limit(r.BadHigh), want)
		}
	}
	if len(byID) != 13 {
		t.Errorf("%d sensors: %v", len(byID), byID)
	}
}

// A memory controller that counts by rows of chips and knows no modules.
func TestRecordedMemoryErrors(t *testing.T) {
	got := map[string]float64{}
	for _, r := range memoryErrors(recorded(t)) {
		got[r.ID] = r.Value
	}
	if len(got) != 3 || got["memory/mc0/corrected"] != 1 || got["memory/mc0/uncorrected"] != 5 || got["memory/mc0/csrow0"] != 3 {
		t.Errorf("%v", got)
	}
}
