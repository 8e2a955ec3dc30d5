package session

import (
	"strings"
	"time"

	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
)

// Criteria is a tree of search keys (RFC 9051 section 6.4.4). imap.SearchCriteria
// is not used for it: it has no room for the keys of WITHIN, OBJECTID and
// SAVEDATE inside of NOT and OR, and cannot tell "LARGER 0" from nothing.
type Criteria struct {
	Key  Key
	Sub  []*Criteria // And, Or, Not
	Set  Spans       // InSet
	Flag store.SystemFlags
	Name string // Keyword; Header: the field's name
	Text string // Header, Body, Text: what to look for
	Num  uint64 // Larger, Smaller, ModSeq, EmailID, ThreadID
	Date time.Time

	folded string
	hits   *search.Hits // what the full-text index says; nil: nothing
}

// Key says what a search key compares.
type Key uint8

// The search keys.
const (
	All       Key = iota // every message
	And                  // all of Sub
	Or                   // one of Sub at least
	Not                  // not Sub[0]
	InSet                // UID in Set
	HasFlag              // system flag Flag
	Keyword              // keyword Name
	IsRecent             // \Recent
	Larger               // size > Num
	Smaller              // size < Num
	Before               // internal date, as a day, before Date
	OnOrAfter            // on Date or after it
	SentBefore
	SentSince
	SavedBefore
	SavedSince
	Younger // internal date at Date or after it, to the second (RFC 5032)
	ModSeq  // mod-sequence >= Num (RFC 7162 section 3.1.5)
	EmailID // RFC 8474
	ThreadID
	Header // field Name holds Text; any of that name where Text is ""
	Body   // the text of the body holds Text
	Text   // header or body hold Text
)

// stage is how much of a message is known.
type stage uint8

const (
	stageEntry stage = iota // what is in its entry
	stageFacts              // and its facts with header and index
	stageBody               // and its text
)

// truth is the value of a key as far as is known.
type truth int8

const (
	unknown truth = iota
	yes
	no
)

func is(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (t truth) not() truth {
	switch t {
	case yes:
		return no
	case no:
		return yes
	}
	return unknown
}

// candidate is a message under examination.
type candidate struct {
	Numbered
	sel    *Selected
	stage  stage
	header *headerText
	sent   time.Time
	text   func() (string, error) // folded text of the body, at stageBody
	err    error
}

// prepare folds what is looked for, once. It must run before eval.
func (k *Criteria) prepare() {
	if k.Text != "" {
		k.folded = search.Fold(k.Text)
	}
	for _, s := range k.Sub {
		s.prepare()
	}
}

// need is the stage at which the whole tree is certain to be decided, and
// whether a key asks for mod-sequences.
func (k *Criteria) need() (s stage, modseq bool) {
	switch k.Key {
	case SentBefore, SentSince, Header:
		s = stageFacts
	case Body, Text:
		s = stageBody
	case ModSeq:
		modseq = true
	}
	for _, sub := range k.Sub {
		t, m := sub.need()
		s, modseq = max(s, t), modseq || m
	}
	return s, modseq
}

// HasModSeq reports whether mod-sequences are asked for.
func (k *Criteria) HasModSeq() bool { _, m := k.need(); return m }

// day is a time's date in its own zone, as midnight UTC: searches disregard
// time and zone (RFC 9051 section 6.4.4).
func day(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// eval gives the key's truth for a message as far as it is known.
func (k *Criteria) eval(m *candidate) truth {
	switch k.Key {
	case All:
		return yes
	case And, Or:
		// Looking at all keys that are cheap before one that is dear is a
		// matter of the stages: what is unknown now does not stop the search
		// for a key that settles it.
		settles := no
		if k.Key == Or {
			settles = yes
		}
		out := settles.not()
		for _, s := range k.Sub {
			switch s.eval(m) {
			case settles:
				return settles
			case unknown:
				out = unknown
			}
		}
		return out
	case Not:
		return k.Sub[0].eval(m).not()
	case InSet:
		return is(k.Set.Contains(m.UID))
	case HasFlag:
		return is(m.Flags.System&k.Flag != 0)
	case Keyword:
		for _, w := range m.Flags.Keywords {
			if strings.EqualFold(w, k.Name) {
				return yes
			}
		}
		return no
	case IsRecent:
		return is(m.sel.Recent(m.UID))
	case Larger:
		return is(uint64(m.Size) > k.Num)
	case Smaller:
		return is(uint64(m.Size) < k.Num)
	case Before:
		return is(day(m.InternalDate).Before(k.Date))
	case OnOrAfter:
		return is(!day(m.InternalDate).Before(k.Date))
	case SavedBefore:
		return is(day(m.SaveDate).Before(k.Date))
	case SavedSince:
		return is(!day(m.SaveDate).Before(k.Date))
	case Younger:
		return is(!m.InternalDate.Before(k.Date))
	case ModSeq:
		return is(uint64(m.ModSeq) >= k.Num)
	case EmailID:
		return is(uint64(m.Email) == k.Num)
	case ThreadID:
		return is(uint64(m.Thread) == k.Num)
	}
	if t := k.fromIndex(m); t != unknown {
		return t
	}
	if m.stage < stageFacts {
		return unknown
	}
	switch k.Key {
	case SentBefore:
		return is(!m.sent.IsZero() && day(m.sent).Before(k.Date))
	case SentSince:
		return is(!m.sent.IsZero() && !day(m.sent).Before(k.Date))
	case Header:
		return m.header.holds(k.Name, k.folded)
	case Text:
		if k.folded == "" || m.header.holdsAnywhere(k.folded) {
			return yes
		}
	case Body:
		if k.folded == "" {
			return yes
		}
	}
	if m.stage < stageBody {
		return unknown
	}
	body, err := m.text()
	if err != nil {
		m.err = err
	}
	return is(strings.Contains(body, k.folded))
}

// limits finds what a search needs not look beyond: the sets every result must be in.
func (k *Criteria) limits(all Spans) Spans {
	switch k.Key {
	case InSet:
		return intersect(all, k.Set)
	case And:
		for _, s := range k.Sub {
			all = s.limits(all)
		}
	}
	return all
}

func intersect(a, b Spans) Spans {
	var out Spans
	for i, j := 0, 0; i < len(a) && j < len(b); {
		lo, hi := max(a[i].Start, b[j].Start), min(a[i].Stop, b[j].Stop)
		if lo <= hi {
			out = append(out, a[i])
			out[len(out)-1].Start, out[len(out)-1].Stop = lo, hi
		}
		if a[i].Stop < b[j].Stop {
			i++
		} else {
			j++
		}
	}
	return out
}
