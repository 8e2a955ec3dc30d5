// Package indexer feeds new mail to the full-text indexes of all accounts and
// answers searches from them.
//
// An index follows its account by the ids of emails: it has all up to its
// watermark. Indexing may lag behind or fail as it likes, a search stays exact:
// what comes after the watermark is undecided, and the searcher reads its text.
// So new mail waits until no more comes for a while (Config.Settle), and many
// messages are written as one segment, and while mail comes in indexing gives
// way to it: accepting mail must not be slowed by more than a tenth.
//
// A damaged index is dropped and made anew from the mail. A message whose text
// cannot be read is indexed without it and marked, so that searches still read it.
package indexer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
)

const (
	// settle is how long new mail waits for more of it. Searching a hundred
	// messages without the index takes some milliseconds; an index written
	// message by message would cost many times as much.
	settle = 5 * time.Second
	// retry is the pause after a failure, as when the disk is full.
	retry = time.Minute
	// batchDocs bounds the messages of one segment, so that an import of many
	// small ones can be searched before it is through.
	batchDocs = 5000
)

// Config is what an Indexer works with. Store is required.
type Config struct {
	Store  *store.Store
	Settle time.Duration // 0: settle
	Log    *slog.Logger
}

// Indexer keeps the indexes. It is safe for concurrent use.
type Indexer struct {
	cfg  Config
	pace *pace

	mu   sync.Mutex
	open map[store.AccountID]*search.Index
	anew map[store.AccountID]bool // whose index is to be made anew, not yet dropped
	wake chan struct{}            // tells Run that there are some
}

// New makes an Indexer. Searches work before Run.
func New(cfg Config) *Indexer {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Settle == 0 {
		cfg.Settle = settle
	}
	return &Indexer{cfg: cfg, pace: &pace{busy: cfg.Store.Delivering}, open: make(map[store.AccountID]*search.Index), anew: make(map[store.AccountID]bool), wake: make(chan struct{}, 1)}
}

// index gives the index of an account.
func (x *Indexer) index(id store.AccountID) (*search.Index, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if i := x.open[id]; i != nil {
		return i, nil
	}
	i, err := search.Open(pacedRows{x.cfg.Store.IndexRows(id), x.pace})
	if err != nil {
		return nil, fmt.Errorf("indexer: %w", err)
	}
	x.open[id] = i
	return i, nil
}

func (x *Indexer) forget(id store.AccountID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.open, id)
	delete(x.anew, id)
}

// Search finds the emails of an account that have needle, folded, in one of
// the fields. An index that is damaged, or to be made anew, decides nothing:
// then all emails are after the watermark.
func (x *Indexer) Search(ctx context.Context, id store.AccountID, needle string, in search.Fields) (search.Hits, error) {
	if x.isStale(id) {
		return search.Hits{}, nil
	}
	i, err := x.index(id)
	if err != nil {
		return search.Hits{}, err
	}
	hits, err := i.Search(ctx, needle, in)
	if errors.Is(err, search.ErrDamaged) {
		if x.renew(id) {
			x.cfg.Log.Error("full-text index is damaged, it will be made anew", "account", id, "error", err)
		}
		return search.Hits{}, nil
	}
	return hits, err
}

// Reindex has Run make an account's index anew. Until that is done, searches
// read the mail. It does not wait; the error is nil.
func (x *Indexer) Reindex(_ context.Context, id store.AccountID) error {
	x.renew(id)
	return nil
}

// renew has the index of an account made anew. It reports whether that was
// not to be done anyway.
func (x *Indexer) renew(id store.AccountID) bool {
	x.mu.Lock()
	first := !x.anew[id]
	x.anew[id] = true
	x.mu.Unlock()
	select {
	case x.wake <- struct{}{}:
	default: // Run has one to take
	}
	return first
}

func (x *Indexer) isStale(id store.AccountID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.anew[id]
}

// stale adds the accounts whose index is to be made anew.
func (x *Indexer) stale(to map[store.AccountID]bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range x.anew {
		to[id] = true
	}
}

