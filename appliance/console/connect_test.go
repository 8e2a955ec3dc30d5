package console

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"rsc.io/qr"

	"pillarbox/appliance/api/mailapi"
)

func TestConnectingOnTheConsole(t *testing.T) {
	d, _, _ := menuDrive(t)
	d.m.state.Links = []Link{{Up: true, Addresses: []string{"192.168.1.5/24", "2001:db8::5/64", "fd00::5/64", "fe80::5/64"}}}
	d.unlock()
	d.choose("Connecting mail programs")
	d.wants("mail.local", "192.168.1.5", "mail.example.org, port 993, TLS")
	d.keys("esc")
	d.choose("DNS records to set")
	d.expect("menu-dns")
	d.keys("esc")
	d.choose("Mailboxes and passwords")
	d.choose("ann@example.org")
	d.choose("Code for a phone")
	d.expect("menu-code")
	d.keys("esc")
	d.wants("Code for a phone")
}

func TestRecordOfAnAddress(t *testing.T) {
	english, err := LoadCatalogue("en")
	if err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]string{
		"198.51.100.7/24": "A 198.51.100.7", "10.1.2.3/8": "A (your public address; here 10.1.2.3)", "100.64.9.9/10": "A (your public address; here 100.64.9.9)",
		"2001:db8::1/64": "AAAA 2001:db8::1", "fe80::1/64": "", "fd12::1/64": "", "127.0.0.1/8": "", "nonsense": "",
	} {
		r, ok := addressRecord(english.T, "mail.example.org", prefix)
		if got := strings.TrimSpace(r.kind + " " + r.value); got != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", prefix, got, want)
		}
	}
}

func TestThunderbirdAccount(t *testing.T) {
	got := thunderbirdAccount("mail.example.org", mailapi.User{Address: "ann@example.org", Name: `Ann "A" É`})
	if want := `[1,[1,1],[0,"mail.example.org",993,3,1,"ann@example.org"],[[[0,"mail.example.org",465,3,1,"ann@example.org"],["ann@example.org","Ann \"A\" É"]]]]`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if !json.Valid([]byte(got)) {
		t.Error("it is not JSON")
	}
}

// A code is drawn module by module, with what fits of the blank around it.
func TestHalfBlocks(t *testing.T) {
	for _, text := range []string{"short", strings.Repeat("much longer ", 11)} {
		code, err := qr.Encode(text, qr.L)
		if err != nil {
			t.Fatal(err)
		}
		height := 24
		lines := halfBlocks(code, height)
		if len(lines) > height {
			t.Fatalf("%d lines of %d", len(lines), height)
		}
		above := min(quiet, (2*height-code.Size)/2)
		for y := range code.Size {
			for x := range code.Size {
				cell := []rune(lines[(y+above)/2])[x+quiet]
				light := []rune("█▀")
				if (y+above)%2 == 1 {
					light = []rune("█▄")
				}
				if slices.Contains(light, cell) == code.Black(x, y) {
					t.Fatalf("%q: module %d, %d is drawn as %q", text, x, y, cell)
				}
			}
		}
	}
}
