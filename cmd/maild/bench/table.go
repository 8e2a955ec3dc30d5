package main

import (
	"fmt"
	"io"
	"strings"
)

// table prints rows as they come, so that a run cut short has shown what it found.
type table struct {
	w      io.Writer
	widths []int
}

func newTable(w io.Writer) *table { return &table{w: w} }

func (t *table) section(title string) {
	fmt.Fprintf(t.w, "\n## %s\n", title)
	t.widths = nil
}

func (t *table) note(format string, args ...any) { fmt.Fprintf(t.w, format+"\n", args...) }

// head starts a table; a column is as wide as its title, at least ten.
func (t *table) head(titles ...string) {
	t.widths = t.widths[:0]
	rule := make([]string, len(titles))
	for i, s := range titles {
		w := max(len(s), 10)
		if i == 0 {
			w = max(w, 34)
		}
		t.widths = append(t.widths, w)
		rule[i] = strings.Repeat("-", w)
	}
	fmt.Fprintln(t.w)
	t.row(titles...)
	t.row(rule...)
}

func (t *table) row(cells ...string) {
	var b strings.Builder
	b.WriteByte('|')
	for i, c := range cells {
		w := 10
		if i < len(t.widths) {
			w = t.widths[i]
		}
		if i == 0 {
			fmt.Fprintf(&b, " %-*s |", w, c)
		} else {
			fmt.Fprintf(&b, " %*s |", w, c)
		}
	}
	fmt.Fprintln(t.w, b.String())
}
