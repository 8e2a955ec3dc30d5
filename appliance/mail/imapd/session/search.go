package session

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// Found is the result of a search: UIDs ascending, with their mod-sequences.
type Found struct {
	UIDs    []store.UID
	ModSeqs []store.ModSeq
}

// Search finds the messages of the view that match. progress, where set, is
// called now and then with how many of how many messages were examined.
func (s *Selected) Search(ctx context.Context, k *Criteria, progress func(done, total int)) (Found, error) {
	var out Found
	err := s.find(ctx, k, progress, func(ms []Numbered) error {
		for i := range ms {
			out.UIDs = append(out.UIDs, ms[i].UID)
			out.ModSeqs = append(out.ModSeqs, ms[i].ModSeq)
		}
		return nil
	})
	return out, err
}

// find is Search that gives what it found to take, some messages at a time.
func (s *Selected) find(ctx context.Context, k *Criteria, progress func(done, total int), take func([]Numbered) error) error {
	if s.uids.Len() == 0 {
		return nil
	}
	k.prepare()
	left := maxConsult
	if err := s.consult(ctx, k, &left); err != nil {
		return err
	}
	set := k.limits(Spans{{Start: imap.UID(s.uids.At(1)), Stop: imap.UID(s.uids.Max())}})
	total, done := 0, 0
	for _, r := range set {
		total += int(s.uids.Upto(store.UID(r.Stop)) - s.uids.Upto(store.UID(r.Start)-1))
	}
	var open []candidate
	var at []int
	var ids []store.BlobID
	var hit []bool
	return s.Entries(ctx, set, func(ms []Numbered) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		open, at, ids, hit = open[:0], at[:0], ids[:0], hit[:0]
		for i := range ms {
			c := candidate{Numbered: ms[i], sel: s}
			t := k.eval(&c)
			hit = append(hit, t == yes)
			if t == unknown {
				open, at, ids = append(open, c), append(at, i), append(ids, c.Blob)
			}
		}
		if len(open) > 0 {
			if err := s.examine(ctx, k, open, ids, func(i int) { hit[at[i]] = true }, func(i int) {
				if progress != nil {
					progress(done+at[i], total)
				}
			}); err != nil {
				return err
			}
		}
		done += len(ms)
		found := ms[:0]
		for i := range ms {
			if hit[i] {
				found = append(found, ms[i])
			}
		}
		if err := take(found); err != nil {
			return err
		}
		if progress != nil {
			progress(done, total)
		}
		return nil
	})
}

// examine decides on messages whose entries alone do not.
func (s *Selected) examine(ctx context.Context, k *Criteria, ms []candidate, ids []store.BlobID, found, tick func(int)) error {
	var deep []int
	last, _ := k.need()
	want := store.WantHeader
	if last == stageBody {
		want |= store.WantIndex
	}
	err := s.user.Facts.Facts(ctx, ids, want, func(i int, f *Facts) error {
		m := &ms[i]
		m.stage, m.sent = stageFacts, f.Sent
		m.header = newHeaderText(f.Header)
		switch k.eval(m) {
		case yes:
			found(i)
		case unknown:
			m.header = m.header.keep()
			m.text = s.bodyText(ctx, m.Blob, append([]byte(nil), f.Index...))
			deep = append(deep, i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range deep {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := &ms[i]
		m.stage = stageBody
		if k.eval(m) == yes {
			found(i)
		}
		if m.err != nil && ctx.Err() != nil {
			return m.err
		}
		m.text, m.header = nil, nil
		tick(i)
	}
	return nil
}
