package mimeindex

import "strings"

// maxList bounds the addresses of one list.
const maxList = 200_000

// ParseAddresses reads a list of addresses (RFC 5322 section 3.4 with the
// obsolete forms) from a field's raw value. It never fails: what is no address
// becomes a mailbox without a host, so that people see it.
func ParseAddresses(value []byte) []Address {
	p := addressParser{s: Unfold(value)}
	for p.i < len(p.s) && len(p.list) < maxList {
		p.entry()
	}
	if p.group {
		p.list = append(p.list, Address{Kind: GroupEnd})
	}
	return p.list
}

type addressParser struct {
	s     string
	i     int
	group bool
	list  []Address

	phrase  strings.Builder // words before the address, quotes taken off
	words   int
	spaced  bool // there was space before the next word
	comment string
	local   string // up to the last @ outside of brackets
	at      bool
}

// entry reads up to the next comma, semicolon or the end.
func (p *addressParser) entry() {
	p.phrase.Reset()
	p.words, p.spaced, p.comment, p.local, p.at = 0, false, "", "", false
	var angle string
	haveAngle := false
	for p.i < len(p.s) {
		switch c := p.s[p.i]; c {
		case ',':
			p.i++
			p.add(angle, haveAngle)
			return
		case ';':
			p.i++
			p.add(angle, haveAngle)
			if p.group {
				p.group = false
				p.list = append(p.list, Address{Kind: GroupEnd})
			}
			return
		case ':':
			if p.group || p.at || haveAngle { // no group begins here
				p.word(":")
				p.i++
				continue
			}
			p.i++
			p.group = true
			p.list = append(p.list, Address{Kind: GroupStart, Mailbox: strings.TrimSpace(p.phrase.String())})
			return
		case '<':
			angle = p.angle()
			haveAngle = true
		case '(':
			if s := p.paren(); p.comment == "" {
				p.comment = s
			}
			p.spaced = true
		case '"':
			v, rest := quoted(p.s[p.i:])
			p.i = len(p.s) - len(rest)
			p.word(v)
		case ' ', '\t':
			p.spaced = true
			p.i++
		case '@':
			if !haveAngle && !p.at {
				p.local, p.at = strings.TrimSpace(p.phrase.String()), true
				p.phrase.Reset()
				p.words, p.spaced = 0, false
			} else {
				p.word("@")
			}
			p.i++
		default:
			n := strings.IndexAny(p.s[p.i+1:], ",;:<(\" \t@")
			end := len(p.s)
			if n >= 0 {
				end = p.i + 1 + n
			}
			p.word(p.s[p.i:end])
			p.i = end
		}
	}
	p.add(angle, haveAngle)
}

// word adds to the phrase. Words that touch, as in a.b, stay together.
func (p *addressParser) word(w string) {
	if p.spaced && p.words > 0 && !p.at {
		p.phrase.WriteByte(' ')
	}
	p.phrase.WriteString(w)
	p.words++
	p.spaced = false
}

// angle reads what is in angle brackets, quotes kept.
func (p *addressParser) angle() string {
	inQuotes := false
	for j := p.i + 1; j < len(p.s); j++ {
		switch p.s[j] {
		case '\\':
			j++
		case '"':
			inQuotes = !inQuotes
		case '>':
			if !inQuotes {
				s := p.s[p.i+1 : j]
				p.i = j + 1
				return s
			}
		}
	}
	// Not closed: up to the next comma.
	rest := p.s[p.i+1:]
	if n := strings.IndexAny(rest, ",;"); n >= 0 {
		rest = rest[:n]
	}
	p.i += 1 + len(rest)
	return rest
}

// paren reads a comment, which may nest.
func (p *addressParser) paren() string {
	depth := 0
	var b strings.Builder
	for j := p.i; j < len(p.s); j++ {
		c := p.s[j]
		switch {
		case c == '\\' && j+1 < len(p.s):
			j++
			c = p.s[j]
		case c == '(':
			if depth++; depth == 1 {
				continue
			}
		case c == ')':
			if depth--; depth == 0 {
				p.i = j + 1
				return strings.TrimSpace(b.String())
			}
		}
		b.WriteByte(c)
	}
	p.i = len(p.s)
	return strings.TrimSpace(b.String())
}

// add ends an entry.
func (p *addressParser) add(angle string, haveAngle bool) {
	phrase := strings.TrimSpace(p.phrase.String())
	a := Address{Name: phrase}
	switch {
	case haveAngle:
		if p.at { // Ann@Home <ann@example.org>
			a.Name = p.local + "@" + phrase
		}
		if a.Name == "" {
			a.Name = p.comment
		}
		a.Route, a.Mailbox, a.Host = splitAddr(angle)
		if a.Mailbox == "" && a.Host == "" && a.Name == "" {
			return
		}
	case p.at:
		a.Name, a.Mailbox, a.Host = p.comment, p.local, phrase
		if a.Mailbox == "" && a.Host == "" {
			return
		}
	case phrase != "":
		a.Name, a.Mailbox = p.comment, phrase
	default:
		return
	}
	p.list = append(p.list, a)
}

// splitAddr splits the inside of angle brackets: a route perhaps, local part
// and domain.
func splitAddr(s string) (route, mailbox, host string) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "@") {
		if r, rest, ok := strings.Cut(s, ":"); ok {
			route, s = strings.ReplaceAll(r, " ", ""), strings.TrimSpace(rest)
		}
	}
	if strings.HasPrefix(s, `"`) {
		v, rest := quoted(s)
		rest = strings.TrimSpace(rest)
		if h, ok := strings.CutPrefix(rest, "@"); ok {
			return route, v, strings.TrimSpace(withoutComments(h))
		}
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return route, strings.TrimSpace(withoutComments(s[:i])), strings.TrimSpace(withoutComments(s[i+1:]))
	}
	return route, s, ""
}
