package session

import (
	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// errNoSuchMessage answers a sequence number that is not in the mailbox
// (RFC 9051 section 9, seq-number).
var errNoSuchMessage = &imap.Error{Type: imap.StatusResponseTypeBad, Text: "No message has that number"}

// Resolve turns a set as a client wrote it into UIDs of the view: sequence
// numbers, "*", and "$" (RFC 5182) are replaced. Sequence numbers beyond the
// view are an error; UIDs that do not exist are not.
func (s *Selected) Resolve(set imap.NumSet) (Spans, error) {
	switch set := set.(type) {
	case imap.UIDSet:
		if imap.IsSearchRes(set) {
			return s.saved, nil
		}
		return s.uidSpans(set), nil
	case imap.SeqSet:
		return s.seqSpans(set, true)
	}
	return nil, errNoSuchMessage
}

func (s *Selected) uidSpans(set imap.UIDSet) Spans {
	top := imap.UID(s.uids.Max())
	if top == 0 {
		return nil
	}
	out := make(Spans, 0, len(set))
	for _, r := range set {
		lo, hi := r.Start, r.Stop
		if hi == 0 { // "*", or "n:*", which holds the last message also where n is beyond it
			hi = top
			if lo == 0 || lo > top {
				lo = top
			}
		}
		if lo > top {
			continue
		}
		out = append(out, imap.UIDRange{Start: lo, Stop: min(hi, top)})
	}
	return normal(out)
}

func (s *Selected) seqSpans(set imap.SeqSet, strict bool) (Spans, error) {
	n := s.uids.Len()
	out := make(Spans, 0, len(set))
	for _, r := range set {
		lo, hi := r.Start, r.Stop
		if hi == 0 {
			hi = n
			if lo == 0 || lo > n && !strict {
				lo = n
			}
		}
		if lo > n || hi > n || lo == 0 {
			if strict {
				return nil, errNoSuchMessage
			}
			if hi = min(hi, n); lo > hi || lo == 0 {
				continue
			}
		}
		if lo > hi {
			lo, hi = hi, lo
		}
		// The UIDs between two neighbours in the view belong to nobody else:
		// new messages have higher ones.
		out = append(out, imap.UIDRange{Start: imap.UID(s.uids.At(lo)), Stop: imap.UID(s.uids.At(hi))})
	}
	return normal(out), nil
}

// Seq is the sequence number of a UID in the view, 0 where it is not there.
func (s *Selected) Seq(uid store.UID) uint32 { return s.uids.Seq(uid) }

// UIDs lists the messages of the view that are in the set.
func (s *Selected) UIDs(set Spans) []store.UID { return s.uids.within(set) }

// Len is the number of messages the client knows of.
func (s *Selected) Len() uint32 { return s.uids.Len() }

// Save keeps a search's result for "$" (RFC 5182); nil empties it.
func (s *Selected) Save(uids []store.UID) { s.saved = SpansOf(uids) }

// ResolveLoose is Resolve for searching: numbers beyond the view match nothing.
func (s *Selected) ResolveLoose(set imap.NumSet) Spans {
	if seq, ok := set.(imap.SeqSet); ok {
		spans, _ := s.seqSpans(seq, false)
		return spans
	}
	spans, _ := s.Resolve(set)
	return spans
}
