package imapd

import (
	"bytes"
	"io"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/mail/mimeindex"
)

const (
	// headerKept is the longest header block kept with the facts; one that is
	// as long may be cut off and is read from the body.
	headerKept = 64 << 10
	// inMemory is the largest decoded part that is held to know its size;
	// larger ones are decoded twice.
	inMemory = 1 << 20
)

// fromFacts reports whether a section needs no body.
func (f *fetcher) fromFacts(s *fetchSection, facts *session.Facts) bool {
	if facts == nil {
		return false
	}
	switch {
	case headerOnly(s):
		return wholeHeader(facts)
	case s.whole():
		// Other items may have asked for the facts; for this one there need be
		// no structure among them.
		return false
	case s.binary:
		return session.Part(f.idx, s.Part) == nil // what does not exist is not read
	}
	r, ok := session.Locate(f.idx, &s.Section)
	return !ok || r.Size == 0
}

// section writes one section. Its error means that the message could not be
// given whole; the response stays readable.
func (f *fetcher) section(m *session.Numbered, facts *session.Facts, s *fetchSection) error {
	if s.binary {
		return f.binarySection(m, s)
	}
	e := f.c.enc
	e.Raw(s.label).SP()
	if headerOnly(s) && wholeHeader(facts) {
		b := facts.Header
		if s.Kind != session.SectionHeader {
			b = filtered(b, s)
		}
		e.Bytes(clipBytes(b, s))
		return nil
	}
	r := session.Range{Size: m.Size}
	if !s.whole() {
		var ok bool
		if r, ok = session.Locate(f.idx, &s.Section); !ok {
			e.Nil()
			return nil
		}
	}
	if f.body == nil { // nothing is there to be read
		e.Bytes([]byte{})
		return nil
	}
	if s.Kind == session.SectionFields || s.Kind == session.SectionFieldsNot {
		return f.fields(r, s)
	}
	r.Size = max(0, min(r.Size, f.body.Size()-r.Offset))
	if s.partial {
		off := min(s.off, r.Size)
		r.Offset, r.Size = r.Offset+off, min(s.count, r.Size-off)
	}
	e.BeginLiteral(r.Size, false)
	return e.ReadChunks(io.NewSectionReader(f.body, r.Offset, r.Size), r.Size, false)
}

func clipBytes(b []byte, s *fetchSection) []byte {
	if !s.partial {
		return b
	}
	b = b[min(s.off, int64(len(b))):]
	return b[:min(s.count, int64(len(b)))]
}

// filtered picks header fields from a header block in memory.
func filtered(header []byte, s *fetchSection) []byte {
	out := make([]byte, 0, 512)
	for f := range mimeindex.HeaderFields(header) {
		if s.Wants(f.Name) {
			out = append(out, f.Raw...)
		}
	}
	if n := len(out); n > 0 && out[n-1] != '\n' {
		out = append(out, '\r', '\n')
	}
	return append(out, '\r', '\n')
}

// fields writes header fields from the body: once to know how many bytes they
// are, once to send them, so that no header is too long to be served.
func (f *fetcher) fields(r session.Range, s *fetchSection) error {
	var size int64
	err := session.FilterFields(io.NewSectionReader(f.body, r.Offset, r.Size), &s.Section, func(b []byte) error {
		size += int64(len(b))
		return nil
	})
	e := f.c.enc
	if err != nil {
		e.Nil()
		return err
	}
	skip, left := int64(0), size
	if s.partial {
		skip = min(s.off, size)
		left = min(s.count, size-skip)
	}
	e.BeginLiteral(left, false)
	fill, write := newCutter(skip, left, e.Chunk)
	err = session.FilterFields(io.NewSectionReader(f.body, r.Offset, r.Size), &s.Section, write)
	fill()
	return err
}

// newCutter makes a writer that passes on the bytes after skip, left of them,
// and a function that fills up what did not come.
func newCutter(skip, left int64, chunk func([]byte)) (fill func(), write func([]byte) error) {
	write = func(b []byte) error {
		if n := min(skip, int64(len(b))); n > 0 {
			b, skip = b[n:], skip-n
		}
		if n := min(left, int64(len(b))); n > 0 {
			chunk(b[:n])
			left -= n
		}
		return nil
	}
	fill = func() {
		for ; left > 0; left-- {
			chunk([]byte{' '})
		}
	}
	return fill, write
}

// errUnknownCTE answers BINARY for a part whose encoding nobody knows (RFC 3516 section 4.3).
var errUnknownCTE = &imap.Error{
	Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeUnknownCTE, Text: "Unknown transfer encoding",
}

// binarySection writes BINARY or BINARY.SIZE: a part without its transfer encoding.
func (f *fetcher) binarySection(m *session.Numbered, s *fetchSection) error {
	e := f.c.enc
	e.Raw(s.label).SP()
	r, encoding := session.Range{Size: m.Size}, ""
	if len(s.Part) > 0 {
		p := session.Part(f.idx, s.Part)
		if p == nil {
			if s.size {
				e.Raw("0")
			} else {
				e.Nil()
			}
			return nil
		}
		r = session.Range{Offset: p.BodyOffset, Size: p.BodySize}
		if len(p.Children) == 0 && p.Embedded == nil {
			encoding = p.Encoding
		}
	}
	open := func() (io.Reader, bool) {
		return session.Decoded(io.NewSectionReader(f.body, r.Offset, r.Size), encoding)
	}
	dec, ok := open()
	if !ok {
		if s.size {
			e.Raw("0")
		} else {
			e.Nil()
		}
		return errUnknownCTE
	}
	head, err := io.ReadAll(io.LimitReader(dec, inMemory+1))
	size, nul := int64(len(head)), bytes.IndexByte(head, 0) >= 0
	if err == nil && size > inMemory {
		var rest int64
		var w nulFinder
		rest, err = io.Copy(&w, dec)
		size, nul = size+rest, nul || w.found
	}
	if err != nil {
		if s.size {
			e.Raw("0")
		} else {
			e.Nil()
		}
		return err
	}
	if s.size {
		e.Num(uint64(size))
		return nil
	}
	skip, left := int64(0), size
	if s.partial {
		skip = min(s.off, size)
		left = min(s.count, size-skip)
	}
	e.BeginLiteral(left, nul)
	if size <= inMemory {
		e.BinaryChunk(head[skip : skip+left])
		return nil
	}
	dec, _ = open()
	if _, err := io.CopyN(io.Discard, dec, skip); err != nil {
		dec = bytes.NewReader(nil)
	}
	return e.ReadChunks(dec, left, true)
}

// nulFinder looks for NUL in what passes.
type nulFinder struct{ found bool }

func (w *nulFinder) Write(p []byte) (int, error) {
	w.found = w.found || bytes.IndexByte(p, 0) >= 0
	return len(p), nil
}
