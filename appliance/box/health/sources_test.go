package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/box/health/drive"
	"pillarbox/appliance/config/boardfile"
	"pillarbox/board"
)

// tree writes files as sysfs shows them.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestHwmon(t *testing.T) {
	sys := tree(t, map[string]string{
		"class/hwmon/hwmon0/name":         "coretemp",
		"class/hwmon/hwmon0/temp1_input":  "45000",
		"class/hwmon/hwmon0/temp1_label":  "Package id 0",
		"class/hwmon/hwmon0/temp1_max":    "82000",
		"class/hwmon/hwmon0/temp1_crit":   "100000",
		"class/hwmon/hwmon1/name":         "nct6775",
		"class/hwmon/hwmon1/fan1_input":   "0",
		"class/hwmon/hwmon1/fan1_min":     "600",
		"class/hwmon/hwmon1/fan2_input":   "900",
		"class/hwmon/hwmon1/fan2_enable":  "0",
		"class/hwmon/hwmon1/in0_input":    "880",
		"class/hwmon/hwmon1/in0_min":      "0",
		"class/hwmon/hwmon1/in0_max":      "0",
		"class/hwmon/hwmon1/temp7_input":  "-62000",
		"class/hwmon/hwmon1/temp8_input":  "30000",
		"class/hwmon/hwmon1/temp8_fault":  "1",
		"class/hwmon/hwmon1/temp9_input":  "not a number",
		"class/hwmon/hwmon1/power1_input": "35500000",
	})
	got := map[string]healthapi.Reading{}
	for _, r := range hwmon(sys, nil) {
		got[r.ID] = r
	}
	if len(got) != 4 {
		t.Errorf("%d readings: %+v", len(got), got)
	}
	cpu := got["hwmon/coretemp/temp1"]
	if cpu.Value != 45 || *cpu.WatchHigh != 82 || *cpu.BadHigh != 100 || cpu.Name != "processor Package id 0" {
		t.Errorf("%+v", cpu)
	}
	if fan := got["hwmon/nct6775/fan1"]; fan.Value != 0 || *fan.BadLow != 600 || levelOf(fan, healthapi.OK) != healthapi.Bad {
		t.Errorf("a fan that stands: %+v", fan)
	}
	if v := got["hwmon/nct6775/in0"]; v.Value != 0.88 || v.WatchHigh != nil {
		t.Errorf("a voltage without limits: %+v", v)
	}
	if p := got["hwmon/nct6775/power1"]; p.Value != 35.5 {
		t.Errorf("%+v", p)
	}
}

// generic are the limits of the board for any server.
func generic(t *testing.T) []boardfile.Sensor {
	t.Helper()
	b, err := board.Load("../../..", "generic-x86_64")
	if err != nil {
		t.Fatal(err)
	}
	return b.Sensors
}

// What a chip does not state, its board may; a sensor that may hang in the air
// gets no limit.
func TestBoardLimits(t *testing.T) {
	sys := tree(t, map[string]string{
		"class/hwmon/hwmon0/name": "k10temp", "class/hwmon/hwmon0/temp1_input": "101000", "class/hwmon/hwmon0/temp1_label": "Tctl",
		"class/hwmon/hwmon1/name": "nct6775", "class/hwmon/hwmon1/temp3_input": "101000",
	})
	levels := map[string]healthapi.Level{}
	for _, r := range hwmon(sys, generic(t)) {
		levels[r.ID] = levelOf(r, healthapi.OK)
	}
	if len(levels) != 2 || levels["hwmon/k10temp/temp1"] != healthapi.Bad || levels["hwmon/nct6775/temp3"] != healthapi.OK {
		t.Errorf("%v", levels)
	}
}

