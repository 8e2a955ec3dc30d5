package keymap

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pillarbox/appliance/config"
)

func TestEverySettingHasALayout(t *testing.T) {
	for _, name := range config.Keyboards() {
		if _, err := entries(name); err != nil {
			t.Error(err)
		}
	}
	if got, want := len(layouts()), len(config.Keyboards()); got != want {
		t.Errorf("%d layouts for %d settings", got, want)
	}
	if _, err := entries("klingon"); err == nil {
		t.Error("a layout that is not there was found")
	}
}

func TestRowsHaveALetterForEachKey(t *testing.T) {
	for name, l := range layouts() {
		for row, keys := range rowKeys() {
			for _, s := range []string{l.plain[row], l.shift[row]} {
				if n := utf8.RuneCountInString(s); n != len(keys) {
					t.Errorf("%s: %q has %d letters for %d keys", name, s, n, len(keys))
				}
			}
			if n := utf8.RuneCountInString(l.altGr[row]); n > len(keys) {
				t.Errorf("%s: %q has %d letters for %d keys", name, l.altGr[row], n, len(keys))
			}
		}
		// What addresses and passwords are made of can be typed on each.
		all := strings.Join(append(append(l.plain[:], l.shift[:]...), l.altGr[:]...), "")
		for c := '!'; c <= '~'; c++ {
			dead := map[rune]string{'`': "ˋ", '^': "ˆ", '~': "˜"}[c] // then Space
			if !strings.ContainsRune(all, c) && (dead == "" || !strings.Contains(all, dead)) {
				t.Errorf("%s cannot type %q", name, c)
			}
		}
	}
}

func TestEntries(t *testing.T) {
	at := func(layout string, table, key byte) uint16 {
		list, err := entries(layout)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.table == table && e.key == key {
				return e.value
			}
		}
		t.Fatalf("%s says nothing of key %d in table %d", layout, key, table)
		return 0
	}
	for _, c := range []struct {
		layout     string
		table, key byte
		want       uint16
	}{
		{"us", plain, 21, 0x0b00 | 'y'},
		{"de", plain, 21, 0x0b00 | 'z'},
		{"de", shift, 21, 0x0b00 | 'Z'},
		{"de", ctrl, 21, 'z' - 'a' + 1},
		{"de", plain, 26, 0x0b00 | 'ü'},
		{"de", shift, 3, '"'},
		{"de", altGr, 16, '@'},
		{"de", altGr, 18, '€' ^ 0xf000},
		{"de", plain, 41, 0x0d02},
		{"us", altGr, 16, hole},
		{"fr", plain, 2, '&'},
		{"fr", plain, 16, 0x0b00 | 'a'},
		{"fr", shift, 50, '?'},
		{"fr", ctrl, 50, hole},
		{"ch", shift, 26, 'è'},
		{"ch", plain, 26, 'ü'}, // no letter to Caps Lock: Shift gives another
	} {
		if got := at(c.layout, c.table, c.key); got != c.want {
			t.Errorf("%s, table %d, key %d: %#x, want %#x", c.layout, c.table, c.key, got, c.want)
		}
	}
}
