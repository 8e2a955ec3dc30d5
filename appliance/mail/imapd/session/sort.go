package session

import (
	"cmp"
	"context"
	"encoding/binary"
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

	firstText = SortSubject // from here on text is compared
	sortTexts = SortDisplayTo - firstText + 1
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
	first  sortValue   // of the first key, which mostly decides
	values []sortValue // of the others
}

// sortValue holds text or a number, as the key is. The number of a text is its
// beginning, so that few texts need be looked at.
type sortValue struct {
	num  int64
	text string // collated
}

// Sort is Search with its result in the order of keys. Messages that compare
// the same are in the order of their numbers (RFC 5256 section 3). There must
// be a key.
func (s *Selected) Sort(ctx context.Context, k *Criteria, keys []SortKey, progress func(done, total int)) (Found, error) {
	want, facts := sortNeeds(keys)
	var list []sortable
	first, others := keys[0], keys[1:]
	var values []sortValue // for the messages under way, one allocation
	take := func(m *Numbered, f *Facts) {
		v := values[:len(others):len(others)]
		values = values[len(others):]
		for i, k := range others {
			v[i] = k.Field.value(m, f)
		}
		list = append(list, sortable{m.UID, m.ModSeq, first.Field.value(m, f), v})
	}
	var ids []store.BlobID
	err := s.find(ctx, k, progress, func(ms []Numbered) error {
		values = make([]sortValue, len(ms)*len(others))
		if !facts {
			for i := range ms {
				take(&ms[i], nil)
			}
			return nil
		}
		ids = ids[:0]
		for i := range ms {
			ids = append(ids, ms[i].Blob)
		}
		return s.user.Facts.Facts(ctx, ids, want, func(i int, f *Facts) error {
			take(&ms[i], f)
			return nil
		})
	})
	if err != nil {
		return Found{}, err
	}
	// What is moved about is small: the first key's number and a place in list.
	type ref struct {
		num int64
		at  int
	}
	order := make([]ref, len(list))
	for i := range list {
		order[i] = ref{list[i].first.num, i}
		if first.Reverse {
			order[i].num = ^order[i].num
		}
	}
	slices.SortFunc(order, func(x, y ref) int {
		if x.num != y.num {
			return cmp.Compare(x.num, y.num)
		}
		a, b := &list[x.at], &list[y.at]
		if d := first.compare(&a.first, &b.first); d != 0 {
			return d
		}
		for i := range others {
			if d := others[i].compare(&a.values[i], &b.values[i]); d != 0 {
				return d
			}
		}
		return cmp.Compare(a.uid, b.uid)
	})
	out := Found{UIDs: make([]store.UID, len(order)), ModSeqs: make([]store.ModSeq, len(order))}
	for i, p := range order {
		out.UIDs[i], out.ModSeqs[i] = list[p.at].uid, list[p.at].modseq
	}
	return out, nil
}

func (k SortKey) compare(a, b *sortValue) int {
	d := cmp.Compare(a.num, b.num)
	if d == 0 {
		d = strings.Compare(a.text, b.text)
	}
	if k.Reverse {
		d = -d
	}
	return d
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

// value is what the field of a message compares by. f is nil where sortNeeds
// did not ask for it.
func (k SortField) value(m *Numbered, f *Facts) sortValue {
	switch k {
	case SortArrival:
		return sortValue{num: m.InternalDate.Unix()}
	case SortDate:
		return sortValue{num: sentDate(m, f).Unix()}
	case SortSize:
		return sortValue{num: m.Size}
	}
	text := f.sortText(k)
	var head [8]byte
	copy(head[:], text)
	return sortValue{int64(binary.BigEndian.Uint64(head[:]) >> 1), text}
}

// sortText is the text of the message that SORT compares, collated. It is
// worked out once.
func (f *Facts) sortText(k SortField) string {
	kept := &f.texts[k-firstText]
	if t := kept.Load(); t != nil {
		return *t
	}
	text := f.Subject
	if k != SortSubject {
		var env mimeindex.Envelope
		if idx, err := mimeindex.Unmarshal(f.Index); err == nil {
			env = *idx.Envelope()
		}
		switch k {
		case SortFrom:
			text = mimeindex.SortMailbox(env.From)
		case SortTo:
			text = mimeindex.SortMailbox(env.To)
		case SortCc:
			text = mimeindex.SortMailbox(env.Cc)
		case SortDisplayFrom:
			text = mimeindex.SortName(env.From)
		case SortDisplayTo:
			text = mimeindex.SortName(env.To)
		}
	}
	text = collate(text)
	kept.Store(&text)
	return text
}

// collate makes text compare as i;unicode-casemap does (RFC 5051): small
// letters as their capitals, so that "_" comes after "z".
func collate(s string) string { return strings.ToUpper(search.Fold(s)) }

// sentDate is the sent date of RFC 5256 section 2.2.
func sentDate(m *Numbered, f *Facts) time.Time {
	if f.Sent.IsZero() {
		return m.InternalDate
	}
	return f.Sent
}
