package delivery

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// maxReceived is the number of Received fields that means a loop (RFC 5321
// section 6.3 asks for 100 at least).
const maxReceived = 100

// headerEditor passes a message through to out and works on the header on its
// way: it counts Received, drops Return-Path and, of submitted mail, Bcc (RFC
// 6409 section 8 lets a submission server complete what a client left out),
// and adds Date and Message-ID where a submitted message lacks them. It keeps
// no more than the beginning of a line. After the header it only copies.
type headerEditor struct {
	out        io.Writer
	submission bool
	hostname   string
	id         string
	date       time.Time

	done     bool   // past the header
	inLine   bool   // the line's beginning has been judged
	drop     bool   // the field is left out
	head     []byte // the line's beginning while it is too short to judge
	buf      []byte // output not yet written, up to headerPiece
	received int
	hasDate  bool
	hasID    bool
}

// judged is how much of a line is enough to know the field: the longest name
// that matters is shorter.
const judged = 16

// headerPiece is what is gathered of a header before it is written on: most
// headers go out in one piece.
const headerPiece = 4 << 10

// Write passes on a piece of the message.
func (h *headerEditor) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && !h.done {
		if !h.inLine {
			p = h.fill(p)
			if !h.enough() {
				break // more of the line is to come
			}
			if err := h.judge(); err != nil {
				return 0, err
			}
			continue
		}
		line := p
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			line = p[:i+1]
			h.inLine = false
		}
		p = p[len(line):]
		if err := h.pass(line); err != nil {
			return 0, err
		}
	}
	if len(p) > 0 {
		if _, err := h.out.Write(p); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// fill moves the beginning of a line into head and returns what is left of p.
func (h *headerEditor) fill(p []byte) []byte {
	want := min(judged-len(h.head), len(p))
	if i := bytes.IndexByte(p[:want], '\n'); i >= 0 {
		want = i + 1
	}
	h.head = append(h.head, p[:want]...)
	return p[want:]
}

func (h *headerEditor) enough() bool {
	n := len(h.head)
	return n >= judged || n > 0 && h.head[n-1] == '\n'
}

// judge decides on the line that begins with head and passes head on.
func (h *headerEditor) judge() error {
	head := h.head
	h.head = h.head[:0]
	h.inLine = head[len(head)-1] != '\n'
	switch {
	case bytes.Equal(head, []byte("\r\n")):
		return h.end("\r\n")
	case head[0] == ' ' || head[0] == '\t': // belongs to the field before
		return h.pass(head)
	}
	name, _, colon := bytes.Cut(head, []byte(":"))
	name = bytes.TrimRight(name, " \t") // RFC 5322 section 4.5.8
	if !isFieldName(name) || !colon && len(head) < judged {
		if h.submission { // a body without a header, or without the empty line
			return h.end("\r\n" + string(head))
		}
		return h.end(string(head))
	}
	h.drop = false
	if colon {
		switch {
		case named(name, "Received"):
			if h.received++; h.received > maxReceived {
				return &Error{Code: 554, Enhanced: [3]int{5, 4, 6}, Message: "Message has been in a loop"}
			}
		case named(name, "Return-Path"):
			h.drop = true
		case named(name, "Bcc"), named(name, "Resent-Bcc"):
			h.drop = h.submission
		case named(name, "Date"):
			h.hasDate = true
		case named(name, "Message-ID"):
			h.hasID = true
		}
	}
	return h.pass(head)
}

// pass takes a piece of a line into the output, unless its field is dropped.
func (h *headerEditor) pass(b []byte) error {
	if h.drop {
		return nil
	}
	h.buf = append(h.buf, b...)
	if len(h.buf) < headerPiece {
		return nil
	}
	return h.flush()
}

// flush writes out what pass has gathered.
func (h *headerEditor) flush() error {
	if len(h.buf) == 0 {
		return nil
	}
	_, err := h.out.Write(h.buf)
	h.buf = h.buf[:0]
	return err
}

// end adds what is missing and goes over to the body, which begins with b.
func (h *headerEditor) end(b string) error {
	h.done, h.drop = true, false
	h.complete()
	h.buf = append(h.buf, b...)
	return h.flush()
}

// complete adds the fields that submitted mail has to have (RFC 6409 section 8).
func (h *headerEditor) complete() {
	if !h.submission {
		return
	}
	if !h.hasDate {
		h.buf = fmt.Appendf(h.buf, "Date: %s\r\n", h.date.Format(dateFormat))
	}
	if !h.hasID {
		h.buf = fmt.Appendf(h.buf, "Message-ID: <%s@%s>\r\n", h.id, h.hostname)
	}
}

// Close passes on what is held back, and completes a header that the message
// ends in.
func (h *headerEditor) Close() error {
	if len(h.head) > 0 {
		if err := h.judge(); err != nil {
			return err
		}
	}
	if h.done {
		return nil
	}
	if h.inLine && !h.drop && h.submission { // the message ends within a line
		h.buf = append(h.buf, "\r\n"...)
	}
	h.complete()
	return h.flush()
}

// isFieldName reports whether b is a field name (RFC 5322 section 2.2).
func isFieldName(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0
}

// named compares a field name without case.
func named(b []byte, name string) bool {
	return len(b) == len(name) && strings.EqualFold(string(b), name)
}
