package mimeindex

import "strings"

// BaseSubject is the subject without the marks of replies and forwards, as
// SORT and THREAD compare it (RFC 5256 section 2.1). It is decoded and keeps
// its case.
func BaseSubject(raw string) string {
	s := strings.Join(strings.Fields(Decode(raw)), " ")
	for {
		before := s
		for { // (2) trailing (fwd)
			s = strings.TrimSpace(s)
			if n := len(s) - len("(fwd)"); n >= 0 && strings.EqualFold(s[n:], "(fwd)") {
				s = s[:n]
				continue
			}
			break
		}
		for { // (3) and (4) leaders and blobs
			t := leader(s)
			if b := blob(t); b != t && b != "" {
				t = b
			}
			if t == s {
				break
			}
			s = t
		}
		// (6) [fwd: ... ]
		if len(s) > 6 && strings.EqualFold(s[:5], "[fwd:") && s[len(s)-1] == ']' {
			s = strings.TrimSpace(s[5 : len(s)-1])
			continue
		}
		if s == before {
			return s
		}
	}
}

// leader takes off "Re:", "Fw[x]:" and the like, with blobs in front.
func leader(s string) string {
	t := s
	for b := blob(t); b != t; b = blob(t) {
		t = b
	}
	low := strings.ToLower(t)
	for _, w := range []string{"re", "fwd", "fw"} {
		rest, ok := strings.CutPrefix(low, w)
		if !ok {
			continue
		}
		r := strings.TrimLeft(t[len(t)-len(rest):], " ")
		r = blob(r)
		if strings.HasPrefix(r, ":") {
			return strings.TrimSpace(r[1:])
		}
	}
	return s
}

// blob takes off one [mark] at the beginning.
func blob(s string) string {
	if !strings.HasPrefix(s, "[") {
		return s
	}
	i := strings.IndexAny(s[1:], "[]")
	if i < 0 || s[1+i] != ']' {
		return s
	}
	return strings.TrimLeft(s[i+2:], " ")
}
