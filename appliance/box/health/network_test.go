package health

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
)

func TestLostLink(t *testing.T) {
	sys := tree(t, map[string]string{
		"class/net/eth0/device/x": "", "class/net/eth0/carrier": "1", "class/net/eth0/statistics/rx_errors": "7",
		"class/net/eth1/device/x": "", "class/net/eth1/carrier": "0",
		"class/net/lo/carrier": "1",
	})
	c := carriers{map[string]bool{}, map[string]*errorCount{}}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r, f := c.read(sys, now)
	if len(r) != 1 || r[0].Value != 7 || len(f) != 4 {
		t.Errorf("at first: %+v, %+v", r, f)
	}
	for _, one := range f {
		if one.level != healthapi.OK {
			t.Errorf("at first: %+v", one)
		}
	}
	if err := os.WriteFile(filepath.Join(sys, "class/net/eth0/carrier"), []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, f = c.read(sys, now)
	if l := find(f, "network/eth0/link"); l.level != healthapi.Bad || !strings.Contains(l.what, "eth0") {
		t.Errorf("with the cable out: %+v", f)
	}
	if l := find(f, "network/eth1/link"); l.level != healthapi.OK {
		t.Errorf("a port that never had a link: %+v", f)
	}
	if err := os.RemoveAll(filepath.Join(sys, "class/net/eth0")); err != nil {
		t.Fatal(err)
	}
	_, f = c.read(sys, now)
	if l := find(f, "network/eth0/link"); l.level != healthapi.Bad || l.what != "The network card eth0 is not there any more." {
		t.Errorf("with the card out: %+v", f)
	}
}

func TestDamagedFrames(t *testing.T) {
	sys := tree(t, map[string]string{"class/net/eth0/device/x": "", "class/net/eth0/carrier": "1", "class/net/eth0/statistics/rx_errors": "0", "class/net/eth0/statistics/rx_dropped": "0"})
	c := carriers{map[string]bool{}, map[string]*errorCount{}}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		after         time.Duration
		errors, drops string
		want          healthapi.Level
	}{
		{0, "5000", "0", healthapi.OK}, // from before healthd was started
		{time.Minute, "5060", "99999", healthapi.OK},
		{time.Minute, "5110", "99999", healthapi.Watch},
		{errorsWithin, "5110", "99999", healthapi.Watch}, // it was within the last minutes
		{errorsWithin, "5110", "99999", healthapi.OK},
		{time.Minute, "3", "0", healthapi.OK}, // the driver was loaded again
		{time.Minute, "104", "0", healthapi.Watch},
	} {
		for name, v := range map[string]string{"rx_errors": step.errors, "rx_dropped": step.drops} {
			if err := os.WriteFile(filepath.Join(sys, "class/net/eth0/statistics", name), []byte(v+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(step.after)
		_, found := c.read(sys, now)
		if f := find(found, "network/eth0/errors"); f.level != step.want || (f.what == "") != (f.level == healthapi.OK) {
			t.Errorf("%s errors: %+v", step.errors, f)
		}
	}
}
