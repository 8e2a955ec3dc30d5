package clock

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSane(t *testing.T) {
	at := func(year int) time.Time { return time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		name   string
		now    time.Time
		passed []time.Time
		want   time.Time
		ok     bool
	}{
		{"right", at(2027), []time.Time{at(2026), at(2025)}, at(2027), true},
		{"nothing known", at(1970), nil, at(1970), true},
		{"before the build", at(2000), []time.Time{at(2026)}, at(2026), false},
		{"before the last file", at(2026), []time.Time{at(2026), at(2028)}, at(2028), false},
		{"no build time", at(2000), []time.Time{{}, at(2028)}, at(2028), false},
		{"a file of the far future", at(2027), []time.Time{at(2026), at(2099)}, at(2027), true},
		{"long after the build", at(2099), []time.Time{at(2026), at(2027)}, at(2027), false},
		{"years after the build", at(2033), []time.Time{at(2026), at(2027)}, at(2033), true},
		{"far ahead, no build time", at(2099), []time.Time{{}, at(2028)}, at(2099), true},
		{"the same moment", at(2026), []time.Time{at(2026)}, at(2026), true},
	} {
		if got, ok := Sane(tt.now, tt.passed...); !got.Equal(tt.want) || ok != tt.ok {
			t.Errorf("%s: got %v, %v", tt.name, got, ok)
		}
	}
}

func TestNewest(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	old, late := time.Unix(1e9, 0), time.Unix(2e9, 0)
	for name, at := range map[string]time.Time{"a": old, "sub/b": late} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if got := Newest(dir); !got.Equal(late) {
		t.Errorf("got %v", got)
	}
	if got := Newest(filepath.Join(dir, "none")); !got.IsZero() {
		t.Errorf("got %v", got)
	}
}
