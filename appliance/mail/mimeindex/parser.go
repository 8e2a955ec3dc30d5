package mimeindex

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// maxBoundary is the longest boundary that is looked for. RFC 2046 section
	// 5.1.1 allows 70; some generators do not count.
	maxBoundary = 998
	// maxStart is how much of a line is held to know what it is.
	maxStart = maxBoundary + 8
	// readSize is the size of the pieces that Parse reads.
	readSize = 64 << 10
)

var errFinished = errors.New("mimeindex: written to after Finish")

// Parse reads a message to its end. Its errors are those of r.
func Parse(r io.Reader) (*Index, error) {
	p := NewParser()
	buf := make([]byte, readSize)
	for {
		n, err := r.Read(buf)
		p.Write(buf[:n])
		if err == io.EOF {
			return p.Finish()
		}
		if err != nil {
			return nil, fmt.Errorf("mimeindex: %w", err)
		}
	}
}

// Parser makes the index of a message that is written to it. It keeps no
// reference to what is written. It is not for concurrent use.
type Parser struct {
	index *Index
	stack []*frame // the open parts, the root first
	bound []int    // the frames of the stack with an open boundary
	parts int
	done  bool

	inHeader bool
	lineOpen bool   // within a line whose beginning has been judged
	start    []byte // the beginning of a line that is not judged yet
	startAt  int64  // where that line begins

	off   int64 // bytes seen
	lines int64 // line feeds seen
	prev  byte  // the last byte before off
	eol   int64 // length of the line break before the line

	head    header
	preview previewer
}

// frame is an open part.
type frame struct {
	part     Part
	embedded bool   // it is the message in its parent
	boundary string // of a multipart that is not closed yet
	lines    int64  // line feeds before its body
	last     int64  // where the part in it that came last ends
}

// NewParser makes a parser for one message.
func NewParser() *Parser {
	p := &Parser{index: &Index{}, inHeader: true}
	p.head.init()
	p.push(&frame{}, 0)
	return p
}

// Write takes the next piece of the message. It fails after Finish only.
func (p *Parser) Write(b []byte) (int, error) {
	if p.done {
		return 0, errFinished
	}
	n := len(b)
	for len(b) > 0 {
		if p.inHeader {
			b = b[p.headerBytes(b):]
		} else {
			b = b[p.bodyBytes(b):]
		}
	}
	return n, nil
}

// Finish ends the message and gives its index. The error is always nil unless
// it was called before.
func (p *Parser) Finish() (*Index, error) {
	if p.done {
		return nil, errFinished
	}
	if len(p.start) > 0 {
		p.judge()
	}
	p.closeTo(0, p.off, p.lines)
	root := p.stack[0]
	p.close(root, p.off, p.lines)
	p.done = true
	x := p.index
	x.Size, x.Lines, x.Root = p.off, p.lines, root.part
	x.Preview = p.preview.text
	x.HeaderTruncated = p.index.Root.BodyOffset > int64(len(x.Header))
	if !x.HeaderTruncated {
		x.Header = x.Header[:x.Root.BodyOffset]
	}
	p.stack, p.bound = nil, nil
	return x, nil
}

// push opens a part whose header begins at an offset.
func (p *Parser) push(f *frame, at int64) {
	f.part.HeaderOffset = at
	p.parts++
	p.stack = append(p.stack, f)
	p.inHeader = true
	// The first message header is that of the root; those of embedded ones
	// have an envelope as well.
	p.head.begin(len(p.stack) == 1 || f.embedded)
}

func (p *Parser) top() *frame { return p.stack[len(p.stack)-1] }

// pass accounts for bytes of which the last ones may end a line.
func (p *Parser) pass(b []byte) {
	p.off += int64(len(b))
	p.prev = b[len(b)-1]
}

// headerBytes takes bytes of a header, a line or less, and says how many.
func (p *Parser) headerBytes(b []byte) int {
	if p.lineOpen { // the rest of a line that is long
		n := lineEnd(b)
		p.keepHeader(b[:n])
		p.head.more(b[:n])
		p.endLine(b[:n])
		return n
	}
	if len(p.start) == 0 {
		p.startAt = p.off
		if n := lineEnd(b); b[n-1] == '\n' && n <= maxStart { // the usual: a whole line
			p.keepHeader(b[:n])
			p.countLine(b[:n])
			p.headerLine(b[:n])
			return n
		}
	}
	n := p.fill(b)
	p.keepHeader(b[:n])
	return n
}

// countLine accounts for a whole line or the end of one.
func (p *Parser) countLine(b []byte) {
	p.pass(b)
	if p.prev == '\n' {
		p.lines++
	}
}

