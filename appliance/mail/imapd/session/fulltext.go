package session

import (
	"context"
	"slices"
	"strings"

	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
)

// Index answers from the full-text index of an account; indexer.Indexer does.
type Index interface {
	// Search finds the emails that have needle, folded, in one of the fields.
	Search(ctx context.Context, id store.AccountID, needle string, in search.Fields) (search.Hits, error)
}

// maxConsult bounds the keys of one search that the index is asked about; those
// after it read the mail. A person's search has a few.
const maxConsult = 64

// consult asks the index about the keys that look for text. Where it fails,
// the mail is read: an index is never needed.
func (s *Selected) consult(ctx context.Context, k *Criteria, left *int) error {
	for _, sub := range k.Sub {
		if err := s.consult(ctx, sub, left); err != nil {
			return err
		}
	}
	in, exact := k.indexed()
	if in == 0 || k.folded == "" || *left == 0 || s.user.Index == nil {
		return nil
	}
	*left--
	hits, err := s.user.Index.Search(ctx, s.box.Account, k.folded, in)
	if err != nil {
		return ctx.Err()
	}
	if !exact {
		hits.Maybe = append(hits.Maybe, hits.Sure...)
		slices.Sort(hits.Maybe)
		hits.Sure = nil
	}
	k.hits = &hits
	return nil
}

// indexed tells in which fields of the index a key's text must be; 0 where the
// index knows nothing of it. exact says that having it there is all the key asks.
func (k *Criteria) indexed() (in search.Fields, exact bool) {
	switch k.Key {
	case Body:
		return search.Body, true
	case Text:
		return search.AllFields, true
	case Header:
		switch strings.ToLower(k.Name) {
		case "subject":
			return search.Subject, true
		case "from":
			return search.From, true
		case "to":
			return search.To, true
		case "cc":
			return search.Cc, true
		case "bcc":
			return search.Bcc, true
		}
		return search.Header, false
	}
	return 0, false
}

// fromIndex is what the index says of a message.
func (k *Criteria) fromIndex(m *candidate) truth {
	if k.hits == nil || uint64(m.Email) > k.hits.Watermark {
		return unknown
	}
	if _, ok := slices.BinarySearch(k.hits.Sure, uint64(m.Email)); ok {
		return yes
	}
	if _, ok := slices.BinarySearch(k.hits.Maybe, uint64(m.Email)); ok {
		return unknown
	}
	return no
}
