// Package chattest reads conversations with a protocol server that are written
// down as data files, for the tests of the servers. A file has one instruction
// a line: a word, and what belongs to it. What the words mean beyond those
// below is the server's test's own.
//
//	# a comment
//	C: line          the client sends a line with CR LF
//	c: "go string"   the client sends exactly these bytes, "x"*1000 repeated
//	S: pattern       the server's next line; * stands for anything
package chattest

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// Line is one instruction.
type Line struct {
	Where string // file and line, for messages
	Word  string
	Rest  string
}

// Read gives the instructions of a file, without comments and empty lines.
func Read(t testing.TB, file string) []Line {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []Line
	n := 0
	for l := range strings.Lines(string(text)) {
		n++
		word, rest, _ := strings.Cut(strings.TrimSuffix(l, "\n"), " ")
		if word != "" && word[0] != '#' {
			lines = append(lines, Line{file + ":" + strconv.Itoa(n), word, rest})
		}
	}
	return lines
}

// Quoted reads the "go strings" of the rest of an instruction, each with an
// optional *count, and gives them as one.
func (l Line) Quoted(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for s := strings.TrimSpace(l.Rest); s != ""; s = strings.TrimSpace(s) {
		prefix, err := strconv.QuotedPrefix(s)
		if err != nil {
			t.Fatalf("%s: %v", l.Where, err)
		}
		text, err := strconv.Unquote(prefix)
		if err != nil {
			t.Fatalf("%s: %v", l.Where, err)
		}
		s = s[len(prefix):]
		n := 1
		if strings.HasPrefix(s, "*") {
			count, rest, _ := strings.Cut(s[1:], " ")
			if n, err = strconv.Atoi(count); err != nil {
				t.Fatalf("%s: %v", l.Where, err)
			}
			s = rest
		}
		b.WriteString(strings.Repeat(text, n))
	}
	return b.String()
}

// Matches reports whether got is what the pattern in the rest of an
// instruction describes.
func (l Line) Matches(got string) bool {
	parts := strings.Split(l.Rest, "*")
	if len(parts) == 1 {
		return got == l.Rest
	}
	got, ok := strings.CutPrefix(got, parts[0])
	for _, p := range parts[1 : len(parts)-1] {
		if ok {
			_, got, ok = strings.Cut(got, p)
		}
	}
	return ok && strings.HasSuffix(got, parts[len(parts)-1])
}
