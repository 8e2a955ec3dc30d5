package mimeindex

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Param is a parameter of a Content-Type or Content-Disposition.
type Param struct{ Name, Value string }

// Params are parameters in the order of the header. Values are as written,
// without quotes; continuations (RFC 2231 section 3) are kept apart, so that
// clients see what the sender wrote, and put together by Get.
type Params []Param

// maxParams bounds the parameters of one field.
const maxParams = 100

// Get is the value of a parameter: as it is, or put together of its sections.
// Percent encoding and charset marks of RFC 2231 are left in; see Text.
func (p Params) Get(name string) string {
	for _, q := range p {
		if strings.EqualFold(q.Name, name) {
			return q.Value
		}
	}
	s, _ := p.sections(name)
	return s
}

// Text is the value of a parameter as people read it: RFC 2231 decoded, or
// encoded words, which many programs put where they do not belong.
func (p Params) Text(name string) string {
	for _, q := range p {
		if strings.EqualFold(q.Name, name+"*") {
			return extended(q.Value)
		}
	}
	if s, encoded := p.sections(name); encoded {
		return extended(s)
	} else if s != "" {
		return toUTF8("", s)
	}
	return Decode(p.Get(name))
}

// sections puts a value together of name*0, name*1* and so on. Sections that
// are percent-encoded stay so, the others become so where any is.
func (p Params) sections(name string) (value string, encoded bool) {
	type section struct {
		number  int
		value   string
		encoded bool
	}
	var all []section
	for _, q := range p {
		if len(q.Name) <= len(name) || !strings.EqualFold(q.Name[:len(name)], name) || q.Name[len(name)] != '*' {
			continue
		}
		digits, isEncoded := strings.CutSuffix(q.Name[len(name)+1:], "*")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 0 {
			continue
		}
		encoded = encoded || isEncoded
		all = append(all, section{n, q.Value, isEncoded})
	}
	slices.SortStableFunc(all, func(a, b section) int { return cmp.Compare(a.number, b.number) })
	var b strings.Builder
	for i, s := range all {
		if s.number != i {
			break // a section is missing: what comes after it cannot be placed
		}
		if encoded && !s.encoded {
			s.value = strings.ReplaceAll(s.value, "%", "%25")
		}
		b.WriteString(s.value)
	}
	return b.String(), encoded
}

// extended decodes charset'language'percent-encoded (RFC 2231 section 4).
func extended(s string) string {
	charset := ""
	if parts := strings.SplitN(s, "'", 3); len(parts) == 3 {
		charset, s = parts[0], parts[2]
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return toUTF8(charset, string(b))
}

// valueAndParams reads "value; name=value; ..." with comments, quotes and the
// mistakes that programs make: spaces in unquoted values, quotes that are not
// closed, semicolons too many.
func valueAndParams(s string) (value string, params Params) {
	s = withoutComments(s)
	value, s, _ = strings.Cut(s, ";")
	value = strings.TrimSpace(value)
	for s != "" && len(params) < maxParams {
		s = strings.TrimLeft(s, " \t;")
		eq := strings.IndexAny(s, "=;")
		if eq < 0 {
			break
		}
		if s[eq] == ';' { // a name without a value
			s = s[eq:]
			continue
		}
		name := token(s[:eq])
		s = strings.TrimLeft(s[eq+1:], " \t")
		var v string
		if strings.HasPrefix(s, `"`) {
			v, s = quoted(s)
			if i := strings.IndexByte(s, ';'); i >= 0 {
				s = s[i:]
			} else {
				s = ""
			}
		} else {
			v, s, _ = strings.Cut(s, ";")
			v = strings.TrimSpace(v)
		}
		if name != "" {
			params = append(params, Param{name, v})
		}
	}
	return value, params
}

// quoted reads a quoted string at the beginning of s and what is after it. One
// that is not closed goes to the end.
func quoted(s string) (value, rest string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			// In front of anything but a quote or a backslash it was not meant
			// as an escape: C:\file.txt.
			if i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
				i++
			}
		case '"':
			return b.String(), s[i+1:]
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// withoutComments takes out what is in parentheses outside of quotes (RFC 5322
// section 3.2.2).
func withoutComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var b strings.Builder
	depth, inQuotes := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && (inQuotes || depth > 0):
			if depth == 0 {
				b.WriteByte(c)
				b.WriteByte(s[i+1])
			}
			i++
			continue
		case c == '"' && depth == 0:
			inQuotes = !inQuotes
		case inQuotes:
		case c == '(':
			depth++
			continue
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(c)
		}
	}
	if depth > 0 { // never closed: it was no comment
		return s
	}
	return b.String()
}

// token is s without the space around it, up to the first space or control.
func token(s string) string {
	s = strings.TrimSpace(withoutComments(s))
	if i := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ';' }); i >= 0 {
		s = s[:i]
	}
	return strings.Trim(s, `"`)
}
