package session

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/store"
)

// ThreadKind is a threading algorithm.
type ThreadKind uint8

// The algorithms (RFC 5256 section 3).
const (
	OrderedSubject ThreadKind = iota
	ByReferences
)

// Thread is a message, or the place of one that is not there (UID 0), with
// what follows it.
type Thread struct {
	UID      store.UID
	Children []*Thread

	parent  *Thread
	sent    int64  // of the message; see date
	subject string // base subject, collated
	reply   bool   // the subject says so
}

// date is when a thread began: that of its first message (RFC 5256 section 3,
// REFERENCES step 4).
func (t *Thread) date() int64 {
	for t.UID == 0 && len(t.Children) > 0 {
		t = t.Children[0]
	}
	return t.sent
}

func byDate(a, b *Thread) int {
	if d := cmp.Compare(a.date(), b.date()); d != 0 {
		return d
	}
	return cmp.Compare(a.first(), b.first())
}

// first is the UID of the first message of a thread.
func (t *Thread) first() store.UID {
	for t.UID == 0 && len(t.Children) > 0 {
		t = t.Children[0]
	}
	return t.UID
}

// Thread is Search with its result put into threads.
func (s *Selected) Thread(ctx context.Context, k *Criteria, kind ThreadKind, progress func(done, total int)) ([]*Thread, error) {
	var b threader
	var want store.FactsWant
	if kind == ByReferences {
		want = store.WantIndex
		b.ids = make(map[string]*Thread, s.uids.Len())
	}
	var ids []store.BlobID
	err := s.find(ctx, k, progress, func(ms []Numbered) error {
		ids = ids[:0]
		for i := range ms {
			ids = append(ids, ms[i].Blob)
		}
		return s.user.Facts.Facts(ctx, ids, want, func(i int, f *Facts) error {
			t := &Thread{UID: ms[i].UID, sent: sentDate(&ms[i], f).Unix(), subject: f.sortText(SortSubject).text.Value()}
			if kind == OrderedSubject {
				b.roots = append(b.roots, t)
				return nil
			}
			t.reply = f.isReply()
			b.add(t, f.MessageID, f.References)
			return ctx.Err()
		})
	})
	if err != nil {
		return nil, err
	}
	if kind == OrderedSubject {
		return b.orderedSubject(), nil
	}
	return b.references(), nil
}

// replySubject finds the marks of a reply or forward (RFC 5256 section 2.1,
// subj-refwd, subj-trailer, subj-fwd).
var replySubject = regexp.MustCompile(`(?i)^\s*(\[[^\[\]]*\]\s*)*(re|fwd?)\s*(\[[^\[\]]*\]\s*)?:|\(fwd\)\s*$|^\s*\[fwd:.*\]\s*$`)

func isReply(subject string) bool { return replySubject.MatchString(subject) }

// isReply reports whether the message's subject says that it answers or
// forwards another. It is worked out once.
func (f *Facts) isReply() bool {
	if f.reply.Load() == nil {
		is := false
		if idx, err := mimeindex.Unmarshal(f.Index); err == nil {
			is = isReply(mimeindex.Decode(idx.Envelope().Subject))
		}
		f.reply.Store(&is)
	}
	return *f.reply.Load()
}

// threader builds threads. Where a step is named, it is one of the algorithm
// REFERENCES in RFC 5256 section 3.
type threader struct {
	all   []*Thread          // those of messages, in the order of their numbers
	ids   map[string]*Thread // by message id, places of missing ones too
	roots []*Thread
}

// at is the place for a message id.
func (b *threader) at(id string) *Thread {
	t := b.ids[id]
	if t == nil {
		t = &Thread{}
		b.ids[id] = t
	}
	return t
}

// add takes one message in: step 1.
func (b *threader) add(t *Thread, id string, refs []string) {
	// A message without an id, or with one that another has, stands by itself.
	if id != "" {
		switch place := b.ids[id]; {
		case place == nil:
			b.ids[id] = t
		case place.UID == 0:
			place.UID, place.sent, place.subject, place.reply = t.UID, t.sent, t.subject, t.reply
			t = place
		}
	}
	b.all = append(b.all, t)
	var last *Thread
	for _, r := range refs {
		place := b.at(r)
		if last != nil && place.parent == nil {
			link(last, place)
		}
		last = place
	}
	// What the message itself says of its parent counts more than what others
	// said before it (step 1.B).
	if t.parent != nil && t.parent != last {
		unlink(t)
	}
	if last != nil && t.parent == nil {
		link(last, t)
	}
}

