package version

import "testing"

func TestVersion(t *testing.T) {
	defer func() { number, commitTime = "", "" }()
	if String() == "" {
		t.Error("no version at all")
	}
	number, commitTime = "1.2", "2026-03-01T12:00:00Z"
	if String() != "1.2" {
		t.Errorf("got %s", String())
	}
	if got := Time().Unix(); got != 1772366400 {
		t.Errorf("got %d", got)
	}
	commitTime = "yesterday"
	Time() // falls back
}
