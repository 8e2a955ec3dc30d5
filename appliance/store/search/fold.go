package search

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold brings text to the form in which it is compared: case-folded and
// decomposed by compatibility, which is what i;unicode-casemap compares
// (RFC 5051), and somewhat more where a letter folds to two. Two texts are
// the same to a search when their folded forms are the same bytes. Invalid
// UTF-8 becomes U+FFFD.
func Fold(s string) string {
	ascii := true
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return lowerASCII(s)
	}
	s = norm.NFKD.String(cases.Fold().String(norm.NFKD.String(s)))
	return string([]rune(s)) // U+FFFD for what is not UTF-8
}

func lowerASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// class is what a character is to the index.
type class uint8

const (
	separator class = iota
	letter          // part of a word
	unspaced        // of a script written without spaces
)

func classOf(r rune) class {
	if r < utf8.RuneSelf {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' {
			return letter
		}
		return separator
	}
	switch {
	case r == 0x3099 || r == 0x309a: // voicing marks, which decomposition parts from their kana
		return unspaced
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
		return unspaced
	case unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
		return letter
	}
	return separator
}

const (
	// maxWord is the longest word, bytes; longer ones are cut into pieces of
	// this length that overlap by half.
	maxWord = 64
	overlap = maxWord / 2
	// maxPart is the longest text that lies whole in one piece wherever it
	// stands in a long word: the overlap, less what a cut may move to fall
	// between characters.
	maxPart = overlap - utf8.UTFMax
)

// words calls fn with each word of folded text. A word may come several
// times. The string is a part of text.
func words(text string, fn func(word string)) {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch classOf(r) {
		case separator:
			i += n
		case letter:
			end := i + n
			for end < len(text) {
				r, n := utf8.DecodeRuneInString(text[end:])
				if classOf(r) != letter {
					break
				}
				end += n
			}
			pieces(text[i:end], fn)
			i = end
		case unspaced:
			next := i + n
			r2, n2 := utf8.DecodeRuneInString(text[next:])
			if next < len(text) && classOf(r2) == unspaced {
				fn(text[i : next+n2])
			} else {
				fn(text[i:next]) // the last of its run: so that it is found alone
			}
			i = next
		}
	}
}

// pieces cuts a long word. Cuts fall between characters.
func pieces(word string, fn func(string)) {
	for len(word) > maxWord {
		fn(word[:boundary(word, maxWord)])
		word = word[boundary(word, maxWord-overlap):]
	}
	fn(word)
}

// boundary is the last place at or before n where a character begins.
func boundary(s string, n int) int {
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}
