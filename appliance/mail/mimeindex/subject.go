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
		for { // (3) to (5) leaders and blobs
			rest, ok := leader(s)
			if !ok {
				break
			}
			s = rest
		}
		for { // (4) blobs that no leader follows, but for one that is all there is
			rest := blob(s)
			if rest == s || rest == "" {
				break
			}
			s = rest
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

// leader takes off "Re:", "Fw[x]:" and the like, with blobs in front; ok is
// false where there is none.
func leader(s string) (rest string, ok bool) {
	for b := blob(s); b != s; b = blob(s) {
		s = b
	}
	for _, w := range []string{"re", "fwd", "fw"} {
		if len(s) < len(w) || !strings.EqualFold(s[:len(w)], w) {
			continue
		}
		r := blob(strings.TrimLeft(s[len(w):], " "))
		if strings.HasPrefix(r, ":") {
			return strings.TrimSpace(r[1:]), true
		}
	}
	return s, false
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
