// Package keymap gives the keyboard at the box's screen the layout that is
// printed on its keys.
//
// The kernel starts with the layout of the United States. A layout here is
// three rows of letters for each of plain, Shift and AltGr, in the order of the
// keys, and is turned into entries of the kernel's key tables. The other keys
// are the same everywhere and are left alone.
package keymap

import (
	"fmt"
	"os"
	"unicode"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of ioctl_console(2).
const (
	kdSetMode  = 0x4b45 // KDSKBMODE
	kdSetEntry = 0x4b47 // KDSKBENT
	modeUTF8   = 3      // K_UNICODE: entries may be any code point
)

// Key tables of the kernel, by the modifiers held.
const (
	plain = 0
	shift = 1
	altGr = 2
	ctrl  = 4
)

// Types of the values in key tables (linux/keyboard.h), in the high octet.
const (
	typeLatin  = 0
	typeDead   = 13
	typeLetter = 11 // as Latin, and Caps Lock counts
	hole       = 0x0200
	// codePoint is what values beyond Latin 1 are combined with.
	codePoint = 0xf000
)

// entry is struct kbentry.
type entry struct {
	table, key byte
	value      uint16
}

// rowKeys are the key codes of the rows of a layout, from the left: digits,
// and the three rows of letters with the keys that national keyboards have
// beside them.
func rowKeys() [4][]byte {
	return [4][]byte{
		{41, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
		{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27},
		{30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 43},
		{86, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53},
	}
}

// Load puts the layout in force on all virtual terminals; tty is one of them.
func Load(tty *os.File, layout string) error {
	list, err := entries(layout)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetInt(int(tty.Fd()), kdSetMode, modeUTF8); err != nil {
		return fmt.Errorf("keyboard of %s: %w", tty.Name(), err)
	}
	for _, e := range list {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, tty.Fd(), kdSetEntry, uintptr(unsafe.Pointer(&e))); errno != 0 {
			return fmt.Errorf("keyboard of %s: key %d: %w", tty.Name(), e.key, errno)
		}
	}
	return nil
}

// entries are what to tell the kernel for a layout.
func entries(name string) ([]entry, error) {
	l, ok := layouts()[name]
	if !ok {
		return nil, fmt.Errorf("no keyboard layout %q", name)
	}
	var list []entry
	for row, keys := range rowKeys() {
		tables := [][]rune{[]rune(l.plain[row]), []rune(l.shift[row]), []rune(l.altGr[row])}
		for i, key := range keys {
			at := func(table int) rune {
				if i < len(tables[table]) {
					return tables[table][i]
				}
				return ' '
			}
			letter := unicode.IsLower(at(plain)) && unicode.ToUpper(at(plain)) == at(shift)
			for _, table := range []byte{plain, shift, altGr} {
				list = append(list, entry{table, key, value(at(int(table)), letter && table != altGr)})
			}
			control := uint16(hole)
			if c := at(plain); c >= 'a' && c <= 'z' {
				control = uint16(c - 'a' + 1)
			}
			list = append(list, entry{ctrl, key, control})
		}
	}
	return list, nil
}

// value is the kernel's value for a letter of a layout.
func value(r rune, letter bool) uint16 {
	for i, dead := range []rune(deadKeys) {
		if r == dead {
			return typeDead<<8 | uint16(i)
		}
	}
	switch {
	case r == ' ':
		return hole
	case r > unicode.MaxLatin1:
		return uint16(r) ^ codePoint
	case letter:
		return typeLetter<<8 | uint16(r)
	}
	return typeLatin<<8 | uint16(r)
}
