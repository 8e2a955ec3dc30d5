package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"pillarbox/appliance/store/store"
)

// Store is what an import needs of the store.
type Store interface {
	Spool(ctx context.Context) (*store.SpooledBody, error)
	// DeliverAll makes the deliveries durable in order. It stops at the first
	// that fails and answers those before it.
	DeliverAll(ctx context.Context, ds []store.Delivery) ([]store.Receipt, error)
	Mailboxes(ctx context.Context, id store.AccountID) ([]store.Mailbox, error)
	CreateMailbox(ctx context.Context, id store.AccountID, name, specialUse string) (store.Mailbox, error)
	Sums(ctx context.Context, id store.MailboxID, fn func(sum [32]byte) error) error
}

// Indexer computes what the store keeps of a message beside its bytes, while
// they are written through it.
type Indexer interface {
	io.Writer
	Facts() (store.Facts, error)
}

// Import is one import into an account.
type Import struct {
	Store    Store
	NewIndex func() Indexer
	Account  store.AccountID
	// Into is a mailbox below which all folders go; "" puts them in their places.
	Into string
	// MaxSize refuses larger messages, bytes; 0 for none.
	MaxSize int64
	// IgnoreQuota lets mail in over the account's limit.
	IgnoreQuota bool
	// Progress, where set, is told after each batch.
	Progress func(Progress)
}

// Progress is how far an import or export is.
type Progress struct {
	Imported, Skipped, Failed int64 // messages
	Unmarked                  int64 // of those imported: without their keywords, which the mailbox could not take
	Bytes, Total              int64 // of the source
}

// Result is what an import did.
type Result struct {
	Progress
	Broken []Broken // at most maxBroken; Failed counts them all
}

// Broken is something that could not be imported.
type Broken struct {
	Where string
	Err   error
}

const (
	// maxBroken bounds the list of what could not be imported.
	maxBroken = 1000
	// batchMessages and batchBytes bound what is committed together: enough to
	// share one sync, little to hold in memory.
	batchMessages = 64
	batchBytes    = 8 << 20
)

// ErrTooLarge means a message over Import.MaxSize.
var ErrTooLarge = errors.New("message is larger than the limit")

// Run imports a file or folder. It ends early when the store refuses
// (ErrOverQuota, ErrNoSpace) or the context ends; what was imported by then
// stays, and the Result says how far it came.
func (im *Import) Run(ctx context.Context, path string, f Format) (*Result, error) {
	src, err := open(path, f)
	if err != nil {
		return nil, err
	}
	return im.from(ctx, src)
}

func (im *Import) from(ctx context.Context, src source) (*Result, error) {
	r := &run{im: im, special: specialNames(), boxes: map[string]*box{}}
	r.res.Total = src.size()
	if im.Into != "" {
		into, err := store.CleanName(im.Into)
		if err != nil {
			return nil, err
		}
		r.into = into + "/"
	}
	if err := r.loadMailboxes(ctx); err != nil {
		return nil, err
	}
	err := src.walk(ctx, func(m *Message) error { return r.message(ctx, m) }, func(where string, err error) error {
		r.failed(where, err)
		return nil
	})
	if err == nil {
		err = r.flush(ctx)
	}
	r.abort()
	return &r.res, err
}

type run struct {
	im       *Import
	res      Result
	special  map[string]string
	into     string          // before the name of each mailbox
	boxes    map[string]*box // by folder of the source
	existing []store.Mailbox

	batch      []store.Delivery
	batchBytes int64
}

// box is a target mailbox with the digests of what it holds.
type box struct {
	id   store.MailboxID
	sums map[[32]byte]struct{}
}

func (r *run) loadMailboxes(ctx context.Context) (err error) {
	r.existing, err = r.im.Store.Mailboxes(ctx, r.im.Account)
	return err
}

func (r *run) failed(where string, err error) {
	r.res.Failed++
	if len(r.res.Broken) < maxBroken {
		r.res.Broken = append(r.res.Broken, Broken{where, err})
	}
}

