package mimeindex

import "strings"

// maxList bounds the addresses kept of all lists of a message: each takes 72
// bytes in memory, however short it was written.
const maxList = 200_000

// ParseAddresses reads a list of addresses (RFC 5322 section 3.4 with the
// obsolete forms) from a field's raw value. It never fails: what is no address
// becomes a mailbox without a host, so that people see it.
func ParseAddresses(value []byte) []Address { return parseAddresses(value, maxList) }

// parseAddresses reads about so many addresses at most; the marks of a group
// may come on top.
func parseAddresses(value []byte, most int) []Address {
	p := addressParser{s: Unfold(value)}
	for p.i < len(p.s) && len(p.list) < most {
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
	open  bool // an angle bracket was followed to the end in vain

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

// angle reads what is in angle brackets, quotes kept. Brackets that are not
// closed, before the next ones or at all, go to the next comma. After one that
// was followed to the end of the list none is followed further than a comma, so
// that a list of nothing else takes no more time than others.
func (p *addressParser) angle() string {
	rest := p.s[p.i+1:]
	if p.open {
		rest = rest[:beforeComma(rest)]
	}
	inQuotes := false
scan:
	for j := 0; j < len(rest); j++ {
		switch rest[j] {
		case '\\':
			j++
		case '"':
			inQuotes = !inQuotes
		case '>':
			if !inQuotes {
				p.i += 1 + j + 1
				return rest[:j]
			}
		case '<':
			if !inQuotes {
				rest = rest[:j]
				break scan
			}
		}
	}
	p.open = p.open || p.i+1+len(rest) == len(p.s)
	rest = rest[:beforeComma(rest)]
	p.i += 1 + len(rest)
	rest, _, _ = strings.Cut(rest, ">") // within quotes that are not closed
	return rest
}

func beforeComma(s string) int {
	if n := strings.IndexAny(s, ",;"); n >= 0 {
		return n
	}
	return len(s)
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
