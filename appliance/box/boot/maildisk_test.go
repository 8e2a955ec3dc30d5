package boot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/box/power"
	"pillarbox/appliance/box/uevent"
)

var errCut = errors.New("power cut")

// A power cut at any step of moving mail to another disk leaves a box that begins
// with one of the two volumes, and with the new one as soon as it is recorded.
func TestPowerCutWhileMovingMail(t *testing.T) {
	const steps = 4
	for cut := range steps + 1 {
		state, own := t.TempDir(), t.TempDir()
		mounted, left := "own", cut
		did := func(fn func() error) func() error {
			return func() error {
				if left--; left < 0 {
					return errCut
				}
				return fn()
			}
		}
		record := disk.Record{Partition: "new", Model: "ACME", Size: 5e11}
		err := move{
			mark:  did(func() error { return os.WriteFile(filepath.Join(own, disk.AwayName), []byte(record.String()), 0o600) }),
			leave: did(func() error { mounted = ""; return nil }),
			take:  did(func() error { mounted = "new"; return nil }),
			keep:  did(func() error { return record.Keep(state) }),
			back:  func() error { return nil }, // the power is off
		}.run()
		if done := err == nil; done != (cut == steps) || err != nil && !errors.Is(err, errCut) {
			t.Fatalf("cut %d: %v", cut, err)
		}
		// The next start.
		r, err := disk.ReadRecord(state)
		if err != nil {
			t.Fatal(err)
		}
		if (r != nil) != (cut == steps) {
			t.Errorf("cut %d: the record is %+v", cut, r)
		}
		if r != nil && mounted != "new" {
			t.Errorf("cut %d: recorded before it was seen to work", cut)
		}
		s := newSystem(Config{})
		s.out = newAnnouncer()
		home := s.isHome(&disk.Mount{Path: own}, true)
		if _, err := os.Stat(filepath.Join(own, disk.AwayName)); !home || err == nil {
			t.Errorf("cut %d: with the state volume there the system disk's is not used again: %v, %v", cut, home, err)
		}
	}
}

// A step that fails has the box go back to where it was.
func TestFailedMoveGoesBack(t *testing.T) {
	for fail := range 4 {
		n, back := 0, 0
		step := func() error {
			if n++; n == fail+1 {
				return errCut
			}
			return nil
		}
		err := move{step, step, step, step, func() error { back++; return errors.New("nor back") }}.run()
		if !errors.Is(err, errCut) || !strings.Contains(err.Error(), "nor back") || back != 1 || n != fail+1 {
			t.Errorf("step %d: %v, back %d times after %d steps", fail, err, back, n)
		}
	}
}

