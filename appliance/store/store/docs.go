package store

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// maxDoc bounds a document: a small thing, or it is none.
	maxDoc = 512 << 10
	// maxDocKey bounds its key. One that Badger refuses would fail the whole
	// transaction, and with it the store.
	maxDocKey = 8 << 10
)

// Doc reads a document; ErrNotFound.
func (s *Store) Doc(ctx context.Context, t Table, k string) (Doc, error) {
	v := s.view()
	defer v.close()
	out := Doc{Key: k}
	err := v.get(keyDoc(t, k), func(val []byte) error {
		d, err := decodeDoc(val)
		if err != nil {
			return damaged("document", k, err)
		}
		if d.expired(s.now()) {
			return ErrNotFound
		}
		out.Value, out.Rev = slices.Clone(d.Value), d.Rev
		return nil
	})
	if err != nil {
		return Doc{}, err
	}
	return out, nil
}

func (d *docRec) expired(now time.Time) bool { return !d.Expires.IsZero() && !now.Before(d.Expires) }

// Docs calls fn with the documents whose key has the prefix and is greater
// than after, by key; fn's error ends it. Doc.Value is valid only during the call.
func (s *Store) Docs(ctx context.Context, t Table, prefix, after string, fn func(Doc) error) error {
	v := s.view()
	defer v.close()
	now := s.now()
	o := scanOptions{prefix: keyDoc(t, prefix)}
	if after >= prefix && after != "" {
		o.from = append(keyDoc(t, after), 0)
	}
	var page []Doc
	return v.rows(o, func(k, val []byte) error {
		d, err := decodeDoc(val)
		if err != nil {
			return damaged("document", string(k[2:]), err)
		}
		if !d.expired(now) {
			page = append(page, Doc{Key: string(k[2:]), Value: slices.Clone(d.Value), Rev: d.Rev})
		}
		return nil
	}, func() error {
		for _, d := range page {
			if err := fn(d); err != nil {
				return err
			}
		}
		page = page[:0]
		return ctx.Err()
	})
}

// UpdateDocs applies all ops or none, durably. ErrConflict.
func (s *Store) UpdateDocs(ctx context.Context, ops ...DocOp) error {
	_, err := s.submit(ctx, docsOp{ops, s.now()})
	return err
}

type docsOp struct {
	Ops []DocOp
	At  time.Time
}

func (o docsOp) apply(st *stage) (any, error) { return nil, st.applyDocs(o.Ops, o.At) }

// applyDocs changes documents on the stage.
func (s *stage) applyDocs(ops []DocOp, now time.Time) error {
	for _, o := range ops {
		if len(o.Value) > maxDoc {
			return fmt.Errorf("%w: document of %d bytes", ErrTooMany, len(o.Value))
		}
		if len(o.Key) > maxDocKey {
			return fmt.Errorf("%w: document with a key of %d bytes", ErrTooMany, len(o.Key))
		}
		k := keyDoc(o.Table, o.Key)
		val, err := s.get(k)
		if err != nil {
			return err
		}
		var old docRec
		if val != nil {
			if old, err = decodeDoc(val); err != nil {
				return damaged("document", o.Key, err)
			}
		}
		there := val != nil && !old.expired(now)
		switch {
		case o.IfRev == 0:
		case o.IfRev == IfAbsent && there, o.IfRev != IfAbsent && (!there || old.Rev != o.IfRev):
			return fmt.Errorf("%w: document %q", ErrConflict, o.Key)
		}
		if val != nil && !old.Expires.IsZero() {
			s.del(keyDocExpiry(old.Expires, o.Table, o.Key))
		}
		if o.Value == nil {
			if val != nil {
				s.del(k)
			}
			continue
		}
		s.global.LastRev++
		d := docRec{Rev: s.global.LastRev, Expires: o.Expires, Value: o.Value}
		s.put(k, d.encode())
		if !o.Expires.IsZero() {
			s.put(keyDocExpiry(o.Expires, o.Table, o.Key), []byte{recordVersion})
		}
	}
	return nil
}
