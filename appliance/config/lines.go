package config

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lines knows on which line of a TOML document each key stands.
type lines map[string]int

// newLines reads the positions of data, a document that was decoded before:
// it stops at the first thing that is not TOML. Tables in arrays are numbered
// from 1, as in user[2].address.
func newLines(data []byte) lines {
	l := make(lines)
	var p unstable.Parser
	p.Reset(data)
	count := make(map[string]int)
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table:
			table = l.note(&p, "", e.Key())
		case unstable.ArrayTable:
			name := l.note(&p, "", e.Key())
			count[name]++
			table = fmt.Sprintf("%s[%d]", name, count[name])
			l[table] = l[name]
		case unstable.KeyValue:
			l.keyValue(&p, table, e)
		}
	}
	return l
}

// keyValue notes a key and what is inside its value.
func (l lines) keyValue(p *unstable.Parser, table string, e *unstable.Node) {
	path := l.note(p, table, e.Key())
	l.value(p, path, e.Value())
}

func (l lines) value(p *unstable.Parser, path string, v *unstable.Node) {
	it := v.Children()
	switch v.Kind {
	case unstable.Array:
		for i := 1; it.Next(); i++ {
			element := fmt.Sprintf("%s[%d]", path, i)
			n := it.Node()
			if n.Raw.Length > 0 {
				l[element] = p.Shape(n.Raw).Start.Line
			}
			l.value(p, element, n)
		}
	case unstable.InlineTable:
		for it.Next() {
			l.keyValue(p, path, it.Node())
		}
	}
}

// note records where a dotted key stands and gives its path.
func (l lines) note(p *unstable.Parser, table string, it unstable.Iterator) string {
	path, line := table, 0
	for it.Next() {
		n := it.Node()
		if path != "" {
			path += "."
		}
		path += string(n.Data)
		line = p.Shape(n.Raw).Start.Line
		l[path] = line
	}
	return path
}

// of gives the line of a path, or of the nearest thing around it; 0 where
// nothing of it is in the document.
func (l lines) of(path string) int {
	for path != "" {
		if line, ok := l[path]; ok {
			return line
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return 0
		}
		path = path[:i]
	}
	return 0
}
