package boardfile

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func at(v float64) *float64 { return &v }

func TestCheckSensors(t *testing.T) {
	chips := []string{"coretemp"}
	for _, tt := range []struct {
		name string
		s    Sensor
		want string // "" where nothing is wrong
	}{
		{"two of four", Sensor{Chips: chips, Input: "temp*", WatchHigh: at(90), BadHigh: at(100)}, ""},
		{"all", Sensor{Chips: chips, Input: "in0", Label: "+3.3V*", BadLow: at(3), WatchLow: at(3.1), WatchHigh: at(3.5), BadHigh: at(3.6)}, ""},
		{"bad at once", Sensor{Chips: chips, Input: "fan12", BadLow: at(0)}, ""},
		{"no step between", Sensor{Chips: chips, Input: "temp1", WatchHigh: at(90), BadHigh: at(90)}, ""},
		{"no chips", Sensor{Input: "temp1", BadHigh: at(90)}, "sensor 1: chips must name"},
		{"chip without a name", Sensor{Chips: []string{"jc42", ""}, Input: "temp1", BadHigh: at(90)}, "sensor 1: chips must name"},
		{"no input", Sensor{Chips: chips, BadHigh: at(90)}, `sensor 1: input ""`},
		{"other pattern", Sensor{Chips: chips, Input: "temp[12]", BadHigh: at(90)}, `sensor 1: input "temp[12]"`},
		{"other kind", Sensor{Chips: chips, Input: "humidity1", BadHigh: at(90)}, `sensor 1: input "humidity1"`},
		{"a file", Sensor{Chips: chips, Input: "temp1_input", BadHigh: at(90)}, `sensor 1: input "temp1_input"`},
		{"broken label", Sensor{Chips: chips, Input: "temp1", Label: "[", BadHigh: at(90)}, `sensor 1: label "[" is no pattern`},
		{"no limit", Sensor{Chips: chips, Input: "temp1"}, "sensor 1: watch_high or another limit"},
		{"thousandths", Sensor{Chips: chips, Input: "temp1", BadHigh: at(90000)}, "sensor 1: bad_high 90000 is out of"},
		{"not a number", Sensor{Chips: chips, Input: "power1", WatchHigh: at(math.NaN())}, "sensor 1: watch_high NaN is out of"},
		{"endless", Sensor{Chips: chips, Input: "curr1", WatchLow: at(math.Inf(-1))}, "sensor 1: watch_low -Inf is out of"},
		{"bad before watch", Sensor{Chips: chips, Input: "temp1", WatchHigh: at(100), BadHigh: at(90)}, "sensor 1: bad_high 90 must be above watch_high, which is 100"},
		{"watch before bad", Sensor{Chips: chips, Input: "fan1", WatchLow: at(300), BadLow: at(500)}, "sensor 1: watch_low 300 must be above bad_low, which is 500"},
		{"never well", Sensor{Chips: chips, Input: "in1", WatchLow: at(3), WatchHigh: at(3)}, "sensor 1: watch_high 3 must be above watch_low, which is 3"},
		{"never well, far apart", Sensor{Chips: chips, Input: "in1", BadLow: at(3), BadHigh: at(2)}, "sensor 1: bad_high 2 must be above bad_low, which is 3"},
	} {
		err := CheckSensors([]Sensor{tt.s})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v, want %q alone", tt.name, err, tt.want)
		}
	}
	err := CheckSensors([]Sensor{{Chips: chips, Input: "temp1"}, {Chips: chips, Input: "temp1", BadHigh: at(90)}, {Input: "x"}})
	if err == nil || strings.Count(err.Error(), "\n") != 2 || !strings.Contains(err.Error(), "sensor 3: input") {
		t.Errorf("not all is said: %v", err)
	}
}

func TestFind(t *testing.T) {
	sensors := []Sensor{
		{Chips: []string{"nct6775", "nct6779"}, Input: "temp1", Label: "SYSTIN"},
		{Chips: []string{"nct6775"}, Input: "temp*", Label: "PECI *"},
		{Chips: []string{"nct6775"}, Input: "in*"},
		{Chips: []string{"nct6775"}, Input: "temp1"},
	}
	for _, tt := range []struct {
		chip, input, label string
		want               int // -1: none
	}{
		{"nct6775", "temp1", "SYSTIN", 0},
		{"nct6779", "temp1", "SYSTIN", 0},
		{"nct6775", "temp1", "PECI Agent 0", 1},
		{"nct6775", "temp7", "PECI Agent 0", 1},
		{"nct6775", "temp1", "", 3},
		{"nct6775", "temp11", "", -1},
		{"nct6775", "in0", "Vcore", 2},
		{"nct6775", "intrusion0", "", -1},
		{"nct6779", "temp1", "", -1},
		{"nct677", "temp1", "SYSTIN", -1},
	} {
		got := -1
		for i, s := 0, Find(sensors, tt.chip, tt.input, tt.label); s != nil && i < len(sensors); i++ {
			if s == &sensors[i] {
				got = i
			}
		}
		if got != tt.want {
			t.Errorf("%s %s %q: %d, want %d", tt.chip, tt.input, tt.label, got, tt.want)
		}
	}
}

func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "board.json")
	if _, err := Read(name); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
	want := &File{Name: "x", Title: "X", Load: []string{"ext4"}, Sensors: []Sensor{{Chips: []string{"jc42"}, Input: "temp*", Label: "a", WatchLow: at(0), WatchHigh: at(1.5)}}}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(name); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(name, raw[:len(raw)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("a broken file: %v", err)
	}
}
