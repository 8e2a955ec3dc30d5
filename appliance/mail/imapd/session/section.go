package session

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"pillarbox/appliance/mail/mimeindex"
)

// SectionKind says which bytes of a message or part a section means.
type SectionKind uint8

// The kinds of sections (RFC 9051 section 6.4.5).
const (
	SectionBody      SectionKind = iota // all of the message, or the body of the part
	SectionHeader                       // the header of the message, or of the message in the part
	SectionFields                       // of that header, the fields named
	SectionFieldsNot                    // of that header, all fields but those named
	SectionText                         // the message without its header
	SectionMIME                         // the header of the part
)

// Section names bytes of a message.
type Section struct {
	Part   []int // numbers of the part; none: the message itself
	Kind   SectionKind
	Fields []string
}

// Range is where bytes are in the message.
type Range struct{ Offset, Size int64 }

// Locate finds a section's bytes; for SectionFields and SectionFieldsNot those
// of the whole header. ok is false where the message has no such part.
func Locate(idx *mimeindex.Index, s *Section) (r Range, ok bool) {
	root := &idx.Root
	if len(s.Part) == 0 {
		switch s.Kind {
		case SectionBody:
			return Range{0, idx.Size}, true
		case SectionText:
			return Range{root.BodyOffset, idx.Size - root.BodyOffset}, true
		case SectionHeader, SectionFields, SectionFieldsNot:
			return Range{0, root.BodyOffset}, true
		}
		return Range{}, false
	}
	p := Part(idx, s.Part)
	if p == nil {
		return Range{}, false
	}
	switch s.Kind {
	case SectionBody:
		return Range{p.BodyOffset, p.BodySize}, true
	case SectionMIME:
		return Range{p.HeaderOffset, p.BodyOffset - p.HeaderOffset}, true
	}
	if p = p.Embedded; p == nil {
		return Range{}, false
	}
	if s.Kind == SectionText {
		return Range{p.BodyOffset, p.BodySize}, true
	}
	return Range{p.HeaderOffset, p.BodyOffset - p.HeaderOffset}, true
}

// Part finds a part by its numbers (RFC 9051 section 6.4.5): parts of a
// multipart count from 1, and a message that is no multipart has its body as
// part 1. nil where there is none.
func Part(idx *mimeindex.Index, numbers []int) *mimeindex.Part {
	p, message := &idx.Root, true
	for _, n := range numbers {
		if len(p.Children) == 0 && !message {
			if p = p.Embedded; p == nil {
				return nil
			}
		}
		switch {
		case len(p.Children) > 0:
			if n > len(p.Children) {
				return nil
			}
			p = &p.Children[n-1]
		case n != 1:
			return nil
		}
		message = false
	}
	return p
}

// FilterFields copies from a header block the fields a section names, and the
// empty line that ends a header. The block is read line by line; lines are
// passed on as they are.
func FilterFields(r io.Reader, s *Section, write func([]byte) error) error {
	br := bufio.NewReaderSize(r, 4<<10)
	keep := false
	begin := true // at the beginning of a line
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 {
			if begin {
				if b := bytes.TrimRight(line, "\r\n"); len(b) == 0 && line[len(line)-1] == '\n' {
					break // the end of the header
				}
				if line[0] != ' ' && line[0] != '\t' {
					keep = s.wants(line)
				}
			}
			begin = line[len(line)-1] == '\n'
			if keep {
				if err := write(line); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			if keep && !begin {
				if err := write([]byte("\r\n")); err != nil {
					return err
				}
			}
			break
		}
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
	}
	return write([]byte("\r\n"))
}

// wants reports whether the section holds the field that begins with this line.
func (s *Section) wants(line []byte) bool {
	name, _, colon := bytes.Cut(line, []byte{':'})
	if !colon {
		return false
	}
	return s.Wants(bytes.TrimRight(name, " \t"))
}

// Wants reports whether the section holds fields of that name; a line that is
// no field has none and cannot be asked for.
func (s *Section) Wants(name []byte) bool {
	if len(name) == 0 {
		return false
	}
	for _, f := range s.Fields {
		if len(f) == len(name) && strings.EqualFold(f, string(name)) {
			return s.Kind == SectionFields
		}
	}
	return s.Kind == SectionFieldsNot
}
