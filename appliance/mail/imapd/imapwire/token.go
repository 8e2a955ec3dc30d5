package imapwire

import (
	"strings"
	"unicode/utf8"
)

// Character classes (RFC 9051 section 9).
const (
	classAtom    = 1 << iota // ATOM-CHAR
	classAString             // ASTRING-CHAR
	classList                // list-char
	classTag                 // any ASTRING-CHAR except "+"
	classText                // TEXT-CHAR, without quoted-specials
)

var class = func() (t [256]uint8) {
	for c := 0x20; c < 0x7f; c++ {
		b := byte(c)
		if b != '"' && b != '\\' {
			t[b] |= classText
		}
		if strings.IndexByte("(){ %*\"\\", b) < 0 {
			t[b] |= classAString | classList | classTag
			if b != ']' {
				t[b] |= classAtom
			}
		}
	}
	t['%'] |= classList
	t['*'] |= classList
	t['+'] &^= classTag
	// Quoted strings may hold UTF-8 (RFC 9051 section 4.3). Whether it is
	// valid is for whoever reads the string to say: header text need not be.
	for c := 0x80; c <= 0xff; c++ {
		t[c] |= classText
	}
	// Tabs are no TEXT-CHAR's exception: CHAR without CR and LF.
	for c := 1; c < 0x20; c++ {
		if c != '\r' && c != '\n' {
			t[c] |= classText
		}
	}
	t[0x7f] |= classText
	return t
}()

// IsAtom reports whether s can stand as an atom.
func IsAtom(s string) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&classAtom == 0 {
			return false
		}
	}
	return s != ""
}

// Peek is the next byte, 0 at the end of the line.
func (d *Decoder) Peek() byte {
	if d.err != nil || d.pos >= len(d.cmd) {
		return 0
	}
	return d.cmd[d.pos]
}

// More reports whether the command goes on at this place.
func (d *Decoder) More() bool { return d.err == nil && d.pos < len(d.cmd) }

// Accept takes the byte if it comes next.
func (d *Decoder) Accept(c byte) bool {
	if d.err == nil && d.pos < len(d.cmd) && d.cmd[d.pos] == c {
		d.pos++
		return true
	}
	return false
}

// Expect demands the byte.
func (d *Decoder) Expect(c byte) bool {
	if d.Accept(c) {
		return true
	}
	switch c {
	case ' ':
		d.Fail("Space expected")
	case '(':
		d.Fail("Opening parenthesis expected")
	case ')':
		d.Fail("Closing parenthesis expected")
	default:
		d.Fail("'" + string(rune(c)) + "' expected")
	}
	return false
}

// SP demands a space. More than one is taken as one, as other servers do.
func (d *Decoder) SP() bool {
	if !d.Expect(' ') {
		return false
	}
	for d.Accept(' ') {
	}
	return true
}

// AcceptSP takes a space if one comes next, unless the command ends after it.
func (d *Decoder) AcceptSP() bool {
	if d.Peek() != ' ' {
		return false
	}
	d.SP()
	return d.More()
}

func (d *Decoder) run(mask uint8) string {
	if d.err != nil {
		return ""
	}
	i := d.pos
	for i < len(d.cmd) && class[d.cmd[i]]&mask != 0 {
		i++
	}
	s := string(d.cmd[d.pos:i])
	d.pos = i
	return s
}

// Tag takes a command's tag; "" where there is none. That of a command that is
// too long is there all the same, for the answer.
func (d *Decoder) Tag() string {
	err := d.err
	if d.overflow {
		d.err = nil
	}
	s := d.run(classTag)
	if d.overflow {
		d.err = err
	}
	if s == "" {
		d.Fail("Tag expected")
	}
	return s
}

// Atom takes an atom.
func (d *Decoder) Atom() string {
	s := d.run(classAtom)
	if s == "" {
		d.Fail("Atom expected")
	}
	return s
}

// Keyword takes an atom and returns it in capitals: a command, option or item name.
func (d *Decoder) Keyword() string { return strings.ToUpper(d.Atom()) }

// PeekKeyword is the atom that comes next, in capitals, without taking it.
func (d *Decoder) PeekKeyword() string {
	pos := d.pos
	s := d.run(classAtom)
	d.pos = pos
	return strings.ToUpper(s)
}

// ItemName takes a name that may hold letters, digits, "." and "-" only: it
// ends before "[" too.
func (d *Decoder) ItemName() string {
	i := d.pos
	if d.err != nil {
		return ""
	}
	for i < len(d.cmd) {
		c := d.cmd[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '=' {
			i++
			continue
		}
		break
	}
	s := strings.ToUpper(string(d.cmd[d.pos:i]))
	d.pos = i
	if s == "" {
		d.Fail("Name expected")
	}
	return s
}

// quoted takes a quoted string; the opening quote is next.
func (d *Decoder) quoted() string {
	b := d.cmd[d.pos+1:]
	// The common case has nothing to unescape.
	i := 0
	for i < len(b) && class[b[i]]&classText != 0 {
		i++
	}
	if i < len(b) && b[i] == '"' {
		d.pos += i + 2
		return string(b[:i])
	}
	out := append(make([]byte, 0, i+32), b[:i]...)
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			d.pos += i + 2
			return string(out)
		case c == '\\':
			if i++; i >= len(b) || b[i] != '"' && b[i] != '\\' {
				d.Fail("Bad escape in quoted string")
				return ""
			}
			out = append(out, b[i])
		case class[c]&classText != 0:
			out = append(out, c)
		default:
			d.Fail("Bad character in quoted string")
			return ""
		}
	}
	d.Fail("Quoted string does not end")
	return ""
}

