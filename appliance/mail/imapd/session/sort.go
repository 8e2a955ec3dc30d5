package session

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unique"

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

// sortValue holds text or a number, as the key is. The number of a text is its
// beginning, so that few texts need be looked at.
type sortValue struct {
	num  int64
	text unique.Handle[string] // collated; of a number, none
}

// Sort is Search with its result in the order of keys. Messages that compare
// the same are in the order of their numbers (RFC 5256 section 3). There must
// be a key.
func (s *Selected) Sort(ctx context.Context, k *Criteria, keys []SortKey, progress func(done, total int)) (Found, error) {
	want, facts := sortNeeds(keys)
	first, others := keys[0], keys[1:]
	var found Found        // in the order of the mailbox
	var values []sortValue // of the first key, which mostly decides
	var more []sortValue   // of the others, message by message
	take := func(m *Numbered, f *Facts) {
		found.UIDs, found.ModSeqs = append(found.UIDs, m.UID), append(found.ModSeqs, m.ModSeq)
		values = append(values, first.Field.value(m, f))
		for _, k := range others {
			more = append(more, k.Field.value(m, f))
		}
	}
	var ids []store.BlobID
	err := s.find(ctx, k, progress, func(ms []Numbered) error {
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
	// What is moved about is small: the first key's number and a place in found.
	type ref struct {
		num int64
		at  int
	}
	order := make([]ref, len(values))
	for i := range values {
		order[i] = ref{values[i].num, i}
		if first.Reverse {
			order[i].num = ^order[i].num
		}
	}
	slices.SortFunc(order, func(x, y ref) int {
		if x.num != y.num {
			return cmp.Compare(x.num, y.num)
		}
		return cmp.Compare(x.at, y.at)
	})
	// Then what begins alike is looked at whole. Mostly it is the same: the
	// messages of a conversation are in their order already.
	closer := func(x, y ref) int {
		d := first.compare(&values[x.at], &values[y.at])
		for i := 0; d == 0 && i < len(others); i++ {
			d = others[i].compare(&more[x.at*len(others)+i], &more[y.at*len(others)+i])
		}
		return cmp.Or(d, cmp.Compare(x.at, y.at))
	}
	for rest := order; len(rest) > 0; {
		text := values[rest[0].at].text
		n, same := 1, len(others) == 0
		for ; n < len(rest) && rest[n].num == rest[0].num; n++ {
			same = same && values[rest[n].at].text == text
		}
		if n > 1 && !same {
			slices.SortFunc(rest[:n], closer)
		}
		rest = rest[n:]
	}
	out := Found{UIDs: make([]store.UID, len(order)), ModSeqs: make([]store.ModSeq, len(order))}
	for i, p := range order {
		out.UIDs[i], out.ModSeqs[i] = found.UIDs[p.at], found.ModSeqs[p.at]
	}
	return out, nil
}

func (k SortKey) compare(a, b *sortValue) int {
	if *a == *b {
		return 0
	}
	d := cmp.Compare(a.num, b.num)
	if d == 0 {
		d = strings.Compare(a.text.Value(), b.text.Value())
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
	return *f.sortText(k)
}

// sortText is the text of the message that SORT compares, collated. It is
// worked out once.
func (f *Facts) sortText(k SortField) *sortValue {
	kept := &f.texts[k-firstText]
	if t := kept.Load(); t != nil {
		return t
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
	var head [8]byte
	copy(head[:], text)
	t := &sortValue{int64(binary.BigEndian.Uint64(head[:]) >> 1), unique.Make(text)}
	kept.Store(t)
	return t
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
