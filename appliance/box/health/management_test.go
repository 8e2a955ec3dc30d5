package health

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/box/health/ipmi"
	"pillarbox/appliance/box/health/ipmi/ipmitest"
)

func controller(t *testing.T, dir string) (*management, *ipmitest.Controller) {
	t.Helper()
	bmc, err := ipmitest.Load("ipmi/testdata/server.txt")
	if err != nil {
		t.Fatal(err)
	}
	return &management{open: func() (ipmi.Transport, error) { return bmc, nil }, path: filepath.Join(dir, "ipmi.json"), log: slog.New(slog.DiscardHandler)}, bmc
}

// find gives the finding with id, or one that says nothing.
func find(found []finding, id string) finding {
	if i := slices.IndexFunc(found, func(f finding) bool { return f.id == id }); i >= 0 {
		return found[i]
	}
	return finding{id: "none"}
}

func TestManagementSensors(t *testing.T) {
	m, bmc := controller(t, t.TempDir())
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	readings, found := m.read(now, false)
	levels := map[string]healthapi.Level{}
	for _, r := range readings {
		levels[r.ID] = levelOf(r, healthapi.OK)
	}
	for id, want := range map[string]healthapi.Level{"ipmi/0.01": healthapi.OK, "ipmi/0.02": healthapi.Watch, "ipmi/0.41": healthapi.Bad, "ipmi/0.30": healthapi.OK, "ipmi/0.34": healthapi.OK} {
		if got, ok := levels[id]; !ok || got != want {
			t.Errorf("%s: %v, %v, want %v", id, got, ok, want)
		}
	}
	if len(levels) != 5 {
		t.Errorf("%d readings: %v", len(levels), levels)
	}
	f := find(found, "ipmi/0.51/state")
	if f.level != healthapi.Bad || f.what != "The server's management controller says: PS Status 2 gets no power from the mains." || f.means == "" || f.do == "" {
		t.Errorf("%+v", f)
	}
	if f := find(found, "ipmi/0.52/state"); f.level != healthapi.Watch || !strings.Contains(f.what, "redundant no more") {
		t.Errorf("%+v", f)
	}
	for _, id := range []string{"ipmi/0.50/state", "ipmi/0.60/state", "ipmi/answers", "ipmi/log", "ipmi/log/full"} {
		if f := find(found, id); f.id != id || f.level != healthapi.OK {
			t.Errorf("%s: %+v", id, f)
		}
	}
	if bmc.Lit != 0 {
		t.Error("the light burns")
	}
	if m.read(now, true); bmc.Lit != lightSeconds {
		t.Error("the light does not burn")
	}
	// The power supply gets its mains back.
	bmc.Readings[0x51] = []byte{0, 0xc0, 1, 0x80}
	_, found = m.read(now, false)
	if f := find(found, "ipmi/0.51/state"); f.level != healthapi.OK {
		t.Errorf("%+v", f)
	}
	bmc.Free = 0
	_, found = m.read(now, false)
	if f := find(found, "ipmi/log/full"); f.level != healthapi.Watch {
		t.Errorf("%+v", f)
	}
}

func TestManagementLog(t *testing.T) {
	dir := t.TempDir()
	m, bmc := controller(t, dir)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	all := bmc.SEL
	bmc.SEL = all[:2] // the past, which is not told
	_, found := m.read(now, false)
	if f := find(found, "ipmi/log"); f.level != healthapi.OK {
		t.Errorf("the log's past is told: %+v", f)
	}
	bmc.SEL = all[:6]
	now = now.Add(time.Minute)
	_, found = m.read(now, false)
	f := find(found, "ipmi/log")
	if f.level != healthapi.Bad || f.what != "The server's management controller has recorded: sensor 87 had an error that could not be corrected (2026-03-01 12:04 by its clock); and 2 more since yesterday." {
		t.Errorf("%+v", f)
	}
	// A restart neither forgets nor tells more.
	m, again := controller(t, dir)
	again.SEL = all[:6]
	_, found = m.read(now.Add(time.Hour), false)
	if g := find(found, "ipmi/log"); g.what != f.what {
		t.Errorf("after a restart: %+v", g)
	}
	_, found = m.read(now.Add(eventShown), false)
	if f := find(found, "ipmi/log"); f.level != healthapi.OK {
		t.Errorf("a day later: %+v", f)
	}
}

func TestManagementSilence(t *testing.T) {
	m, bmc := controller(t, t.TempDir())
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	bmc.Dead = true
	for _, step := range []struct {
		after time.Duration
		dead  bool
		want  healthapi.Level
	}{{0, true, healthapi.OK}, {controllerSilence, true, healthapi.Watch}, {controllerSilence + time.Minute, false, healthapi.OK}, {controllerSilence + 2*time.Minute, true, healthapi.OK}} {
		bmc.Dead = step.dead
		_, found := m.read(now.Add(step.after), false)
		if f := find(found, "ipmi/answers"); f.id != "ipmi/answers" || f.level != step.want {
			t.Errorf("after %v: %+v", step.after, f)
		}
	}
	m, _ = controller(t, t.TempDir())
	m.open = func() (ipmi.Transport, error) { return nil, fs.ErrNotExist }
	if r, f := m.read(now, true); r != nil || f != nil {
		t.Errorf("a machine without a controller: %v, %v", r, f)
	}
	m.open = func() (ipmi.Transport, error) { return nil, errors.New("busy") }
	if _, f := m.read(now, true); len(f) != 1 || f[0].level != healthapi.OK {
		t.Errorf("a device that cannot be opened: %+v", f)
	}
}
