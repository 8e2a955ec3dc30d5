package search

import (
	"strings"
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
	i := asciiEnd(s)
	if i == len(s) {
		return lowerASCII(s)
	}
	// Text in most languages is ASCII for its greater part. A character of
	// ASCII begins anew for decomposition and folds alone, so that what is
	// between two of them can be taken by itself.
	var b strings.Builder
	b.Grow(len(s) + len(s)/8)
	for {
		for _, c := range []byte(s[:i]) {
			b.WriteByte(lower(c))
		}
		if s = s[i:]; s == "" {
			return b.String()
		}
		for i = 0; i < len(s) && s[i] >= utf8.RuneSelf; {
			i++
		}
		foldRunes(&b, s[:i])
		s = s[i:]
		i = asciiEnd(s)
	}
}

// foldRunes appends the folded form of text without ASCII.
func foldRunes(b *strings.Builder, s string) {
	for _, r := range norm.NFKD.String(cases.Fold().String(norm.NFKD.String(s))) {
		b.WriteRune(r) // U+FFFD for what is not UTF-8
	}
}

// asciiEnd is where the ASCII that s begins with ends.
func asciiEnd(s string) int {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return i
		}
	}
	return len(s)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func lowerASCII(s string) string {
	for i := range len(s) {
		if s[i] != lower(s[i]) {
			b := []byte(s)
			for ; i < len(b); i++ {
				b[i] = lower(b[i])
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

// classAt is the class of the character that begins at i, and its length in
// bytes: a separator of none at the end.
func classAt(text string, i int) (class, int) {
	if i == len(text) {
		return separator, 0
	}
	if c := text[i]; c < utf8.RuneSelf {
		if c = lower(c); 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return letter, 1
		}
		return separator, 1
	}
	r, n := utf8.DecodeRuneInString(text[i:])
	return classOf(r), n
}

// classOf is the class of a character beyond ASCII.
func classOf(r rune) class {
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
		c, n := classAt(text, i)
		switch c {
		case separator:
			i += n
		case letter:
			end := i + n
			for end < len(text) {
				c, n := classAt(text, end)
				if c != letter {
					break
				}
				end += n
			}
			pieces(text[i:end], fn)
			i = end
		case unspaced:
			next := i + n
			end := next // the last of its run stands alone, so that it is found alone
			if c, n := classAt(text, next); c == unspaced {
				end += n
			}
			fn(text[i:end])
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
