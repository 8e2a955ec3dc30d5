package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"

	"github.com/dgraph-io/badger/v4"

	"pillarbox/appliance/store/blob"
)

const (
	// maxFactRefs bounds the references kept of a message.
	maxFactRefs = 100
	// packFacts is the size from which an index is compressed by itself;
	// smaller ones are compressed with their neighbours in the tree's blocks.
	packFacts = 2 << 10
)

// How a facts row has the header.
const (
	headerNone   = 0
	headerShared = 1 // the first bytes of the body's chunk 0
	headerOwn    = 2 // kept in the row
)

// encodeFacts makes the facts row of a body. The header is not written twice:
// where it is the beginning of the body's own header block, as it should be,
// it is served from there.
func encodeFacts(c *blob.Codec, f *Facts, size int64, head []byte) []byte {
	b := append(make([]byte, 0, 256+len(f.Index)), recordVersion)
	b = binary.AppendUvarint(b, uint64(size))
	b = appendBytes(b, f.MessageID)
	refs := f.References
	if len(refs) > maxFactRefs {
		refs = refs[len(refs)-maxFactRefs:]
	}
	b = binary.AppendUvarint(b, uint64(len(refs)))
	for _, r := range refs {
		b = appendBytes(b, r)
	}
	b = appendBytes(b, f.Subject)
	b = appendZoned(b, f.Sent)
	b = appendBytes(b, f.Preview)
	if len(f.Index) >= packFacts {
		b = binary.AppendUvarint(b, uint64(len(f.Index)))
		b = appendBytes(b, c.Pack(f.Index))
	} else {
		b = binary.AppendUvarint(b, 0)
		b = appendBytes(b, f.Index)
	}
	switch {
	case len(f.Header) == 0:
		b = append(b, headerNone)
	case bytes.HasPrefix(head, f.Header):
		b = append(b, headerShared)
		b = binary.AppendUvarint(b, uint64(len(f.Header)))
	default:
		b = append(b, headerOwn)
		b = binary.AppendUvarint(b, uint64(len(f.Header)))
		b = appendBytes(b, c.Pack(f.Header))
	}
	return b
}

// factsHeader tells where the header of a facts row is.
type factsHeader struct {
	kind byte
	size int
	row  []byte
}

// decodeFacts reads a facts row; the index may lie in b.
func decodeFacts(c *blob.Codec, b []byte, want FactsWant, f *Facts) (h factsHeader, err error) {
	r := readRecord(b)
	f.Size = int64(r.uint())
	f.MessageID = r.string()
	for range r.count(1) {
		f.References = append(f.References, r.string())
	}
	f.Subject = r.string()
	f.Sent = r.zoned()
	f.Preview = r.string()
	size, index := r.uint(), r.bytes()
	if r.err == nil && want&WantIndex != 0 {
		f.Index = index
		if size > 0 {
			if size > 16<<20 {
				return h, errRecord
			}
			if f.Index, err = c.Unpack(nil, index, int(size)); err != nil {
				return h, asStoreError(err)
			}
		}
	}
	h.kind = r.byte()
	if h.kind != headerNone {
		n := r.uint()
		if n > 1<<20 {
			r.fail()
		}
		h.size = int(n)
	}
	if h.kind == headerOwn {
		h.row = r.bytes()
	}
	return h, r.end()
}

// Facts reads the facts of bodies in the order asked and calls fn for each;
// fn's error ends it. A body without facts, or whose facts are damaged, gives
// a zero Facts with its size; one that is not there the zero Facts. The byte
// slices are valid only during the call.
func (s *Store) Facts(ctx context.Context, ids []BlobID, want FactsWant, fn func(i int, f *Facts) error) error {
	v := s.view()
	defer v.close()
	// A page is read holding a transaction, then passed on holding nothing.
	const page = 64
	facts := make([]Facts, min(page, len(ids)))
	for start := 0; start < len(ids); start += page {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := ids[start:min(start+page, len(ids))]
		err := v.txn(func(t *badger.Txn) error {
			for i, id := range part {
				facts[i] = Facts{}
				if err := s.readFacts(t, id, want, &facts[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i := range part {
			if err := fn(start+i, &facts[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) readFacts(t *badger.Txn, id BlobID, want FactsWant, f *Facts) error {
	var h factsHeader
	err := txnGet(t, keyFacts(id), func(val []byte) (err error) {
		// Rows lie in Badger's memory: what outlives the call is copied.
		h, err = decodeFacts(s.codec, val, want, f)
		f.Index = bytes.Clone(f.Index)
		h.row = bytes.Clone(h.row)
		return err
	})
	if err == nil && (want&WantHeader == 0 || h.kind == headerNone) {
		return nil
	}
	if errors.Is(err, ErrNewerStore) {
		return err
	}
	damagedRow := errors.Is(err, errRecord) || errors.Is(err, ErrDamaged)
	if err != nil && !damagedRow && !errors.Is(err, ErrNotFound) {
		return err
	}
	var meta blob.Meta
	metaErr := txnGet(t, keyBlob(id), func(val []byte) (err error) {
		meta, err = blob.ParseMeta(val)
		return asStoreError(err)
	})
	switch {
	case errors.Is(metaErr, ErrNotFound) || errors.Is(metaErr, ErrDamaged):
		if err != nil {
			*f = Facts{}
		}
		return nil
	case metaErr != nil:
		return metaErr
	case err != nil:
		*f = Facts{Size: meta.Size}
		return nil
	}
	if h.kind == headerOwn {
		f.Header, err = s.codec.Unpack(nil, h.row, h.size)
	} else {
		err = txnGet(t, keyChunk(id, 0), func(row []byte) (err error) {
			f.Header, err = s.codec.Unpack(nil, row, meta.Head)
			return err
		})
		if err == nil {
			f.Header = f.Header[:min(h.size, len(f.Header))]
		}
	}
	if errors.Is(err, blob.ErrNewer) {
		return asStoreError(err)
	}
	if err != nil {
		s.log.Error("a message's header is damaged", "body", id, "error", err)
		f.Header = nil
	}
	return nil
}
