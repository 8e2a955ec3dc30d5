package session

import (
	"bytes"
	"context"
	"io"

	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/store"
)

// PartRef names bytes of a message in a mailbox, as a URL does (RFC 5092).
type PartRef struct {
	Mailbox     string
	UIDValidity uint32 // 0: any
	UID         store.UID
	Section     Section
	Offset      int64
	Count       int64 // negative: to the end
}

// OpenPart opens a part for reading. store.ErrNotFound where there is none.
func (u *User) OpenPart(ctx context.Context, p *PartRef) (io.ReadCloser, int64, error) {
	box, _, err := u.open(ctx, p.Mailbox, RightRead)
	if err != nil {
		return nil, 0, err
	}
	if p.UIDValidity != 0 && p.UIDValidity != box.UIDValidity {
		return nil, 0, store.ErrNotFound
	}
	es, err := u.Store.EntriesOf(ctx, box.ID, []store.UID{p.UID})
	if err != nil {
		return nil, 0, err
	}
	if len(es) == 0 {
		return nil, 0, store.ErrNotFound
	}
	body, err := u.Store.OpenBody(ctx, es[0].Blob)
	if err != nil {
		return nil, 0, err
	}
	r, size, err := u.partReader(ctx, body, es[0].Blob, &p.Section)
	if err != nil {
		body.Close()
		return nil, 0, err
	}
	off := min(p.Offset, size)
	size -= off
	if p.Count >= 0 {
		size = min(size, p.Count)
	}
	return &partReader{io.NewSectionReader(r, off, size), body}, size, nil
}

func (u *User) partReader(ctx context.Context, body store.Body, id store.BlobID, s *Section) (io.ReaderAt, int64, error) {
	var idx *mimeindex.Index
	err := u.Facts.Facts(ctx, []store.BlobID{id}, store.WantIndex, func(_ int, f *Facts) (err error) {
		idx, err = mimeindex.Unmarshal(f.Index)
		return err
	})
	if err != nil {
		if idx, err = mimeindex.Parse(body); err != nil {
			return nil, 0, err
		}
	}
	r, ok := Locate(idx, s)
	if !ok {
		return nil, 0, store.ErrNotFound
	}
	sr := io.NewSectionReader(body, r.Offset, r.Size)
	if s.Kind != SectionFields && s.Kind != SectionFieldsNot {
		return sr, r.Size, nil
	}
	var b bytes.Buffer
	err = FilterFields(sr, s, func(p []byte) error { _, err := b.Write(p); return err })
	return bytes.NewReader(b.Bytes()), int64(b.Len()), err
}

type partReader struct {
	*io.SectionReader
	body store.Body
}

func (p *partReader) Close() error { return p.body.Close() }
