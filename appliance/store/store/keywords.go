package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	// maxKeywords bounds a mailbox's keywords in use at one time; an entry
	// names them by one byte.
	maxKeywords = 200
	// maxKeyword bounds one keyword in bytes.
	maxKeyword = 200
)

func compareFold(a, b string) int {
	return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
}

// sortKeywords sorts as Flags.Keywords is sorted: without case.
func sortKeywords(k []string) { slices.SortFunc(k, compareFold) }

// cleanKeywords sorts keywords and drops repetitions.
func cleanKeywords(k []string) []string {
	if len(k) == 0 {
		return nil
	}
	k = slices.Clone(k)
	sortKeywords(k)
	return slices.CompactFunc(k, strings.EqualFold)
}

// keywordNames gives the names of places in a mailbox's table.
func keywordNames(places []byte, table []keyword) []string {
	out := make([]string, 0, len(places))
	for _, p := range places {
		if int(p) < len(table) && table[p].Name != "" {
			out = append(out, table[p].Name)
		}
	}
	sortKeywords(out)
	return out
}

// keywordPlaces gives the places of keywords in a mailbox's table, ascending,
// adding those it does not have. Places whose keyword no message has any more
// are given to others. ErrTooMany.
func (m *mailboxRec) keywordPlaces(names []string) ([]byte, error) {
	var out []byte
	for _, n := range names {
		if len(n) > maxKeyword || n == "" {
			return nil, fmt.Errorf("%w: keyword of %d bytes", ErrTooMany, len(n))
		}
		i := m.findKeyword(n)
		if i < 0 {
			// A place without messages may have been taken by this very op.
			i = slices.IndexFunc(m.Keywords, func(k keyword) bool { return k.Count == 0 && !hasFold(names, k.Name) })
			switch {
			case i >= 0:
				m.Keywords[i].Name = n
			case len(m.Keywords) >= maxKeywords:
				return nil, fmt.Errorf("%w: %d keywords in the mailbox", ErrTooMany, maxKeywords)
			default:
				m.Keywords = append(m.Keywords, keyword{Name: n})
				i = len(m.Keywords) - 1
			}
		}
		out = append(out, byte(i))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (m *mailboxRec) findKeyword(name string) int {
	return slices.IndexFunc(m.Keywords, func(k keyword) bool { return strings.EqualFold(k.Name, name) })
}

func hasFold(names []string, n string) bool {
	return slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, n) })
}

// count adds a message's entry to the mailbox's counters (by 1) or takes it away (by -1).
func (m *mailboxRec) count(e *entryRec, uid UID, by int) {
	m.Messages += uint32(by)
	m.Size += int64(by) * e.Size
	m.countFlags(e.System, e.Keywords, uid, by)
}

// countFlags adds flags to the counters or takes them away.
func (m *mailboxRec) countFlags(f SystemFlags, kw []byte, uid UID, by int) {
	if f&Seen == 0 {
		m.Unseen += uint32(by)
		switch {
		case by > 0 && (m.Unseen == 1 || m.FirstUnseen != 0 && uid < m.FirstUnseen):
			m.FirstUnseen = uid
		case by < 0 && (m.Unseen == 0 || uid == m.FirstUnseen):
			m.FirstUnseen = 0 // none, or the next one is not known
		}
	}
	if f&Deleted != 0 {
		m.Deleted += uint32(by)
	}
	for _, p := range kw {
		if int(p) < len(m.Keywords) {
			m.Keywords[p].Count += uint32(by)
		}
	}
}