// The hardware's own limits go before those of the board, each side by itself.
func TestHardwareBeforeBoard(t *testing.T) {
	sensors := []boardfile.Sensor{
		{Chips: []string{"x"}, Input: "temp2", Label: "Ambient", WatchHigh: ptr(40.0)},
		{Chips: []string{"x"}, Input: "temp*", WatchLow: ptr(5.0), WatchHigh: ptr(60.0), BadHigh: ptr(70.0)},
		{Chips: []string{"x"}, Input: "in*", WatchLow: ptr(11.0), WatchHigh: ptr(13.0), BadLow: ptr(10.0), BadHigh: ptr(14.0)},
		{Chips: []string{"x"}, Input: "fan*", BadLow: ptr(300.0)},
	}
	for _, tt := range []struct {
		name  string
		chip  string
		files map[string]string // after the name of the chip
		want  string            // bad low, watch low, watch high, bad high
	}{
		{"nothing stated", "x", map[string]string{"temp1_input": "30000"}, "- 5 60 70"},
		{"by label", "x", map[string]string{"temp2_input": "30000", "temp2_label": "Ambient"}, "- - 40 -"},
		{"another label", "x", map[string]string{"temp2_input": "30000", "temp2_label": "VRM"}, "- 5 60 70"},
		{"both stated", "x", map[string]string{"temp1_input": "30000", "temp1_max": "80000", "temp1_crit": "90000"}, "- 5 80 90"},
		{"one of a side stated", "x", map[string]string{"temp1_input": "30000", "temp1_crit": "90000"}, "- 5 - 90"},
		{"stated, and no hardware means it", "x", map[string]string{"temp1_input": "30000", "temp1_max": "0", "temp1_crit": "255000"}, "- 5 60 70"},
		{"a voltage, one side stated", "x", map[string]string{"in3_input": "12000", "in3_min": "11500"}, "- 11.5 13 14"},
		{"a voltage, nonsense stated", "x", map[string]string{"in3_input": "12000", "in3_min": "0", "in3_max": "0"}, "10 11 13 14"},
		{"a fan", "x", map[string]string{"fan1_input": "900"}, "300 - - -"},
		{"a fan that states it", "x", map[string]string{"fan1_input": "900", "fan1_min": "600"}, "600 - - -"},
		{"another kind", "x", map[string]string{"power1_input": "5000000"}, "- - - -"},
		{"another chip", "y", map[string]string{"temp1_input": "30000"}, "- - - -"},
	} {
		files := map[string]string{"class/hwmon/hwmon0/name": tt.chip}
		for name, content := range tt.files {
			files["class/hwmon/hwmon0/"+name] = content
		}
		readings := hwmon(tree(t, files), sensors)
		if len(readings) != 1 {
			t.Errorf("%s: %d readings", tt.name, len(readings))
			continue
		}
		var got []string
		for _, l := range []*float64{readings[0].BadLow, readings[0].WatchLow, readings[0].WatchHigh, readings[0].BadHigh} {
			if l == nil {
				got = append(got, "-")
			} else {
				got = append(got, fmt.Sprint(*l))
			}
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A box without a board's file, or with a broken one, is watched all the same.
func TestReadBoard(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		sensors    int
		log        string // what it says; "" for nothing
	}{
		{"good", `{"name": "x", "sensors": [{"chips": ["jc42"], "input": "temp*", "watch_high": 85}]}`, 1, ""},
		{"none stated", `{"name": "x"}`, 0, ""},
		{"no file", "", 0, "level=INFO"},
		{"no JSON", `{"name": "x`, 0, "level=ERROR"},
		{"not what it should be", `{"sensors": [{"chips": "jc42"}]}`, 0, "level=ERROR"},
		{"out of range", `{"sensors": [{"chips": ["jc42"], "input": "temp*", "watch_high": 85000}]}`, 0, "level=ERROR"},
	} {
		root := t.TempDir()
		if tt.text != "" {
			root = tree(t, map[string]string{boardfile.Path: tt.text})
		}
		var out strings.Builder
		got := readBoard(filepath.Join(root, boardfile.Path), slog.New(slog.NewTextHandler(&out, nil))).Sensors
		if len(got) != tt.sensors || (out.Len() > 0) != (tt.log != "") || !strings.Contains(out.String(), tt.log) {
			t.Errorf("%s: %+v, log %q", tt.name, got, out.String())
		}
	}
}

// The monitor reads its board's file when it begins, and its sensors by it.
func TestMonitorKnowsItsBoard(t *testing.T) {
	root := tree(t, map[string]string{
		boardfile.Path:                `{"sensors": [{"chips": ["jc42"], "input": "temp*", "bad_high": 95}]}`,
		"sys/class/hwmon/hwmon0/name": "jc42", "sys/class/hwmon/hwmon0/temp1_input": "96000",
	})
	m, err := New(Config{Root: root, State: t.TempDir(), Data: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m.sensors(t.Context(), time.Now())
	for _, r := range m.readings() {
		if r.ID == "hwmon/jc42/temp1" && levelOf(r, healthapi.OK) == healthapi.Bad {
			return
		}
	}
	t.Errorf("%+v", m.readings())
}

func TestFanThatStops(t *testing.T) {
	f := fans{}
	for i, step := range []struct {
		rpm  float64
		want healthapi.Level
	}{{0, healthapi.OK}, {900, healthapi.OK}, {0, healthapi.Watch}, {870, healthapi.OK}} {
		r := []healthapi.Reading{{ID: "hwmon/x/fan1", Kind: healthapi.Fan, Name: "x fan1", Value: step.rpm}}
		f.read(r)
		if level := levelOf(r[0], healthapi.OK); level != step.want {
			t.Errorf("step %d: %v", i, level)
		}
		if step.want == healthapi.Watch && describe(r[0], step.want).what != "A fan stands still: x fan1." {
			t.Errorf("%+v", describe(r[0], step.want))
		}
	}
}

// The whole of it runs on a machine that has nothing, and ends when it is told to.
func TestRunEnds(t *testing.T) {
	init := &logInit{Service: silentInit{}, asked: make(chan initapi.LogQuery, 10)}
	m := monitor(t, Config{Init: init, Box: boxOf{}, Mail: silentMail{}, SMTP: "127.0.0.1:1", IMAP: "127.0.0.1:1"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	for read := false; !read; {
		select {
		case err := <-ended:
			t.Fatalf("ended before it was told to: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		s, err := m.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		read = len(s.Readings) > 0
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Each source is read by the monitor itself, of a machine with a little of all.
func TestMonitorReadsItsSources(t *testing.T) {
	m := monitor(t, Config{Init: silentInit{}, Box: boxOf{}, Mail: silentMail{}, SMTP: "127.0.0.1:1",
		ReadDrive: func(_, name string) (*drive.Health, error) {
			return &drive.Health{Device: name, Celsius: ptr(40.0)}, nil
		}})
	m.cfg.Root = tree(t, map[string]string{
		"sys/class/hwmon/hwmon0/name": "nct6775", "sys/class/hwmon/hwmon0/fan1_input": "900", "sys/block/sda/size": "1", "sys/block/nvme0n1/size": "1",
		"sys/class/net/eth0/carrier": "1", "sys/class/net/eth0/device/x": "", "sys/class/net/eth0/statistics/rx_errors": "0",
		"proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 500 kB", "proc/loadavg": "0.5 0 0 1/1 1",
	})
	now := time.Now()
	for _, read := range []func(context.Context, time.Time){m.quick, m.sensors, m.nvmes, m.management, m.drives, m.selfTests, m.trend, m.lists} {
		read(t.Context(), now)
	}
	m.step(t.Context(), now)
	s, err := m.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, r := range s.Readings {
		got[r.ID] = true
	}
	for _, id := range []string{"hwmon/nct6775/fan1", "drive/sda/temperature", "drive/nvme0n1/temperature", "network/eth0/rx_errors", "system/memory", "system/load", "space/data", "space/state/files"} {
		if !got[id] {
			t.Errorf("no reading %s of %v", id, got)
		}
	}
}

func TestMemoryErrors(t *testing.T) {
	sys := tree(t, map[string]string{
		"devices/system/edac/mc/mc0/ce_count":            "12",
		"devices/system/edac/mc/mc0/ue_count":            "1",
		"devices/system/edac/mc/mc0/dimm0/dimm_ce_count": "0",
		"devices/system/edac/mc/mc0/dimm3/dimm_ce_count": "12",
		"devices/system/edac/mc/mc0/dimm3/dimm_label":    "DIMM_B1",
	})
	levels := map[string]healthapi.Level{}
	for _, r := range memoryErrors(sys) {
		levels[r.ID] = levelOf(r, healthapi.OK)
		if f := describe(r, healthapi.Bad); f.means == "" || f.do == "" {
			t.Errorf("%s has no advice", r.ID)
		}
	}
	if len(levels) != 3 || levels["memory/mc0/corrected"] != healthapi.Watch || levels["memory/mc0/uncorrected"] != healthapi.Bad || levels["memory/mc0/dimm3"] != healthapi.Watch {
		t.Errorf("%v", levels)
	}
}

func TestArrays(t *testing.T) {
	for _, tt := range []struct {
		degraded, action string
		want             healthapi.Level
	}{{"0", "idle", healthapi.OK}, {"1", "idle", healthapi.Bad}, {"1", "recover", healthapi.Watch}} {
		sys := tree(t, map[string]string{"block/md0/md/degraded": tt.degraded, "block/md0/md/sync_action": tt.action, "block/md0/md/sync_completed": "5 / 100"})
		f := arrays(sys)
		if len(f) != 1 || f[0].level != tt.want || tt.want != healthapi.OK && f[0].do == "" {
			t.Errorf("%+v: %+v", tt, f)
		}
	}
}

func TestArraysOfControllers(t *testing.T) {
	sys := tree(t, map[string]string{
		"class/raid_devices/0:1:0:0/state": "active", "class/raid_devices/0:1:0:0/device/block/sda/size": "1",
		"class/raid_devices/0:1:1:0/state": "degraded", "class/raid_devices/0:1:1:0/device/block/sdb/size": "1",
		"class/raid_devices/0:1:2:0/state": "resyncing", "class/raid_devices/0:1:2:0/resync": "40",
		"class/raid_devices/0:1:3:0/state": "offline",
	})
	got := map[string]string{}
	for _, f := range controllerArrays(sys) {
		got[f.id] = f.level.String() + " " + f.what
	}
	for id, want := range map[string]string{
		"raid/0:1:0:0": "ok ", "raid/0:1:1:0": "bad The disk array sdb lacks a disk.",
		"raid/0:1:2:0": "watch The disk array 0:1:2:0 is being rebuilt (40 %).", "raid/0:1:3:0": "bad The disk array 0:1:3:0 does not work any more.",
	} {
		if got[id] != want {
			t.Errorf("%s: %q, want %q", id, got[id], want)
		}
	}
}

// The disks test themselves one night a week, at length once a month.
func TestSelfTests(t *testing.T) {
	var asked []string
	m := monitor(t, Config{TestDrive: func(_, name string, long bool) error {
		asked = append(asked, fmt.Sprint(name, " ", long))
		if name == "sdb" {
			return drive.ErrSilent
		}
		return nil
	}})
	for _, name := range []string{"sda", "sdb", "nvme0n1"} {
		if err := os.MkdirAll(filepath.Join(m.cfg.Root, "sys/block", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		when time.Time
		want string
	}{
		{time.Date(2026, 3, 7, testHour, 5, 0, 0, time.Local), ""}, // a Saturday
		{time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local), ""},
		{time.Date(2026, 3, 1, testHour, 5, 0, 0, time.Local), "nvme0n1 true, sda true, sdb true"},
		{time.Date(2026, 3, 1, testHour, 15, 0, 0, time.Local), ""},
		{time.Date(2026, 3, 8, testHour, 55, 0, 0, time.Local), "nvme0n1 false, sda false, sdb false"},
	} {
		asked = nil
		m.selfTests(t.Context(), tt.when)
		if got := strings.Join(asked, ", "); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.when, got, tt.want)
		}
	}
}

func TestDrives(t *testing.T) {
	sys := tree(t, map[string]string{"block/sda/size": "1", "block/sdb/size": "1", "block/sdc/size": "1", "block/vda/size": "1", "block/nvme0n1/size": "1"})
	var readings []healthapi.Reading
	var found []finding
	read := func(_, name string) (*drive.Health, error) {
		switch name {
		case "sda":
			return &drive.Health{Device: "sda", Serial: "S1", Model: "Disk", Failing: true, Reasons: []string{"few spare blocks are left"},
				Celsius: ptr(70.0), Pending: ptr(int64(8)), WearPercent: ptr(90.0), SelfTest: drive.SelfTest{Known: true, Failed: true}}, nil
		case "sdb":
			return nil, drive.ErrSilent
		case "nvme0n1":
			return &drive.Health{Device: name, CelsiusBad: ptr(85.0), Celsius: ptr(60.0)}, nil
		}
		return nil, errors.New("input/output error")
	}
	for _, which := range []func(string) bool{isNVMe, isNotNVMe} {
		r, f := readDrives(sys, which, read)
		readings, found = append(readings, r...), append(found, f...)
	}
	levels := map[string]healthapi.Level{}
	for _, r := range readings {
		levels[r.ID] = levelOf(r, healthapi.OK)
	}
	for _, f := range found {
		levels[f.id] = f.level
		if f.level != healthapi.OK && (f.what == "" || f.means == "" || f.do == "") {
			t.Errorf("%+v lacks a sentence", f)
		}
	}
	for id, want := range map[string]healthapi.Level{
		"drive/S1/temperature": healthapi.Bad, "drive/S1/pending": healthapi.Bad, "drive/S1/wear": healthapi.Watch,
		"drive/S1/verdict": healthapi.Bad, "drive/S1/self-test": healthapi.Bad, "drive/sdc/answers": healthapi.Watch,
		"drive/nvme0n1/temperature": healthapi.OK, "drive/nvme0n1/verdict": healthapi.OK,
	} {
		if got, ok := levels[id]; !ok || got != want {
			t.Errorf("%s: %v %v, want %v", id, got, ok, want)
		}
	}
}

func TestLastWords(t *testing.T) {
	dir := t.TempDir()
	pstore := filepath.Join(dir, "pstore")
	if f, err := lastWords(pstore, filepath.Join(dir, "crash")); err != nil || f.level != healthapi.OK {
		t.Errorf("without pstore: %+v, %v", f, err)
	}
	if err := os.Mkdir(pstore, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pstore, "dmesg-efi-1"), []byte("Oops"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := lastWords(pstore, filepath.Join(dir, "crash"))
	if err != nil || f.level != healthapi.Watch {
		t.Errorf("after a crash: %+v, %v", f, err)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "crash/dmesg-efi-1")); err != nil || string(raw) != "Oops" {
		t.Errorf("kept: %q, %v", raw, err)
	}
	if left, _ := os.ReadDir(pstore); len(left) != 0 {
		t.Error("the firmware's memory is not freed")
	}
	// A box that ends like this every day does not fill its state volume.
	for i := range 2 * maxCrashFiles {
		name := filepath.Join(dir, "crash", fmt.Sprintf("dmesg-efi-%d", i))
		if err := os.WriteFile(name, []byte("Oops"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Time{}, time.Unix(int64(i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(pstore, "dmesg-efi-last"), []byte("Oops"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lastWords(pstore, filepath.Join(dir, "crash")); err != nil {
		t.Error(err)
	}
	if kept, _ := os.ReadDir(filepath.Join(dir, "crash")); len(kept) != maxCrashFiles || !slices.ContainsFunc(kept, func(e os.DirEntry) bool { return e.Name() == "dmesg-efi-last" }) {
		t.Errorf("%d files are kept", len(kept))
	}
}

// A disk that is failing is told apart by what is on it.
func TestFailingDiskOfMail(t *testing.T) {
	found := func() []finding {
		return []finding{
			{id: "drive/A/verdict", disk: "sda", level: healthapi.Bad, means: "Bad."}, {id: "drive/B/verdict", disk: "sdb", level: healthapi.Bad, means: "Bad."},
			{id: "drive/A/self-test", disk: "sda"}, {id: "other", level: healthapi.Bad, means: "Bad."},
		}
	}
	m := &Monitor{cfg: Config{Init: dataOn{disk: "sda"}}}
	for i, want := range []string{"Bad. Mail is kept on it.", "Bad.", "", "Bad."} {
		if got := m.ofMail(t.Context(), found())[i].means; got != want {
			t.Errorf("finding %d: %q, want %q", i, got, want)
		}
	}
	m.cfg.Init = silentInit{}
	if got := m.ofMail(t.Context(), found())[0].means; got != "Bad." {
		t.Errorf("without an answer: %q", got)
	}
}

// dataOn is an init whose data volume is on that disk.
type dataOn struct {
	initapi.Service
	disk string
}

func (d dataOn) Status(context.Context) (*initapi.Status, error) {
	return &initapi.Status{Data: initapi.Volume{Mounted: true, Disk: d.disk}}, nil
}

// silentInit and silentMail do not answer.
type silentInit struct{ initapi.Service }

func (silentInit) Services(context.Context) ([]initapi.ServiceStatus, error) {
	return nil, errors.New("silent")
}
func (silentInit) Status(context.Context) (*initapi.Status, error) { return nil, errors.New("silent") }

type silentMail struct{ mailapi.Service }

func (silentMail) Status(context.Context) (*mailapi.Status, error) { return nil, errors.New("silent") }
func (silentMail) Settings(context.Context) (*mailapi.Settings, error) {
	return nil, errors.New("silent")
}

// What led to a start is told for a day, not for as long as the box runs.
func TestStartIsHistory(t *testing.T) {
	m := monitor(t, Config{Init: silentInit{}, Box: boxOf{}, Mail: silentMail{}})
	if err := os.MkdirAll(m.path("proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.put("start", nil, []finding{restartFinding(healthapi.Watchdog{LastReset: "the whole system hung"})})
	now := time.Now()
	told := func(uptime string) bool {
		if err := os.WriteFile(m.path("proc/uptime"), []byte(uptime+" 1.00\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			m.quick(t.Context(), now)
			m.step(t.Context(), now)
			now = now.Add(forget)
		}
		s, err := m.Status(t.Context())
		return err == nil && slices.ContainsFunc(s.States, func(s healthapi.State) bool { return s.ID == "system/watchdog" })
	}
	if !told("3600.00") {
		t.Error("an hour after it nothing is told")
	}
	if told("90000.00") {
		t.Error("it is told a day after")
	}
}

func TestMachine(t *testing.T) {
	proc := tree(t, map[string]string{"meminfo": "MemTotal:       1000000 kB\nMemFree: 1 kB\nMemAvailable:   40000 kB", "loadavg": "1.25 0.5 0.2 1/100 999"})
	r := machine(proc)
	if len(r) != 2 || r[0].Value != 96 || levelOf(r[0], healthapi.OK) != healthapi.Watch || r[1].Value != 1.25 {
		t.Errorf("%+v", r)
	}
	if r := space("x", "test", t.TempDir()); len(r) < 2 || len(r) > 3 || r[0].Value <= 0 || r[0].Value > 100 || r[1].Value <= 0 {
		t.Errorf("%+v", r)
	}
	if r := space("x", "test", "/does/not/exist"); r != nil {
		t.Errorf("%+v", r)
	}
}

func TestProblems(t *testing.T) {
	d := &daemons{problemSince: map[string]map[string]time.Time{}}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	clock, address := "the clock showed 2001", "eth0 has no address"
	for _, step := range []struct {
		after     time.Duration
		sentences []string
		want      []string // level and sentence of each finding
	}{
		{0, []string{clock, address}, nil}, // it may pass
		{problemAfter / 2, []string{clock}, []string{"ok "}},
		{problemAfter, []string{clock, address}, []string{"watch The clock showed 2001"}},
		{problemAfter, nil, []string{"ok ", "ok "}},
		{problemAfter, nil, nil},
	} {
		now = now.Add(step.after)
		var got []string
		for _, f := range d.problems("init", now, step.sentences) {
			got = append(got, f.level.String()+" "+f.what)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%q: %q, want %q", step.sentences, got, step.want)
		}
	}
	if problemID("init", clock) == problemID("init", address) {
		t.Error("sentences are not told apart")
	}
}