func (r *run) box(ctx context.Context, folder string) (*box, error) {
	if b, ok := r.boxes[folder]; ok {
		return b, nil
	}
	t := mapFolder(folder, r.special)
	if r.into != "" {
		t = target{name: r.into + t.name}
	}
	mbox, err := r.mailbox(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("mailbox %q: %w", t.name, err)
	}
	for _, other := range r.boxes { // two folders may mean the same mailbox
		if other.id == mbox.ID {
			r.boxes[folder] = other
			return other, nil
		}
	}
	b := &box{id: mbox.ID, sums: map[[32]byte]struct{}{}}
	if err := r.im.Store.Sums(ctx, mbox.ID, func(sum [32]byte) error {
		b.sums[sum] = struct{}{}
		return nil
	}); err != nil {
		return nil, err
	}
	r.boxes[folder] = b
	return b, nil
}

func (r *run) mailbox(ctx context.Context, t target) (store.Mailbox, error) {
	for _, m := range r.existing {
		if !m.NonExistent && t.specialUse != "" && m.SpecialUse == t.specialUse {
			return m, nil
		}
	}
	for _, m := range r.existing {
		if !m.NonExistent && m.Name == t.name {
			return m, nil
		}
	}
	m, err := r.im.Store.CreateMailbox(ctx, r.im.Account, t.name, t.specialUse)
	if err != nil {
		return m, err
	}
	return m, r.loadMailboxes(ctx)
}

// message takes one message of the source. Trouble with the message itself is
// noted; trouble with the store ends the run.
func (r *run) message(ctx context.Context, m *Message) error {
	r.res.Bytes = m.Read
	b, err := r.box(ctx, m.Folder)
	if errors.Is(err, store.ErrBadName) {
		r.failed(m.Where, err)
		return nil
	}
	if err != nil {
		return err
	}
	body, err := r.im.Store.Spool(ctx)
	if err != nil {
		return err
	}
	index := r.im.NewIndex()
	in := &sourceReader{r: newCRLF(m.Body)}
	var from io.Reader = in
	if r.im.MaxSize > 0 {
		from = io.LimitReader(in, r.im.MaxSize+1)
	}
	_, err = io.Copy(io.MultiWriter(body, index), from)
	switch {
	case in.err != nil:
		body.Abort()
		r.failed(m.Where, in.err)
		return nil
	case err != nil:
		body.Abort()
		return err
	case r.im.MaxSize > 0 && body.Size() > r.im.MaxSize:
		body.Abort()
		r.failed(m.Where, ErrTooLarge)
		return nil
	case body.Size() == 0:
		body.Abort()
		r.res.Skipped++
		return nil
	}
	sum := body.Sum()
	if _, known := b.sums[sum]; known {
		body.Abort()
		r.res.Skipped++
		return r.progress()
	}
	facts, err := index.Facts()
	if err != nil {
		body.Abort()
		r.failed(m.Where, err)
		return nil
	}
	b.sums[sum] = struct{}{}
	date := m.Date
	if date.IsZero() {
		date = facts.Sent
	}
	if date.IsZero() {
		date = time.Unix(0, 0).UTC()
	}
	r.batch = append(r.batch, store.Delivery{Body: body, Facts: facts, Placements: []store.Placement{{
		Account: r.im.Account, Mailbox: b.id, Flags: m.Flags, InternalDate: date, IgnoreQuota: r.im.IgnoreQuota,
	}}})
	r.batchBytes += body.Size()
	if len(r.batch) < batchMessages && r.batchBytes < batchBytes {
		return nil
	}
	return r.flush(ctx)
}

func (r *run) flush(ctx context.Context) error {
	defer r.abort() // drops what was not delivered
	for left := r.batch; len(left) > 0; {
		done, err := r.im.Store.DeliverAll(ctx, left)
		r.res.Imported += int64(len(done))
		left = left[len(done):]
		if err != nil {
			// A mailbox takes only so many keywords, and none that is too
			// long: the message is worth more than they are.
			if flags := &left[0].Placements[0].Flags; errors.Is(err, store.ErrTooMany) && len(flags.Keywords) > 0 {
				r.res.Unmarked++
				flags.Keywords = nil
				continue
			}
			return err
		}
	}
	return r.progress()
}

func (r *run) abort() {
	for _, d := range r.batch {
		d.Body.Abort()
	}
	r.batch, r.batchBytes = r.batch[:0], 0
}

func (r *run) progress() error {
	if r.im.Progress != nil {
		r.im.Progress(r.res.Progress)
	}
	return nil
}

// sourceReader keeps a reading error apart from a writing one.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