// isString reports whether a string (quoted or literal) comes next.
func (d *Decoder) isString() bool { return d.Peek() == '"' || d.literalHere() != nil }

// Str takes a quoted string or a literal. A literal8 is taken where
// RFC 3516 or RFC 6855 allow one, so everywhere.
func (d *Decoder) Str() string {
	if lit := d.literalHere(); lit != nil {
		binary := lit.binary // the next literal takes lit's place
		b := d.takeLiteral(lit)
		if !binary && strings.IndexByte(string(b), 0) >= 0 {
			d.Fail("NUL in literal")
			return ""
		}
		return string(b)
	}
	if d.Peek() == '"' {
		return d.quoted()
	}
	d.Fail("String expected")
	return ""
}

// AString takes an astring: an atom that may hold "]", or a string.
func (d *Decoder) AString() string {
	if d.isString() {
		return d.Str()
	}
	s := d.run(classAString)
	if s == "" {
		d.Fail("String expected")
	}
	return s
}

// NString takes NIL (ok is false) or a string.
func (d *Decoder) NString() (s string, ok bool) {
	if d.isString() {
		return d.Str(), true
	}
	if d.Keyword() != "NIL" {
		d.Fail("String or NIL expected")
	}
	return "", false
}

// Nil takes NIL if it comes next.
func (d *Decoder) Nil() bool {
	if d.PeekKeyword() == "NIL" {
		d.Keyword()
		return true
	}
	return false
}

// ListMailbox takes a LIST pattern: as a mailbox name, with wildcards (RFC 9051 section 6.3.9).
func (d *Decoder) ListMailbox() string {
	if d.isString() {
		return d.name(d.Str())
	}
	s := d.run(classList)
	if s == "" {
		d.Fail("Mailbox pattern expected")
	}
	return d.name(s)
}

// Mailbox takes a mailbox name and decodes it. A name that cannot be decoded
// or is not text comes back with ok false: it is grammatical, yet no mailbox
// can have it.
func (d *Decoder) Mailbox() (name string, ok bool) {
	s := d.AString()
	if d.err != nil {
		return "", false
	}
	return DecodeMailbox(s, d.UTF8)
}

// name decodes a pattern; one that cannot be decoded matches as it is written.
func (d *Decoder) name(s string) string {
	if n, ok := DecodeMailbox(s, d.UTF8); ok {
		return n
	}
	return s
}

// DecodeMailbox decodes a mailbox name from its form on the wire.
func DecodeMailbox(s string, utf8Names bool) (name string, ok bool) {
	if !utf8Names {
		ascii := true
		for i := 0; i < len(s); i++ {
			if s[i] >= 0x80 {
				ascii = false
			}
		}
		// Names in UTF-8 from clients that did not ask first are understood:
		// they cannot be mistaken for modified UTF-7.
		if ascii {
			if s, ok = DecodeUTF7(s); !ok {
				return "", false
			}
		}
	}
	if !utf8.ValidString(s) {
		return "", false
	}
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r == utf8.RuneError || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return "", false // RFC 9051 section 5.1
		}
	}
	// INBOX is compared without case (RFC 9051 section 5.1); so is it as
	// the first level of a name, so that no second one can stand beside it.
	const inbox = "INBOX"
	if len(s) >= len(inbox) && strings.EqualFold(s[:len(inbox)], inbox) && (len(s) == len(inbox) || s[len(inbox)] == '/') {
		s = inbox + s[len(inbox):]
	}
	return s, true
}

// List calls item for each member of a parenthesised list. An empty list is
// taken only where empty is true.
func (d *Decoder) List(empty bool, item func()) {
	if !d.Expect('(') {
		return
	}
	if d.depth++; d.depth > depthLimit {
		d.Fail("Too many nested parentheses")
		return
	}
	defer func() { d.depth-- }()
	if d.Accept(')') {
		if !empty {
			d.Fail("List is empty")
		}
		return
	}
	for d.err == nil {
		item()
		if d.err != nil || d.Accept(')') {
			return
		}
		d.SP()
	}
}

// Nest guards recursion that does not go through List; call Unnest after it.
func (d *Decoder) Nest() bool {
	if d.depth++; d.depth > depthLimit {
		d.Fail("Too deeply nested")
		return false
	}
	return d.err == nil
}

// Unnest ends what Nest began.
func (d *Decoder) Unnest() { d.depth-- }

// Flag takes a flag (RFC 9051 section 9): a keyword, or a name after a backslash.
func (d *Decoder) Flag() string {
	if d.Accept('\\') {
		if d.Accept('*') {
			return `\*`
		}
		return `\` + d.Atom()
	}
	return d.Atom()
}

// Rest takes all that is left of the line.
func (d *Decoder) Rest() string {
	if d.err != nil {
		return ""
	}
	s := string(d.cmd[d.pos:])
	d.pos = len(d.cmd)
	return s
}

// NextIs reports whether this text comes next, whatever its case.
func (d *Decoder) NextIs(s string) bool {
	return d.err == nil && len(d.cmd)-d.pos >= len(s) && strings.EqualFold(string(d.cmd[d.pos:d.pos+len(s)]), s)
}
