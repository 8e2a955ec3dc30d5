package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"pillarbox/appliance/config"
)

// show prints v as JSON, or as the table that rows writes.
func (c *ctl) show(v any, rows func(t *tabwriter.Writer)) error {
	if c.json {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	rows(t)
	return t.Flush()
}

// row writes the cells of one line.
func row(t *tabwriter.Writer, cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = fmt.Sprint(c)
		// Names come from people and peers: no control characters to a terminal.
		text[i] = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, text[i])
	}
	fmt.Fprintln(t, strings.Join(text, "\t"))
}

func size(n int64) string {
	switch {
	case n == 0:
		return "0"
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	case n < 10_000_000_000:
		return fmt.Sprintf("%d MB", n/1_000_000)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

func limit(n int64) string {
	if n == 0 {
		return "none"
	}
	return config.Size(n).String()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// count is a number of things, in the singular where there is one.
func count[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