// endLine accounts for a piece of a line, its end perhaps.
func (p *Parser) endLine(b []byte) {
	if n := len(b); b[n-1] == '\n' {
		p.eol = 1
		if n > 1 && b[n-2] == '\r' || n == 1 && p.prev == '\r' {
			p.eol = 2
		}
		p.lineOpen = false
		p.lines++
	}
	p.pass(b)
}

// fill takes bytes into the beginning of a line, and judges the line once it
// is at its end or long enough. It says how many it took.
func (p *Parser) fill(b []byte) int {
	if len(p.start) == 0 {
		p.startAt = p.off
	}
	n := min(maxStart-len(p.start), len(b))
	if i := bytes.IndexByte(b[:n], '\n'); i >= 0 {
		n = i + 1
	}
	p.start = append(p.start, b[:n]...)
	p.countLine(b[:n])
	if p.prev == '\n' || len(p.start) == maxStart {
		p.judge()
	}
	return n
}

// judge decides on the line whose beginning is held. All of it is accounted for.
func (p *Parser) judge() {
	line := p.start
	p.start = p.start[:0]
	p.lineOpen = line[len(line)-1] != '\n'
	if p.inHeader {
		p.headerLine(line)
		return
	}
	if !p.boundaryLine(line) {
		p.preview.write(line)
	}
	p.setEOL(line)
}

// setEOL notes the line break at the end of a line.
func (p *Parser) setEOL(line []byte) {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		p.eol = 1
		if n > 1 && line[n-2] == '\r' {
			p.eol = 2
		}
	}
}

// keepHeader keeps bytes of the message's own header.
func (p *Parser) keepHeader(b []byte) {
	if x := p.index; len(p.stack) == 1 && len(x.Header) < maxHeader {
		x.Header = append(x.Header, b[:min(len(b), maxHeader-len(x.Header))]...)
	}
}

// headerLine takes a line of a header, or the beginning of a long one. It is
// accounted for already.
func (p *Parser) headerLine(line []byte) {
	defer p.setEOL(line)
	if isBlank(line) {
		at := p.off
		if p.head.fields == 0 && p.head.strays > 0 { // no header at all
			at = p.top().part.HeaderOffset
		}
		p.endHeader(at)
		return
	}
	if p.boundaryLine(line) {
		return
	}
	p.head.line(line, p.startAt, p.lines)
}

// endHeader ends the header of the part on top: its body begins at an offset.
func (p *Parser) endHeader(at int64) {
	f := p.top()
	part := &f.part
	part.BodyOffset, part.BodySize = at, 0
	f.lines, f.last = p.lines, at
	if at < p.off {
		f.lines = p.head.strayLines
	}
	p.inHeader = false
	p.head.finish(part, p.index, len(p.stack) == 1, p.isDigest())
	deep := len(p.stack) > maxDepth || p.parts >= maxParts
	switch {
	case part.Is("multipart", ""):
		b := strings.TrimRight(part.Params.Get("boundary"), " \t\r\n")
		switch {
		case deep:
			opaque(part)
		case b != "" && len(b) <= maxBoundary:
			f.boundary = b
			p.bound = append(p.bound, len(p.stack)-1)
		}
	case part.isMessage():
		if deep {
			opaque(part)
			break
		}
		p.push(&frame{embedded: true}, at)
		p.head.strayLines = f.lines // for close, which ends it at the same place
		return
	}
	p.preview.begin(part)
	if at < p.off && len(p.stack) == 1 {
		p.preview.write(p.index.Header[:min(int64(len(p.index.Header)), p.off)])
	}
}

// opaque makes a leaf of a part that is not looked into.
func opaque(p *Part) {
	p.Type, p.Subtype, p.Params = "application", "octet-stream", nil
}

// isDigest reports whether the part on top is in a multipart/digest, where
// parts are messages by default (RFC 2046 section 5.1.5).
func (p *Parser) isDigest() bool {
	f := p.top()
	return !f.embedded && len(p.stack) > 1 && p.stack[len(p.stack)-2].part.Is("multipart", "digest")
}

