package imapd

import (
	"strconv"
	"strings"

	"pillarbox/appliance/mail/imapd/imapwire"
	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

const (
	// maxSections bounds the sections of one FETCH: each may read the body.
	maxSections = 1000
	// maxPartDepth bounds the numbers of one part: no message is nested deeper
	// than the index tells of.
	maxPartDepth = 1000
	// maxFields bounds the field names of one section.
	maxFields = 1000
)

// fetchWant is what a FETCH asks for (RFC 9051 section 6.4.5).
type fetchWant struct {
	flags, uid, internalDate, size bool
	envelope, body, bodyStructure  bool
	modseq                         bool // RFC 7162
	emailID, threadID              bool // RFC 8474
	saveDate                       bool // RFC 8514
	preview                        bool // RFC 8970
	sections                       []*fetchSection

	changedSince store.ModSeq // RFC 7162; useChanged says that it was there
	useChanged   bool
	vanished     bool
	lo, hi       int64 // RFC 9394: only these of the messages; 0: all
}

// fetchSection is a part of the message's bytes.
type fetchSection struct {
	session.Section
	label   string // as it is answered: BODY[1.TEXT]<0>
	peek    bool
	binary  bool // BINARY: without transfer encoding (RFC 3516)
	size    bool // BINARY.SIZE
	partial bool
	off     int64
	count   int64
}

// whole reports whether the section is all of the message.
func (s *fetchSection) whole() bool { return len(s.Part) == 0 && s.Kind == session.SectionBody }

// fetchItems takes what follows the set of a FETCH.
func (c *conn) fetchItems() *fetchWant {
	d := c.dec
	w := &fetchWant{}
	if d.Peek() == '(' {
		d.List(false, func() { c.fetchItem(w, false) })
	} else {
		c.fetchItem(w, true)
	}
	return w
}

// fetchItem takes one item; alone says that a macro is allowed.
func (c *conn) fetchItem(w *fetchWant, alone bool) {
	d := c.dec
	name := d.ItemName()
	if d.Err() != nil {
		return
	}
	switch name {
	case "FLAGS":
		w.flags = true
	case "UID":
		w.uid = true
	case "INTERNALDATE":
		w.internalDate = true
	case "RFC822.SIZE":
		w.size = true
	case "ENVELOPE":
		w.envelope = true
	case "BODYSTRUCTURE":
		w.bodyStructure = true
	case "MODSEQ":
		w.modseq = true
	case "EMAILID":
		w.emailID = true
	case "THREADID":
		w.threadID = true
	case "SAVEDATE":
		w.saveDate = true
	case "PREVIEW":
		w.preview = true
		if d.Peek() == ' ' {
			c.previewModifier()
		}
	case "RFC822":
		w.section(d, &fetchSection{label: "RFC822"})
	case "RFC822.HEADER":
		w.section(d, &fetchSection{label: "RFC822.HEADER", peek: true, Section: session.Section{Kind: session.SectionHeader}})
	case "RFC822.TEXT":
		w.section(d, &fetchSection{label: "RFC822.TEXT", Section: session.Section{Kind: session.SectionText}})
	case "BODY", "BODY.PEEK":
		if d.Peek() != '[' {
			if name != "BODY" {
				d.Fail("Section expected")
			}
			w.body = true
			return
		}
		s := &fetchSection{peek: name == "BODY.PEEK"}
		s.label = "BODY" + takeSection(d, &s.Section)
		c.partial(s)
		w.section(d, s)
	case "BINARY", "BINARY.PEEK", "BINARY.SIZE":
		s := &fetchSection{binary: true, peek: name != "BINARY", size: name == "BINARY.SIZE"}
		label := binarySection(d, &s.Section)
		if s.size {
			s.label = "BINARY.SIZE" + label
		} else {
			s.label = "BINARY" + label
			c.partial(s)
		}
		w.section(d, s)
	case "ALL", "FAST", "FULL":
		if !alone {
			d.Fail("A macro must stand alone")
			return
		}
		w.flags, w.internalDate, w.size = true, true, true
		w.envelope = name != "FAST"
		w.body = name == "FULL"
	default:
		d.Fail("Unknown FETCH item")
	}
}

// previewModifier takes (LAZY), which changes nothing: previews are at hand (RFC 8970 section 3.1).
func (c *conn) previewModifier() {
	d := c.dec
	if !d.NextIs(" (LAZY)") {
		return
	}
	d.SP()
	d.List(false, func() { d.Keyword() })
}

func (w *fetchWant) section(d *imapwire.Decoder, s *fetchSection) {
	if d.Err() != nil {
		return
	}
	if len(w.sections) >= maxSections {
		d.Fail("Too many sections")
		return
	}
	for _, other := range w.sections {
		if other.label == s.label && other.count == s.count {
			other.peek = other.peek && s.peek
			return // asked for twice
		}
	}
	w.sections = append(w.sections, s)
}

// partNumbers takes the numbers of a part and the dot before a specifier.
func partNumbers(d *imapwire.Decoder, label *strings.Builder) (part []int, more bool) {
	for d.IsDigit() {
		n := d.Number()
		if n == 0 || n > 1<<30 || len(part) >= maxPartDepth {
			d.Fail("Bad part number")
			return nil, false
		}
		part = append(part, int(n))
		label.WriteString(strconv.Itoa(int(n)))
		if !d.Accept('.') {
			return part, false
		}
		label.WriteByte('.')
	}
	return part, true
}

// takeSection takes "[...]" (RFC 9051 section 9, section) and returns how it is answered.
func takeSection(d *imapwire.Decoder, s *session.Section) string {
	var label strings.Builder
	label.WriteByte('[')
	d.Expect('[')
	if d.Accept(']') {
		return "[]"
	}
	part, more := partNumbers(d, &label)
	s.Part = part
	if more && d.Err() == nil {
		name := d.ItemName()
		label.WriteString(name)
		switch name {
		case "HEADER":
			s.Kind = session.SectionHeader
		case "TEXT":
			s.Kind = session.SectionText
		case "MIME":
			s.Kind = session.SectionMIME
			if len(part) == 0 {
				d.Fail("MIME needs a part")
			}
		case "HEADER.FIELDS", "HEADER.FIELDS.NOT":
			s.Kind = session.SectionFields
			if name == "HEADER.FIELDS.NOT" {
				s.Kind = session.SectionFieldsNot
			}
			d.SP()
			label.WriteString(" (")
			d.List(false, func() {
				f := d.AString()
				if f == "" || len(s.Fields) >= maxFields {
					d.Fail("Bad header field name")
				}
				if len(s.Fields) > 0 {
					label.WriteByte(' ')
				}
				s.Fields = append(s.Fields, f)
				label.WriteString(fieldLabel(f))
			})
			label.WriteByte(')')
		default:
			d.Fail("Unknown section")
		}
	}
	d.Expect(']')
	label.WriteByte(']')
	return label.String()
}

// fieldLabel writes a field name as an astring.
func fieldLabel(f string) string {
	if imapwire.IsAtom(f) {
		return f
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(f) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
		case c < 0x20 || c >= 0x7f:
			c = '?'
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String()
}

// binarySection takes "[part]" (RFC 3516 section 4.2).
func binarySection(d *imapwire.Decoder, s *session.Section) string {
	var label strings.Builder
	label.WriteByte('[')
	d.Expect('[')
	if d.Peek() != ']' {
		part, more := partNumbers(d, &label)
		if more {
			d.Fail("Part expected")
		}
		s.Part = part
	}
	d.Expect(']')
	label.WriteByte(']')
	return label.String()
}

// partial takes <offset.count>, if it is there, and adds <offset> to the label.
func (c *conn) partial(s *fetchSection) {
	d := c.dec
	if !d.Accept('<') {
		return
	}
	s.partial = true
	s.off = int64(d.Number64())
	d.Expect('.')
	s.count = int64(d.Number64())
	if s.count == 0 {
		d.Fail("Partial count is not 0")
	}
	d.Expect('>')
	s.label += "<" + strconv.FormatInt(s.off, 10) + ">"
}

// fetchModifiers takes (CHANGEDSINCE n VANISHED PARTIAL n:m) (RFC 7162
// sections 3.1.4.1 and 3.2.6, RFC 9394 section 3.3).
func (c *conn) fetchModifiers(w *fetchWant) {
	c.dec.List(false, func() {
		switch c.dec.Keyword() {
		case "CHANGEDSINCE":
			c.dec.SP()
			w.changedSince, w.useChanged = store.ModSeq(c.dec.Number64()), true
		case "VANISHED":
			w.vanished = true
		case "PARTIAL":
			c.dec.SP()
			w.lo, w.hi = c.dec.Partial()
		default:
			c.dec.Fail("Unknown modifier")
		}
	})
}

// checkModifiers gives the errors of modifiers that do not go together.
func (c *conn) checkModifiers(cl *call, w *fetchWant) error {
	if w.vanished && (!cl.uid || !w.useChanged || !c.on.qresync) {
		return bad("VANISHED needs UID FETCH, CHANGEDSINCE and QRESYNC enabled")
	}
	if w.lo != 0 && !cl.uid {
		return bad("PARTIAL needs UID FETCH")
	}
	return nil
}
