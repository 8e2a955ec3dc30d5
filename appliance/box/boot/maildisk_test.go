package boot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/appliance/box/disk"
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

func TestSentenceOfTheMissingDisk(t *testing.T) {
	r := &disk.Record{Partition: "p", Model: "ACME SSD", Serial: "S1", Size: 5e11}
	want := "The disk that mail is kept on is not there: ACME SSD, serial number S1, 500.0 GB. No mail can be received or read. " +
		"Connect it, and the box goes on by itself."
	if got := notThere(r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
