package password

import (
	"strings"
	"testing"
)

func TestHash(t *testing.T) {
	h := New("correct horse")
	back, err := Parse(h.String())
	if err != nil {
		t.Fatal(err)
	}
	if !back.Matches("correct horse") || back.Matches("correct hors") || back.Outdated() {
		t.Errorf("%s does not work", h)
	}
	if New("correct horse").String() == h.String() {
		t.Error("two hashes with one salt")
	}
	if !New("cafe\u0301 \u00a0x").Matches("caf\u00e9  x") {
		t.Error("the same password in another Unicode form does not match")
	}
}

// reference is the hash of "river stone" as the reference implementation of
// argon2 prints it.
const reference = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$Ja6zscPjU+/AG2XAq0ifI/NYcZyMIrkSGuwrrRtM5E4"

func TestParse(t *testing.T) {
	const good = reference
	h, err := Parse(good)
	if err != nil || !h.Outdated() || !h.Matches("river stone") {
		t.Fatalf("reference hash: %v, outdated %v", err, h.Outdated())
	}
	for _, bad := range []string{
		"", "x", "$2b$12$abc", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=4000000", 1), strings.Replace(good, "m=64", "m=7", 1), strings.Replace(good, "t=2", "t=0", 1),
		strings.Replace(good, "t=2", "t=99", 1), strings.Replace(good, "p=1", "p=0", 1), strings.Replace(good, "p=1", "p=1,x", 1),
		strings.Replace(good, "c29tZXNhbHQ", "c29t", 1), strings.Replace(good, "c29tZXNhbHQ", "c29*", 1),
		good + "$", good + "*", strings.Replace(good, "m=64", "m=064", 1),
	} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		password string
		ok       bool
	}{
		{"correct horse", true},
		{"Zugspitze 1893", true},
		{"密码密码安全测试吧", true},
		{"bench-pass", true},
		{"short", false},
		{"ann@example.org", false},
		{"ann-2024!", false},
		{"password123", false},
		{"Passwort1!", false},
		{"12345678", false},
		{"87654321", false},
		{"qwertyuiop", false},
		{"aaaaaaaaaa", false},
		{"abababab", false},
		{"line\nbreak here", false},
		{"bad\xffbytes here", false},
		{strings.Repeat("long and ", 200), false},
	} {
		if err := Check(tt.password, "ann@example.org"); (err == nil) != tt.ok {
			t.Errorf("%.20q: %v, want ok %v", tt.password, err, tt.ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(reference)
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := Parse(s); err == nil && h.String() != s {
			t.Fatalf("%q written as %q", s, h)
		}
	})
}
