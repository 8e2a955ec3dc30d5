package mimeindex

import (
	"bytes"
	"iter"
)

// HeaderField is one field of a header block.
type HeaderField struct {
	Raw   []byte // the bytes of the field with folding and line breaks; a message may end without one
	Name  []byte // as written; nil where the line is no field
	Value []byte // raw, all after the colon but for the line break at the end
}

// HeaderFields goes through the fields of a header block up to the empty line.
// Lines that are no field come with a nil Name, so that the Raw of all
// are the block. The slices are parts of header.
func HeaderFields(header []byte) iter.Seq[HeaderField] {
	return func(yield func(HeaderField) bool) {
		for len(header) > 0 {
			n := lineEnd(header)
			if isBlank(header[:n]) {
				return
			}
			for n < len(header) && isWSP(header[n]) {
				n += lineEnd(header[n:])
			}
			f := HeaderField{Raw: header[:n:n]}
			if c := colon(f.Raw); c >= 0 {
				f.Name = bytes.TrimRight(f.Raw[:c], " \t")
				f.Value = trimEOL(f.Raw[c+1:])
			}
			if !yield(f) {
				return
			}
			header = header[n:]
		}
	}
}

// lineEnd is the length of the first line of b with its line break.
func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

func isWSP(c byte) bool { return c == ' ' || c == '\t' }

func isBlank(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

func trimEOL(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
		if n := len(b); n > 0 && b[n-1] == '\r' {
			b = b[:n-1]
		}
	}
	return b
}

// colon is where the colon after a field name is (RFC 5322 sections 2.2 and
// 4.5.8), -1 where the line does not begin with a name.
func colon(line []byte) int {
	name := 0
	for name < len(line) && line[name] > ' ' && line[name] < 0x7f && line[name] != ':' {
		name++
	}
	i := name
	for i < len(line) && isWSP(line[i]) {
		i++
	}
	if name == 0 || i == len(line) || line[i] != ':' {
		return -1
	}
	return i
}

// Unfold makes one line of a field's raw value (RFC 5322 section 2.2.3): each
// line break with the white space after it becomes a space, stray line breaks
// and NUL vanish, and the white space around it goes.
func Unfold(value []byte) string {
	value = bytes.Trim(value, " \t\r\n\x00")
	if bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, '\r') < 0 && bytes.IndexByte(value, 0) < 0 {
		return string(value)
	}
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case '\r', 0:
		case '\n':
			if i+1 < len(value) && isWSP(value[i+1]) {
				out = append(out, ' ')
				i++
			}
		default:
			out = append(out, c)
		}
	}
	return string(out)
}
