package store

import (
	"strings"

	"github.com/cespare/xxhash/v2"
)

// maxThreadRefs is how many of a message's references are looked up: the
// nearest ones, which are those most likely to be here.
const maxThreadRefs = 20

// threadKeys are what threading needs of a message: hashes of its own id and
// of the ids it refers to, nearest first, and of its base subject.
type threadKeys struct {
	Own     uint64 // 0 where it has no id
	Refs    []uint64
	Subject uint64 // 0 where it has none
}

func threadKeysOf(f *Facts) threadKeys {
	var k threadKeys
	if f.MessageID != "" {
		k.Own = xxhash.Sum64String(f.MessageID)
	}
	for i := len(f.References) - 1; i >= 0 && len(k.Refs) < maxThreadRefs; i-- {
		if r := f.References[i]; r != "" && r != f.MessageID {
			k.Refs = append(k.Refs, xxhash.Sum64String(r))
		}
	}
	if f.Subject != "" {
		k.Subject = xxhash.Sum64String(strings.ToLower(f.Subject))
	}
	return k
}

// thread finds the conversation a new message of an account belongs to, or
// begins one: a message joins the conversation of an id it shares with it
// (its own, as when a reply came first, else the nearest it refers to), if
// the base subjects are equal as well (RFC 8621 section 3); a reply under a
// new subject begins a new conversation.
func (s *stage) thread(id AccountID, a *account, k threadKeys) (ThreadID, error) {
	var found ThreadID
	missing := make([]uint64, 0, 1+len(k.Refs))
	for _, h := range append([]uint64{k.Own}, k.Refs...) {
		if h == 0 {
			continue
		}
		val, err := s.get(keyThread(id, h))
		if err != nil {
			return 0, err
		}
		if val == nil {
			missing = append(missing, h)
			continue
		}
		t, err := decodeThread(val)
		if err != nil {
			return 0, damaged("thread", h, err)
		}
		if t.Subject != k.Subject {
			if h == k.Own {
				missing = append(missing, h)
			}
			continue
		}
		if found == 0 {
			found = t.Thread
		}
	}
	if found == 0 {
		a.LastThread++
		found = a.LastThread
	}
	for _, h := range missing {
		s.put(keyThread(id, h), threadRec{found, k.Subject}.encode())
	}
	return found, nil
}
