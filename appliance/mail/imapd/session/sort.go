package session

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
)

// SortField is what SORT compares.
type SortField uint8

// The sort keys (RFC 5256 section 3, RFC 5957 section 3).
const (
	SortArrival SortField = iota // internal date
	SortDate                     // sent date, the internal date where there is none
	SortSize
	SortSubject // base subject
	SortFrom    // local part of the first address
	SortTo
	SortCc
	SortDisplayFrom // name of the first address, as people read it
	SortDisplayTo
)

// SortKey is a field and its direction.
type SortKey struct {
	Field   SortField
	Reverse bool
}

// sortable is a message with its values of the sort keys.
type sortable struct {
	uid    store.UID
	modseq store.ModSeq
	values []sortValue // one a key
}

// sortValue holds text or a number, as the key is.
type sortValue struct {
	num  int64
	text string // folded
}

// Sort orders the messages a search found. Messages that compare the same stay
// in the order of their numbers (RFC 5256 section 3).
func (s *Selected) Sort(ctx context.Context, found Found, keys []SortKey) (Found, error) {
	want, facts := sortNeeds(keys)
	list := make([]sortable, 0, len(found.UIDs))
	flat := make([]sortValue, 0, len(found.UIDs)*len(keys))
	take := func(m *Numbered, f *store.Facts) {
		n := len(flat)
		flat = append(flat, sortValues(m, f, keys)...)
		list = append(list, sortable{m.UID, m.ModSeq, flat[n:len(flat):len(flat)]})
	}
	var ids []store.BlobID
	_, err := s.Entries(ctx, SpansOf(found.UIDs), func(ms []Numbered) error {
		if !facts {
			for i := range ms {
				take(&ms[i], &store.Facts{})
			}
			return nil
		}
		ids = ids[:0]
		for i := range ms {
			ids = append(ids, ms[i].Blob)
		}
		return s.user.Facts.Facts(ctx, ids, want, func(i int, f *store.Facts) error {
			take(&ms[i], f)
			return nil
		})
	})
	if err != nil {
		return Found{}, err
	}
	slices.SortStableFunc(list, func(a, b sortable) int {
		for i, k := range keys {
			d := cmp.Compare(a.values[i].num, b.values[i].num)
			if d == 0 {
				d = strings.Compare(a.values[i].text, b.values[i].text)
			}
			if k.Reverse {
				d = -d
			}
			if d != 0 {
				return d
			}
		}
		return cmp.Compare(a.uid, b.uid)
	})
	out := Found{UIDs: make([]store.UID, len(list)), ModSeqs: make([]store.ModSeq, len(list))}
	for i := range list {
		out.UIDs[i], out.ModSeqs[i] = list[i].uid, list[i].modseq
	}
	return out, nil
}

// sortNeeds tells which facts the keys need, and whether they need any.
func sortNeeds(keys []SortKey) (want store.FactsWant, facts bool) {
	for _, k := range keys {
		switch k.Field {
		case SortArrival, SortSize:
		case SortDate, SortSubject:
			facts = true
		default:
			facts = true
			want |= store.WantIndex
		}
	}
	return want, facts
}

func sortValues(m *Numbered, f *store.Facts, keys []SortKey) []sortValue {
	out := make([]sortValue, len(keys))
	var env *mimeindex.Envelope
	envelope := func() *mimeindex.Envelope {
		if env == nil {
			env = &mimeindex.Envelope{}
			if idx, err := mimeindex.Unmarshal(f.Index); err == nil {
				env = idx.Envelope()
			}
		}
		return env
	}
	for i, k := range keys {
		v := &out[i]
		switch k.Field {
		case SortArrival:
			v.num = m.InternalDate.Unix()
		case SortDate:
			v.num = sentDate(m, f).Unix()
		case SortSize:
			v.num = m.Size
		case SortSubject:
			v.text = collate(f.Subject)
		case SortFrom:
			v.text = collate(mimeindex.SortMailbox(envelope().From))
		case SortTo:
			v.text = collate(mimeindex.SortMailbox(envelope().To))
		case SortCc:
			v.text = collate(mimeindex.SortMailbox(envelope().Cc))
		case SortDisplayFrom:
			v.text = collate(mimeindex.SortName(envelope().From))
		case SortDisplayTo:
			v.text = collate(mimeindex.SortName(envelope().To))
		}
	}
	return out
}

// collate makes text compare as i;unicode-casemap does (RFC 5051): small
// letters as their capitals, so that "_" comes after "z".
func collate(s string) string { return strings.ToUpper(search.Fold(s)) }

// sentDate is the sent date of RFC 5256 section 2.2.
func sentDate(m *Numbered, f *store.Facts) time.Time {
	if f.Sent.IsZero() {
		return m.InternalDate
	}
	return f.Sent
}
