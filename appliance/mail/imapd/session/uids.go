package session

import (
	"slices"
	"sort"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// UIDs is the list of a mailbox's UIDs, ascending, in which the place is the
// message sequence number. It is kept as runs of neighbouring UIDs, so that a
// large mailbox costs an idle connection little.
type UIDs struct {
	runs []uidRun
	n    uint32
}

type uidRun struct {
	first  store.UID
	count  uint32
	before uint32 // messages in the runs before
}

func (r uidRun) last() store.UID { return r.first + store.UID(r.count-1) }

// Len is the number of messages.
func (u *UIDs) Len() uint32 { return u.n }

// Max is the highest UID, 0 where there is no message.
func (u *UIDs) Max() store.UID {
	if len(u.runs) == 0 {
		return 0
	}
	return u.runs[len(u.runs)-1].last()
}

// Append adds a UID, which must be higher than all there are.
func (u *UIDs) Append(uid store.UID) {
	if k := len(u.runs); k > 0 && u.runs[k-1].last()+1 == uid {
		u.runs[k-1].count++
	} else {
		u.runs = append(u.runs, uidRun{first: uid, count: 1, before: u.n})
	}
	u.n++
}

// At is the UID of a sequence number between 1 and Len.
func (u *UIDs) At(seq uint32) store.UID {
	i := sort.Search(len(u.runs), func(i int) bool { return u.runs[i].before >= seq }) - 1
	r := u.runs[i]
	return r.first + store.UID(seq-1-r.before)
}

// run finds the first run that ends at uid or after it.
func (u *UIDs) run(uid store.UID) int {
	return sort.Search(len(u.runs), func(i int) bool { return u.runs[i].last() >= uid })
}

// Seq is the sequence number of a UID, 0 where it is not in the list.
func (u *UIDs) Seq(uid store.UID) uint32 {
	i := u.run(uid)
	if i == len(u.runs) || u.runs[i].first > uid {
		return 0
	}
	return u.runs[i].before + uint32(uid-u.runs[i].first) + 1
}

// Upto is the number of messages with a UID of at most uid.
func (u *UIDs) Upto(uid store.UID) uint32 {
	i := u.run(uid)
	switch {
	case i == len(u.runs):
		return u.n
	case u.runs[i].first > uid:
		return u.runs[i].before
	}
	return u.runs[i].before + uint32(uid-u.runs[i].first) + 1
}

// Remove takes away the UIDs given, which must be ascending.
func (u *UIDs) Remove(gone []store.UID) {
	if len(gone) == 0 {
		return
	}
	old := u.runs
	*u = UIDs{runs: make([]uidRun, 0, len(old))}
	add := func(lo, hi store.UID) {
		if lo <= hi {
			u.runs = append(u.runs, uidRun{first: lo, count: uint32(hi-lo) + 1, before: u.n})
			u.n += uint32(hi-lo) + 1
		}
	}
	for _, r := range old {
		lo, hi := r.first, r.last()
		for len(gone) > 0 && gone[0] < lo {
			gone = gone[1:]
		}
		for len(gone) > 0 && gone[0] <= hi {
			if gone[0] > lo {
				add(lo, gone[0]-1)
			}
			lo = gone[0] + 1
			gone = gone[1:]
			if lo == 0 { // the highest UID there can be is gone
				hi = 0
				lo = 1
				break
			}
		}
		add(lo, hi)
	}
}

// All calls fn for each message from sequence number lo to hi until it returns false.
func (u *UIDs) All(lo, hi uint32, fn func(seq uint32, uid store.UID) bool) {
	i := sort.Search(len(u.runs), func(i int) bool { return u.runs[i].before >= lo }) - 1
	for i = max(i, 0); i < len(u.runs) && lo <= hi; i++ {
		r := u.runs[i]
		for lo <= hi && lo <= r.before+r.count {
			if !fn(lo, r.first+store.UID(lo-1-r.before)) {
				return
			}
			lo++
		}
	}
}

// Spans is a set of UIDs as ascending ranges that neither touch nor overlap,
// without "*".
type Spans []imap.UIDRange

// normal sorts and merges ranges.
func normal(s Spans) Spans {
	byStart := func(a, b imap.UIDRange) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	}
	if !slices.IsSortedFunc(s, byStart) {
		slices.SortFunc(s, byStart)
	}
	out := s[:0]
	for _, r := range s {
		if k := len(out); k > 0 && (out[k-1].Stop == ^imap.UID(0) || r.Start <= out[k-1].Stop+1) {
			out[k-1].Stop = max(out[k-1].Stop, r.Stop)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Contains reports whether uid is in the set.
func (s Spans) Contains(uid store.UID) bool {
	i := sort.Search(len(s), func(i int) bool { return store.UID(s[i].Stop) >= uid })
	return i < len(s) && store.UID(s[i].Start) <= uid
}

// add appends a UID that is higher than all in the set.
func (s Spans) add(uid store.UID) Spans {
	if k := len(s); k > 0 && s[k-1].Stop+1 == imap.UID(uid) {
		s[k-1].Stop++
		return s
	}
	return append(s, imap.UIDRange{Start: imap.UID(uid), Stop: imap.UID(uid)})
}

// SpansOf makes a set of ascending UIDs.
func SpansOf(uids []store.UID) Spans {
	var s Spans
	for _, uid := range uids {
		s = s.add(uid)
	}
	return s
}

// within is the list of the set's messages that are in the view.
func (u *UIDs) within(s Spans) []store.UID {
	var out []store.UID
	for _, r := range s {
		lo := u.Upto(store.UID(r.Start)-1) + 1
		hi := u.Upto(store.UID(r.Stop))
		if hi >= lo {
			out = slices.Grow(out, int(hi-lo)+1)
			u.All(lo, hi, func(_ uint32, uid store.UID) bool {
				out = append(out, uid)
				return true
			})
		}
	}
	return out
}
