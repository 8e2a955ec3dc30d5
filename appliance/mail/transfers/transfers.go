// Package transfers serves the API for one person's mail as a whole: import,
// export, bringing back what was expunged, and the search index made anew.
package transfers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"pillarbox/appliance/api/transferapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/transfer"
)

// Directory knows the people; account.Directory is one.
type Directory interface {
	// Account gives a person's account, a not-found *wire.Error where there is none.
	Account(address string) (store.AccountID, error)
}

// Indexer is the full-text index.
type Indexer interface {
	Reindex(ctx context.Context, id store.AccountID) error
}

// Config is what a Service works with.
type Config struct {
	Store   *store.Store
	People  Directory
	Index   Indexer
	MaxSize func() int64 // of a message, octets
}

// Service is the transferapi.Service of maild. It is safe for concurrent use.
type Service struct{ cfg Config }

var _ transferapi.Service = (*Service)(nil)

// New makes a service.
func New(cfg Config) *Service { return &Service{cfg} }

// Import takes a stream of mail. What was imported before it ended early stays,
// and the report says why it did.
func (s *Service) Import(ctx context.Context, address string, o transferapi.ImportOptions, in io.Reader) (*transferapi.Report, error) {
	id, err := s.cfg.People.Account(address)
	if err != nil {
		return nil, err
	}
	im := &transfer.Import{
		Store: s.cfg.Store, NewIndex: func() transfer.Indexer { return mimeindex.NewIndexer() },
		Account: id, Into: o.Into, IgnoreQuota: o.IgnoreQuota, MaxSize: s.cfg.MaxSize(),
	}
	res, err := im.Receive(ctx, in)
	if res == nil {
		return nil, refusal(err)
	}
	out := &transferapi.Report{Imported: res.Imported, Skipped: res.Skipped, Failed: res.Failed, Unmarked: res.Unmarked}
	for _, b := range res.Broken {
		out.Broken = append(out.Broken, transferapi.Broken{Where: b.Where, Error: b.Err.Error()})
	}
	if err != nil {
		out.Stopped = refusal(err).Error()
	}
	return out, nil
}

// refusal puts the store's errors into words.
func refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrOverQuota):
		return wire.Conflict("the storage limit of the mailbox is reached")
	case errors.Is(err, store.ErrNoSpace):
		return wire.Unavailable("the disk is full")
	case errors.Is(err, store.ErrReadOnly), errors.Is(err, store.ErrClosed):
		return wire.Unavailable("the mail store cannot be written to now")
	case errors.Is(err, store.ErrNotFound):
		return wire.NotFound("%v", err)
	case errors.Is(err, store.ErrBadName):
		return wire.Invalid("mailbox", "%v", err)
	case errors.Is(err, store.ErrTooMany):
		return wire.Conflict("%v", err)
	case errors.Is(err, transfer.ErrStream):
		return wire.Invalid("", "%v", err)
	}
	return err
}

// Export writes a stream of a person's mail.
func (s *Service) Export(ctx context.Context, address, mailbox string, w io.Writer) error {
	id, err := s.cfg.People.Account(address)
	if err != nil {
		return err
	}
	return refusal(transfer.SendMailboxes(ctx, w, s.cfg.Store, id, mailbox))
}

// Expunged lists what can be brought back.
func (s *Service) Expunged(ctx context.Context, address string, since time.Time) ([]transferapi.Expunged, error) {
	id, err := s.cfg.People.Account(address)
	if err != nil {
		return nil, err
	}
	list := []transferapi.Expunged{}
	var blobs []store.BlobID
	err = s.cfg.Store.Expunged(ctx, id, since, func(e store.Expunged) error {
		list = append(list, transferapi.Expunged{ID: formatID(e.ID), Mailbox: e.Name, Expunged: e.ID.At, Date: e.InternalDate, Size: e.Size})
		blobs = append(blobs, e.Blob)
		return nil
	})
	if err != nil {
		return nil, refusal(err)
	}
	err = s.cfg.Store.Facts(ctx, blobs, store.WantIndex, func(i int, f *store.Facts) error {
		idx, err := mimeindex.Unmarshal(f.Index)
		if err != nil {
			return nil // a message without a subject is still one to bring back
		}
		e := idx.Envelope()
		list[i].Subject = mimeindex.Decode(e.Subject)
		if len(e.From) > 0 {
			list[i].From = e.From[0].Addr()
		}
		return nil
	})
	return list, refusal(err)
}

// Undelete brings messages back.
func (s *Service) Undelete(ctx context.Context, address string, u transferapi.Undelete) (*transferapi.Restored, error) {
	id, err := s.cfg.People.Account(address)
	if err != nil {
		return nil, err
	}
	var ids []store.ExpungedID
	for _, text := range u.IDs {
		e, err := parseID(text)
		if err != nil {
			return nil, wire.Invalid("ids", "%q is no id of an expunged message", text)
		}
		ids = append(ids, e)
	}
	if len(u.IDs) == 0 {
		if u.Since.IsZero() {
			return nil, wire.Invalid("ids", "or since must say what to bring back")
		}
		if err := s.cfg.Store.Expunged(ctx, id, u.Since, func(e store.Expunged) error {
			ids = append(ids, e.ID)
			return nil
		}); err != nil {
			return nil, refusal(err)
		}
	}
	placed, err := s.cfg.Store.Undelete(ctx, id, ids, u.Into, u.IgnoreQuota)
	out := &transferapi.Restored{Messages: len(placed)}
	switch {
	case err != nil && len(placed) == 0:
		return nil, refusal(err)
	case err != nil:
		out.Stopped = refusal(err).Error()
	}
	return out, nil
}

// Reindex has the search index of a person's mail made anew.
func (s *Service) Reindex(ctx context.Context, address string) error {
	id, err := s.cfg.People.Account(address)
	if err != nil {
		return err
	}
	return refusal(s.cfg.Index.Reindex(ctx, id))
}

func formatID(id store.ExpungedID) string {
	return fmt.Sprintf("%d-%d-%d", id.At.Unix(), id.Mailbox, id.UID)
}

func parseID(s string) (id store.ExpungedID, err error) {
	parts := strings.Split(s, "-")
	if len(parts) != 3 {
		return id, errors.New("want three numbers")
	}
	var n [3]uint64
	for i, p := range parts {
		if n[i], err = strconv.ParseUint(p, 10, 32+32*(1-i/2)); err != nil {
			return id, err
		}
	}
	return store.ExpungedID{At: time.Unix(int64(n[0]), 0).UTC(), Mailbox: store.MailboxID(n[1]), UID: store.UID(n[2])}, nil
}
