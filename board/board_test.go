package board

import (
	"strings"
	"testing"

	"pillarbox/appliance/config/boardfile"
)

const least = `arch = "amd64"
kernel = "linux"
consoles = ["ttyS0"]
modules = ["ahci"]
`

func TestParse(t *testing.T) {
	b, err := parse("x.toml", []byte(least+`
[[sensor]]
chips = ["nct6775", "nct6779"]
input = "temp2"
label = "CPU*"
watch_high = 85
bad_high = 95.5
[[sensor]]
chips = ["nct6775"]
input = "in*"
watch_low = 3.1
bad_low = 3
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Sensors) != 2 {
		t.Fatalf("%d sensors", len(b.Sensors))
	}
	first, second := b.Sensors[0], b.Sensors[1]
	if len(first.Chips) != 2 || first.Input != "temp2" || first.Label != "CPU*" || *first.WatchHigh != 85 || *first.BadHigh != 95.5 || first.WatchLow != nil || first.BadLow != nil {
		t.Errorf("%+v", first)
	}
	if *second.WatchLow != 3.1 || *second.BadLow != 3 || second.WatchHigh != nil || second.BadHigh != nil {
		t.Errorf("%+v", second)
	}
	if b, err := parse("x.toml", []byte(least)); err != nil || len(b.Sensors) != 0 {
		t.Errorf("without sensors: %+v, %v", b, err)
	}
}

func TestParseRefuses(t *testing.T) {
	const sensor = least + "[[sensor]]\nchips = [\"jc42\"]\ninput = \"temp1\"\n" // seven lines
	for _, tt := range []struct {
		text string
		want []string // parts of the error
	}{
		{"arch = \"amd64\"\nkernel = ", []string{"x.toml:2: "}},
		{"arch = \"mips\"\n", []string{`x.toml: architecture "mips"`}},
		{"arch = \"amd64\"\n", []string{"x.toml: kernel, consoles and modules"}},
		{least + "module = []\nfan = 1\n", []string{"x.toml:5: module is no key", "x.toml:6: fan is no key"}},
		{least + "watchdogs = [\"iTCO_wdt\", \"\"]\n", []string{"x.toml: watchdogs must be"}},
		{least + "watchdogs = \"iTCO_wdt\"\n", []string{"x.toml:5: watchdogs: "}},
		{least + "[sensors]\nx = 1\n", []string{"x.toml:5: sensors is no key"}},
		{sensor + "max = 90\n", []string{"x.toml:8: sensor.max is no key"}},
		{sensor + "watch_high = \"90\"\n", []string{"x.toml:8: sensor.watch_high: "}},
		{sensor + "watch_high = [90]\n", []string{"x.toml:8: sensor.watch_high: "}},
		{sensor, []string{"x.toml: sensor 1: watch_high or another limit"}},
		{sensor + "watch_high = nan\n", []string{"x.toml: sensor 1: watch_high NaN"}},
		{sensor + "watch_high = inf\n", []string{"x.toml: sensor 1: watch_high +Inf"}},
		{sensor + "watch_high = 90\nbad_high = 80\n", []string{"x.toml: sensor 1: bad_high 80 must be above watch_high"}},
		{sensor + "bad_high = 90\n[[sensor]]\nchips = [\"x\"]\ninput = \"heat\"\n", []string{`x.toml: sensor 2: input "heat"`}},
	} {
		_, err := parse("x.toml", []byte(tt.text))
		for _, w := range tt.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s\n%v, want %q", tt.text, err, w)
			}
		}
	}
}

// The boards there are have limits for the processors they may have.
func TestBoardsWatchProcessors(t *testing.T) {
	for _, name := range Names("..") {
		b, err := Load("..", name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, chip := range []string{"coretemp", "k10temp"} {
			if s := boardfile.Find(b.Sensors, chip, "temp1", ""); s == nil || s.BadHigh == nil {
				t.Errorf("%s: no limit for %s", name, chip)
			}
		}
	}
}