// Without the state volume, which knows of the disk that was chosen, the volume of
// the system disk is not begun anew.
func TestVolumeThatWasLeftIsNotHome(t *testing.T) {
	own := t.TempDir()
	s := newSystem(Config{})
	if !s.isHome(&disk.Mount{Path: own}, false) {
		t.Error("a volume that was never left is not used")
	}
	if err := os.WriteFile(filepath.Join(own, disk.AwayName), []byte("ACME, 500.0 GB"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.isHome(&disk.Mount{Path: own}, false) {
		t.Error("a volume that was left is used")
	}
	if p := s.problems.list(); len(p) != 1 || !strings.Contains(p[0], "Mail is kept on another disk: ACME, 500.0 GB.") {
		t.Errorf("problems: %q", p)
	}
	if _, err := os.Stat(filepath.Join(own, disk.AwayName)); err != nil {
		t.Error("the mark is gone")
	}
}

func TestSentencesOfTheMissingDisk(t *testing.T) {
	r := &disk.Record{Partition: "p", Model: "ACME SSD", Serial: "S1", Size: 5e11}
	want := "The disk that mail is kept on is not there: ACME SSD, serial number S1, 500.0 GB. No mail can be received or read. " +
		"Connect it, and the box goes on by itself. If it is lost for good, write the image anew and restore a backup."
	if got := notThere(r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = "The factory reset waits for the disk that mail is kept on: ACME SSD, serial number S1, 500.0 GB. " +
		"Connect it, and the box goes on by itself. If it is lost for good, write the image anew."
	if got := resetWaits(r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// mailOn is a disk with the partition of mail.
func mailOn(name, serial string) disk.Disk {
	return disk.Disk{Name: name, Model: "ACME SSD", Serial: serial, Size: 5e11, Partitions: []disk.Partition{{Name: name + "1", Disk: name, GUID: "p"}}}
}

// Mail is taken from the disk that the record describes. Of another, such as a copy,
// only when that one did not come in time; of several that might be it, from none.
func TestChooseMailDisk(t *testing.T) {
	r := &disk.Record{Partition: "p", Model: "ACME SSD", Serial: "S1", Size: 5e11}
	original, second, third := mailOn("sdb", "S1"), mailOn("sdc", "S2"), mailOn("sdd", "S3")
	const both = "Several disks hold the same mail, one being a copy of another, and the box cannot tell which is the right one: " +
		"ACME SSD, serial number S2, 500.0 GB (sdc) and ACME SSD, serial number S3, 500.0 GB (sdd). " +
		"No mail can be received or read. Disconnect all but the one to be used, and the box goes on by itself."
	for _, tt := range []struct {
		name            string
		disks           []disk.Disk
		late, resetting bool
		want, wrong     string
	}{
		{"there", []disk.Disk{original}, false, false, "sdb1", ""},
		{"not yet", nil, false, false, "", ""},
		{"never", nil, true, false, "", notThere(r)},
		{"never, for a reset", nil, true, true, "", resetWaits(r)},
		{"a copy, and the original may come", []disk.Disk{second}, false, false, "", ""},
		{"a copy in its place", []disk.Disk{second}, true, false, "sdc1", ""},
		{"beside a copy", []disk.Disk{second, original}, false, false, "sdb1", ""},
		{"two copies, and the original may come", []disk.Disk{second, third}, false, false, "", ""},
		{"two copies", []disk.Disk{second, third}, true, false, "", both},
		{"two copies, to be emptied", []disk.Disk{second, third}, true, true, "", both},
	} {
		_, p, wrong := chooseMailDisk(r, tt.disks, tt.late, tt.resetting)
		got := ""
		if p != nil {
			got = p.Name
		}
		if got != tt.want || wrong != tt.wrong {
			t.Errorf("%s: %q, %q", tt.name, got, wrong)
		}
	}
	want := "There is a copy of the disk that mail is kept on: ACME SSD, serial number S2, 500.0 GB (sdc). It is not used. " +
		"Disconnect it, so that it is never taken for the right one."
	if got := copied([]*disk.Disk{&second}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Of copies of the disk for mail nothing is left to say when mail is kept on the
// system disk again.
func TestNoCopiesOfTheSystemDisk(t *testing.T) {
	s := newSystem(Config{})
	s.volumes.state, s.volumes.data = &disk.Mount{}, &disk.Mount{}
	s.problems.add("copies of the disk for mail", "There is a copy.")
	s.noteCopies(func() []disk.Disk { t.Error("disks are read for it"); return nil })
	if p := s.problems.list(); len(p) > 0 {
		t.Errorf("problems: %q", p)
	}
}

// Another Pillarbox in the machine is not taken while the stick that was booted is
// slow to appear.
func TestSlowSystemDisk(t *testing.T) {
	other := []disk.Disk{{Name: "sda", Partitions: []disk.Partition{{Name: "sda2", GUID: "esp-a"}}}}
	for loader, want := range map[string]bool{"esp-b": true, "esp-a": false, "": false} {
		if got := slow(other, loader); got != want {
			t.Errorf("booted from %q: %v", loader, got)
		}
	}
}

// A volume that could not be used is tried again without any disk coming or going,
// and left alone once it is there, or the box is brought down.
func TestVolumesAreLookedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(Config{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var tries, settled int
		w := diskWatch{
			await:    s.awaitDisk,
			complete: func() bool { return tries >= 3 },
			mount:    func(context.Context) { tries++ },
			settled:  func() { settled++ },
			ending:   s.ending,
		}
		go w.run(ctx)
		time.Sleep(2*lookAgain + time.Second)
		synctest.Wait()
		if tries != 2 {
			t.Errorf("%d tries after %v", tries, 2*lookAgain)
		}
		s.hardware.wakeDisks() // a disk comes: at once
		time.Sleep(time.Second)
		synctest.Wait()
		if tries != 3 || settled != 0 {
			t.Errorf("%d tries after a disk came, %d looks", tries, settled)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		s.device(ctx, uevent.Event{Action: uevent.Remove, Subsystem: "block"})
		time.Sleep(time.Second)
		synctest.Wait()
		if tries != 3 || settled != 1 {
			t.Errorf("when all are there: %d tries, %d looks", tries, settled)
		}
		s.mu.Lock()
		s.stopping, tries = true, 0
		s.mu.Unlock()
		s.hardware.wakeDisks()
		time.Sleep(2 * lookAgain)
		synctest.Wait()
		if tries != 0 || settled != 1 {
			t.Errorf("while the box is brought down: %d tries, %d looks", tries, settled)
		}
	})
}

// Who presses the power button does not wait for disks that do not come.
func TestPowerButtonWhileDisksAreWaitedFor(t *testing.T) {
	sys := t.TempDir()
	if err := os.Mkdir(filepath.Join(sys, "block"), 0o700); err != nil { // no disk at all
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(Config{})
		s.finder = disk.NewFinder(sys, "")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(3*diskPoll/2, func() { s.wish(power.Off, "power button") })
		begin := time.Now()
		s.startVolumes(ctx)
		if took := time.Since(begin); took > 3*diskPoll {
			t.Errorf("waited for %v", took)
		}
	})
}