// bodyBytes takes bytes outside of headers and says how many.
func (p *Parser) bodyBytes(b []byte) int {
	if len(p.bound) == 0 { // nothing can end this body
		p.preview.write(b)
		p.lines += int64(bytes.Count(b, newline))
		p.pass(b)
		return len(b)
	}
	if !p.lineOpen && (len(p.start) > 0 || b[0] == '-') {
		return p.fill(b)
	}
	// Run over lines to one that begins with a hyphen.
	n, lines := 0, int64(0)
	for {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			n = len(b)
			p.lineOpen = true
			break
		}
		n += i + 1
		lines++
		if n == len(b) || b[n] == '-' && (n+1 == len(b) || b[n+1] == '-') {
			p.lineOpen = false
			break
		}
	}
	p.lines += lines
	if !p.lineOpen {
		p.eol = 1
		if n > 1 && b[n-2] == '\r' || n == 1 && p.prev == '\r' {
			p.eol = 2
		}
	}
	p.preview.write(b[:n])
	p.pass(b[:n])
	return n
}

var newline = []byte{'\n'}

// boundaryLine ends parts and begins the next one if the line is a boundary of
// an open multipart. The line is accounted for already.
func (p *Parser) boundaryLine(line []byte) bool {
	if len(p.bound) == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return false
	}
	level, last := p.match(line[2:])
	if level < 0 {
		return false
	}
	// RFC 2046 section 5.1.1: the line break before a boundary is part of it.
	lines := p.lines
	if line[len(line)-1] == '\n' {
		lines--
	}
	end := p.startAt - p.eol
	if p.eol > 0 {
		lines--
	}
	p.closeTo(level, end, lines)
	f := p.stack[level]
	f.last = p.off
	p.inHeader = false
	p.preview.end()
	if last {
		f.boundary = ""
		p.bound = p.bound[:len(p.bound)-1]
		return true
	}
	if p.parts >= maxParts {
		return true
	}
	p.push(&frame{}, p.off)
	if line[len(line)-1] != '\n' {
		p.head.skipLine()
	}
	return true
}

// match finds the open multipart whose boundary the rest of a line after "--"
// is, and whether it is the last boundary; the level is -1 where there is none.
// It is enough that the line begins with the boundary (RFC 2046 section 5.1.1),
// but where a boundary begins with another one, the line as a whole decides,
// then the longer.
func (p *Parser) match(rest []byte) (level int, last bool) {
	rest = bytes.TrimRight(rest, " \t\r\n")
	level = -1
	longest := 0
	for i := len(p.bound) - 1; i >= 0; i-- {
		b := p.stack[p.bound[i]].boundary
		if len(b) <= longest || len(b) > len(rest) || string(rest[:len(b)]) != b {
			continue
		}
		tail := rest[len(b):]
		last := len(tail) >= 2 && tail[0] == '-' && tail[1] == '-'
		if len(tail) == 0 || last && len(tail) == 2 {
			return p.bound[i], last
		}
		level, longest = p.bound[i], len(b)
	}
	if level >= 0 {
		last = bytes.HasPrefix(rest[longest:], []byte("--"))
	}
	return level, last
}

// closeTo closes all parts above a level of the stack. They end at an offset
// that has so many line feeds before it.
func (p *Parser) closeTo(level int, end, lines int64) {
	if end == p.off {
		lines = p.lines
	}
	for len(p.stack) > level+1 {
		f := p.top()
		p.close(f, end, lines)
		p.stack = p.stack[:len(p.stack)-1]
		parent := p.top()
		if f.embedded {
			parent.part.Embedded = &f.part
		} else {
			parent.part.Children = append(parent.part.Children, f.part)
		}
		parent.last = max(parent.last, f.part.end())
	}
	for len(p.bound) > 0 && p.bound[len(p.bound)-1] > level {
		p.bound = p.bound[:len(p.bound)-1]
	}
}

// close ends the part on top of the stack.
func (p *Parser) close(f *frame, end, lines int64) {
	if f == p.top() && p.inHeader {
		at, stray := max(end, f.part.HeaderOffset), p.head.stray
		if p.head.strays > 0 && stray < at { // lines at the end that are no fields
			at = stray
		}
		p.endHeader(at)
		if g := p.top(); g != f { // an empty message in a message/rfc822
			p.endHeader(at)
			p.close(g, end, lines)
			p.stack = p.stack[:len(p.stack)-1]
			f.part.Embedded = &g.part
			f.last = g.part.end()
		}
	}
	if f == p.top() {
		p.preview.end()
	}
	part := &f.part
	stop := max(end, f.last, part.BodyOffset)
	part.BodySize = stop - part.BodyOffset
	if stop > end {
		lines++ // the line break before the boundary is the end of a line in the part
	}
	if part.BodySize > 0 {
		part.Lines = max(0, lines-f.lines)
	}
	if part.Is("multipart", "") && len(part.Children) == 0 {
		part.Type, part.Subtype, part.Params = "text", "plain", nil
	}
}
