package reset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResetIsBegunAnewUntilItIsDone(t *testing.T) {
	state, data := t.TempDir(), t.TempDir()
	for _, name := range []string{state + "/box.json", state + "/certs/key", data + "/store/000001.vlog", data + "/lost+found/x", data + "/reserve"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if Asked(state) {
		t.Fatal("asked for by nobody")
	}
	if err := Ask(state); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time after a power cut
		if !Asked(state) {
			t.Fatal("the mark went before the end")
		}
		for _, volume := range []string{state, data} {
			if err := Empty(volume); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Done(state); err != nil {
		t.Fatal(err)
	}
	if Asked(state) {
		t.Error("still asked for")
	}
	if left := names(t, state) + names(t, data); left != "lost+found" {
		t.Errorf("left: %s", left)
	}
	if err := Done(state); err != nil {
		t.Errorf("done twice: %v", err)
	}
}

func names(t *testing.T, dir string) string {
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestEmptyKeepsWhatIsStillNeeded(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"box.json", "mail-disk.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Empty(dir, "mail-disk.json"); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); left != "mail-disk.json" {
		t.Errorf("left: %s", left)
	}
}

func TestVolumeThatIsNotThere(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	if Asked(gone) || Ask(gone) == nil || Empty(gone) == nil || Done(gone) == nil {
		t.Error("a volume that is not there was reset")
	}
}
