package mimeindex

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

const (
	// textPiece is how much of a part is decoded at a time, bytes.
	textPiece = 1 << 20
	// textOverlap is how much of a piece comes again in the next one, about, so
	// that words at its end are found together.
	textOverlap = 4 << 10
	// maxHTML is how much of an HTML part is looked at, bytes. It cannot be
	// taken in pieces.
	maxHTML = 8 << 20
)

// Text gives the text of a message that people read, but for that of its own
// header: names of attachments, headers of the messages in it, and text parts,
// long ones in pieces that overlap. All is decoded to UTF-8; HTML is without its
// tags. The part is the one the text is of. r holds the message. Text stops
// with the first error of r or of emit.
func (x *Index) Text(r io.ReaderAt, emit func(p *Part, text string) error) error {
	t := texts{r: r, emit: emit}
	for depth, p := range x.Root.All() {
		if err := t.name(p); err != nil {
			return err
		}
		if depth > 0 && p.Envelope != nil {
			if err := t.header(p); err != nil {
				return err
			}
		}
		if p.Is("text", "") {
			if err := t.body(p); err != nil {
				return err
			}
		}
	}
	return nil
}

type texts struct {
	r    io.ReaderAt
	emit func(p *Part, text string) error
	buf  []byte
}

// read fills the buffer with bytes of the message, or fewer at its end.
func (t *texts) read(at, size int64) ([]byte, error) {
	if int64(cap(t.buf)) < size {
		t.buf = make([]byte, size)
	}
	n, err := t.r.ReadAt(t.buf[:size], at)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("mimeindex: text: %w", err)
	}
	return t.buf[:n], nil
}

func (t *texts) name(p *Part) error {
	if name := p.Filename(); name != "" {
		return t.emit(p, name)
	}
	return nil
}

// header emits the header of a message in a message, a field a line.
func (t *texts) header(p *Part) error {
	raw, err := t.read(p.HeaderOffset, min(p.BodyOffset-p.HeaderOffset, maxHeader))
	if err != nil {
		return err
	}
	var b strings.Builder
	for f := range HeaderFields(raw) {
		if f.Name != nil {
			b.Write(f.Name)
			b.WriteString(": ")
			b.WriteString(Decode(Unfold(f.Value)))
			b.WriteByte('\n')
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return t.emit(p, b.String())
}

// body emits the text of a part.
func (t *texts) body(p *Part) error {
	size := int64(textPiece)
	if p.Is("text", "html") {
		size = maxHTML
	}
	for at := p.BodyOffset; at < p.end(); {
		raw, err := t.read(at, min(p.end()-at, size))
		if err != nil {
			return err
		}
		last := at+int64(len(raw)) == p.end() || int64(len(raw)) < size || p.Is("text", "html")
		next := len(raw)
		if !last {
			// Lines are whole, so that no transfer encoding and no charset is
			// cut in the middle.
			if i := bytes.LastIndexByte(raw[len(raw)/2:], '\n'); i >= 0 {
				raw = raw[:len(raw)/2+i+1]
				next = len(raw)
			}
			if i := bytes.IndexByte(raw[len(raw)-textOverlap:len(raw)-1], '\n'); i >= 0 {
				next = len(raw) - textOverlap + i + 1
			}
		}
		if text := partText(p, raw); text != "" {
			if err := t.emit(p, text); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		at += int64(next)
	}
	return nil
}