// drop empties an index that is to be made anew.
func (x *Indexer) drop(ctx context.Context, id store.AccountID, i *search.Index) error {
	if err := i.Drop(ctx); err != nil {
		return fmt.Errorf("indexer: drop: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.anew, id)
	return nil
}

// Run indexes what there is and what comes until ctx ends. It returns nil.
func (x *Indexer) Run(ctx context.Context) error {
	w := x.cfg.Store.Watch(0)
	defer w.Close()
	due := make(map[store.AccountID]bool)
	all := true
	timer := time.NewTimer(0) // what came while nobody indexed
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.C:
			switch {
			case !ok:
				return nil
			case e.Kind == store.EventNew:
				if len(due) == 0 && !all {
					timer.Reset(x.cfg.Settle)
				}
				due[e.Account] = true
			case e.Kind == store.EventResync:
				if len(due) == 0 && !all {
					timer.Reset(x.cfg.Settle)
				}
				all = true
			}
		case <-x.wake:
			x.stale(due)
			timer.Reset(0)
		case <-timer.C:
			failed := false
			if all {
				all = false
				if err := x.cfg.Store.Accounts(ctx, func(id store.AccountID, _ store.Quota) error {
					due[id] = true
					return nil
				}); err != nil {
					all, failed = true, true
				}
			}
			for id := range due {
				if err := x.Update(ctx, id); err != nil {
					if ctx.Err() != nil {
						return nil
					}
					x.cfg.Log.Error("indexing failed, will try again", "account", id, "error", err)
					failed = true
					continue
				}
				delete(due, id)
			}
			if failed {
				timer.Reset(retry)
			}
		}
	}
}

// Update brings the index of an account up to date.
func (x *Indexer) Update(ctx context.Context, id store.AccountID) error {
	i, err := x.index(id)
	if err != nil {
		return err
	}
	x.pace.begin()
	if x.isStale(id) {
		err = x.drop(ctx, id, i)
	}
	if err == nil {
		err = x.update(ctx, id, i)
	}
	if errors.Is(err, search.ErrDamaged) {
		x.cfg.Log.Error("full-text index is damaged, making it anew", "account", id, "error", err)
		if err = x.drop(ctx, id, i); err == nil {
			err = x.update(ctx, id, i)
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		x.forget(id) // the account went, its index with it
		return nil
	}
	return err
}

// errFull ends a batch.
var errFull = errors.New("indexer: batch is full")

func (x *Indexer) update(ctx context.Context, id store.AccountID, i *search.Index) error {
	from, err := i.Watermark(ctx)
	if err != nil {
		return err
	}
	for {
		b := search.NewBatch()
		last := store.EmailID(from)
		upTo, err := x.cfg.Store.EmailsAfter(ctx, id, last, func(email store.EmailID, blob store.BlobID) error {
			if b.Full() || b.Len() >= batchDocs {
				return errFull
			}
			b.Begin(uint64(email))
			last = email
			if err := x.add(ctx, b, blob); err != nil {
				return err
			}
			return x.pace.rest(ctx)
		})
		switch {
		case errors.Is(err, errFull):
			upTo = last
		case err != nil:
			return err
		case uint64(upTo) == from:
			return nil
		}
		if err := i.Apply(ctx, b, uint64(upTo)); err != nil {
			return err
		}
		from = uint64(upTo)
		for {
			more, err := i.Compact(ctx, func(ctx context.Context, ids []uint64) ([]bool, error) {
				emails := make([]store.EmailID, len(ids))
				for k, v := range ids {
					emails[k] = store.EmailID(v)
				}
				return x.cfg.Store.EmailsExist(ctx, id, emails)
			})
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
}

// add gives the text of a message to the batch.
func (x *Indexer) add(ctx context.Context, b *search.Batch, blob store.BlobID) error {
	err := x.cfg.Store.Facts(ctx, []store.BlobID{blob}, store.WantHeader|store.WantIndex, func(_ int, f *store.Facts) error {
		addHeader(b, f.Header)
		idx, err := mimeindex.Unmarshal(f.Index)
		if err != nil {
			return fmt.Errorf("structure: %w", err)
		}
		body, err := x.cfg.Store.OpenBody(ctx, blob)
		if err != nil {
			return err
		}
		defer body.Close()
		return idx.Text(body, func(_ *mimeindex.Part, text string) error {
			b.Add(search.Body, text)
			return ctx.Err()
		})
	})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	b.Incomplete()
	if !errors.Is(err, store.ErrNotFound) {
		x.cfg.Log.Warn("a message is indexed without its text", "blob", blob, "error", err)
	}
	return nil
}

// addHeader gives the fields of a header to the batch, each decoded, and their
// names, which a search for TEXT finds too.
func addHeader(b *search.Batch, header []byte) {
	for f := range mimeindex.HeaderFields(header) {
		if f.Name == nil {
			continue
		}
		b.Add(search.Header, string(f.Name))
		b.Add(FieldOf(string(f.Name)), mimeindex.SearchText(string(f.Name), f.Value))
	}
}