// link makes child follow parent, unless that would make a loop.
func link(parent, child *Thread) {
	if len(child.Children) > 0 || parent == child {
		for p := parent; p != nil; p = p.parent {
			if p == child {
				return
			}
		}
	}
	child.parent = parent
	parent.Children = append(parent.Children, child)
}

func unlink(t *Thread) {
	p := t.parent
	if i := slices.Index(p.Children, t); i >= 0 {
		p.Children = slices.Delete(p.Children, i, i+1)
	}
	t.parent = nil
}

// references does steps 2 to 6.
func (b *threader) references() []*Thread {
	seen := make(map[*Thread]bool)
	root := func(t *Thread) {
		if t.parent == nil && !seen[t] {
			seen[t] = true
			b.roots = append(b.roots, t)
		}
	}
	for _, t := range b.all {
		root(t)
	}
	for _, t := range b.ids {
		root(t)
	}
	b.roots = prune(b.roots, true)
	for _, t := range b.roots {
		sortBelow(t)
	}
	slices.SortFunc(b.roots, byDate)
	b.mergeSubjects()
	for _, t := range b.roots {
		sortBelow(t)
	}
	slices.SortFunc(b.roots, byDate)
	return b.roots
}

// prune takes places without a message away and puts what follows them in
// their stead; at the top only where that is one (step 3).
func prune(list []*Thread, top bool) []*Thread {
	out := make([]*Thread, 0, len(list))
	for _, t := range list {
		t.Children = prune(t.Children, false)
		switch {
		case t.UID != 0 || top && len(t.Children) > 1:
			out = append(out, t)
		default:
			for _, c := range t.Children {
				c.parent = t.parent
			}
			out = append(out, t.Children...)
		}
	}
	return out
}

// sortBelow sorts what follows a message, deepest first (steps 4 and 6).
func sortBelow(t *Thread) {
	for _, c := range t.Children {
		sortBelow(c)
	}
	slices.SortFunc(t.Children, byDate)
}

// mergeSubjects joins threads of the same subject (step 5).
func (b *threader) mergeSubjects() {
	subjectOf := func(t *Thread) (string, bool) {
		if t.UID == 0 {
			return t.Children[0].subject, t.Children[0].reply
		}
		return t.subject, t.reply
	}
	table := make(map[string]*Thread)
	for _, t := range b.roots {
		subject, reply := subjectOf(t)
		if subject == "" {
			continue
		}
		have := table[subject]
		if have == nil {
			table[subject] = t
			continue
		}
		_, haveReply := subjectOf(have)
		if have.UID != 0 && (t.UID == 0 || haveReply && !reply) {
			table[subject] = t
		}
	}
	out := b.roots[:0:0]
	gone := make(map[*Thread]bool)
	for _, t := range b.roots {
		subject, reply := subjectOf(t)
		have := table[subject]
		switch {
		case gone[t]:
			continue
		case subject == "" || have == t || have == nil:
			out = append(out, t)
			continue
		}
		_, haveReply := subjectOf(have)
		switch {
		case t.UID == 0 && have.UID == 0:
			have.Children = append(have.Children, t.Children...)
		case have.UID == 0:
			have.Children = append(have.Children, t)
		case reply && !haveReply:
			have.Children = append(have.Children, t)
		default:
			p := &Thread{Children: []*Thread{have, t}}
			table[subject] = p
			gone[have] = true
			out = append(out, p)
		}
	}
	b.roots = slices.DeleteFunc(out, func(t *Thread) bool { return gone[t] })
}

// orderedSubject is the poor man's threading (RFC 5256 section 3): messages of
// one subject are a thread, all but the first being answers to the first.
func (b *threader) orderedSubject() []*Thread {
	slices.SortFunc(b.roots, func(x, y *Thread) int {
		if d := strings.Compare(x.subject, y.subject); d != 0 {
			return d
		}
		return byDate(x, y)
	})
	var out []*Thread
	for _, t := range b.roots {
		if n := len(out); n > 0 && out[n-1].subject == t.subject {
			out[n-1].Children = append(out[n-1].Children, t)
			continue
		}
		out = append(out, t)
	}
	slices.SortFunc(out, byDate)
	return out
}
