package search

import (
	"bytes"
	"unicode/utf8"
)

// place says where in a word a part of the sought text must lie.
type place uint8

const (
	anywhere place = iota
	atStart
	atEnd
	whole
)

// part is a part of the sought text that lies within one word.
type part struct {
	text []byte
	at   place
}

func (p part) matches(word []byte) bool {
	switch p.at {
	case atStart:
		return bytes.HasPrefix(word, p.text)
	case atEnd:
		return bytes.HasSuffix(word, p.text)
	case whole:
		return bytes.Equal(word, p.text)
	}
	return bytes.Contains(word, p.text)
}

// plan turns sought text into what its words must look like. With exact, a
// message has the text if and only if it has a word that matches the one
// part; without, a message that lacks any part does not have the text, and
// one that has all may. No parts: nothing can be said.
func plan(needle string) (parts []part, exact bool) {
	needle = Fold(needle)
	type run struct {
		text  string
		class class
	}
	var runs []run
	for i := 0; i < len(needle); {
		c, n := classAt(needle, i)
		end := i + n
		for end < len(needle) {
			next, n := classAt(needle, end)
			if next != c {
				break
			}
			end += n
		}
		runs = append(runs, run{needle[i:end], c})
		i = end
	}
	exact = len(runs) == 1
	for i, r := range runs {
		first, last := i == 0, i == len(runs)-1
		switch r.class {
		case letter:
			p := part{[]byte(r.text), anywhere}
			switch {
			case len(r.text) > maxPart:
				p.text, exact = p.text[:boundary(r.text, maxPart)], false
			case first && last:
			case first:
				p.at = atEnd
			case last:
				p.at = atStart
			default:
				p.at = whole
			}
			parts = append(parts, p)
		case unspaced:
			n := len(parts)
			words(r.text, func(w string) {
				switch {
				case utf8.RuneCountInString(w) == 2:
					parts = append(parts, part{[]byte(w), whole})
				case len(parts) == n: // a character by itself
					parts = append(parts, part{[]byte(w), anywhere})
				}
			})
		}
	}
	return parts, exact && len(parts) == 1
}
