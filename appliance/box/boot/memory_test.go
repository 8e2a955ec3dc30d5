package boot

import (
	"os"
	"path/filepath"
	"testing"
)

func TestProcessorSeconds(t *testing.T) {
	for text, want := range map[string]float64{
		"67 (healthd) S 1 67 67 0 -1 4194560 900 0 3 0 150 75 0 0 20 0 7 0 512": 2.25,
		"67 (a) b (c)) S 1 67 67 0 -1 4194560 900 0 3 0 100 0 0 0 20":           1,
		"67 (healthd) S 1": 0,
		"":                 0,
	} {
		path := filepath.Join(t.TempDir(), "stat")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := processorSeconds(path); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if got := processorSeconds("/proc/self/none"); got != 0 {
		t.Errorf("no file: %v", got)
	}
}
