package chattest

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, got string
		want         bool
	}{
		{"+OK", "+OK", true},
		{"+OK", "+OK more", false},
		{"+OK*", "+OK more", true},
		{"*", "", true},
		{"a*b*c", "a1b2c", true},
		{"a*b*c", "a1c2c", false},
		{"a*a", "a", false},
	} {
		if got := (Line{Rest: tt.pattern}).Matches(tt.got); got != tt.want {
			t.Errorf("%q and %q: %v", tt.pattern, tt.got, got)
		}
	}
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.chat")
	if err := os.WriteFile(file, []byte("# comment\n\nC: QUIT\nc: \"a\\r\\n\" \"b\"*3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := Read(t, file)
	if len(lines) != 2 || lines[0] != (Line{file + ":3", "C:", "QUIT"}) {
		t.Fatalf("got %q", lines)
	}
	if got := lines[1].Quoted(t); got != "a\r\nbbb" {
		t.Errorf("got %q", got)
	}
}
