package modules

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Index answers which modules a device's modalias asks for.
//
// A pattern of modules.alias begins with its bus and a colon (pci:, usb:,
// acpi*:...); patterns are kept by that text, so that a device is compared
// with those of its own bus and not with all of some twenty thousand.
type Index struct {
	byBus map[string][]alias
	wild  []alias // the bus itself is a pattern
}

type alias struct{ pattern, module string }

// ReadIndex reads a modules.alias file: lines of "alias PATTERN MODULE".
func ReadIndex(r io.Reader) (*Index, error) {
	x := &Index{byBus: map[string][]alias{}}
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) != 3 || f[0] != "alias" {
			continue // comments
		}
		a := alias{pattern: f[1], module: f[2]}
		bus, _, _ := strings.Cut(a.pattern, ":")
		if strings.ContainsAny(bus, "*?[") {
			x.wild = append(x.wild, a)
		} else {
			x.byBus[bus] = append(x.byBus[bus], a)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read module aliases: %w", err)
	}
	return x, nil
}

// Modules returns the modules that modalias asks for, each once.
func (x *Index) Modules(modalias string) []string {
	bus, _, _ := strings.Cut(modalias, ":")
	var out []string
	seen := map[string]bool{}
	for _, list := range [][]alias{x.byBus[bus], x.wild} {
		for _, a := range list {
			if !seen[a.module] && match(a.pattern, modalias) {
				seen[a.module] = true
				out = append(out, a.module)
			}
		}
	}
	return out
}

// match reports whether s fits pattern, where * stands for any text, ? for any
// octet and [...] for one of a set with ranges. It is fnmatch(3) without flags
// as the kernel's tools use it: unlike in path.Match, * goes across slashes,
// which occur in the names that firmware gives machines.
func match(pattern, s string) bool {
	// star and mark are where to go on when what follows the latest * turns
	// out not to fit: with the * having taken one more octet.
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, mark = p, i
				p++
				continue
			}
			if next, ok := matchOne(pattern, p, s[i]); ok {
				p, i = next, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne compares c with the element of pattern at p and returns where the
// next element begins.
func matchOne(pattern string, p int, c byte) (next int, ok bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		end := strings.IndexByte(pattern[p:], ']')
		if end < 0 {
			return p + 1, c == '['
		}
		set := pattern[p+1 : p+end]
		for len(set) > 0 {
			lo, hi := set[0], set[0]
			set = set[1:]
			if len(set) >= 2 && set[0] == '-' {
				hi, set = set[1], set[2:]
			}
			if lo <= c && c <= hi {
				return p + end + 1, true
			}
		}
		return 0, false
	}
	return p + 1, pattern[p] == c
}
