package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"pillarbox/appliance/store/blob"
	"pillarbox/appliance/store/store"
)

// Part says which mail of a backup to bring back into a store that is in use,
// and where to. Flags, keywords and dates come back with it; UIDs are new ones.
type Part struct {
	Selection

	// To is the account the mail goes to.
	To store.AccountID
	// Under is the mailbox below which the mailboxes are made; "" puts each
	// message where it was, by special use or name.
	Under string
	// Progress, where set, is called now and then.
	Progress func(PartReport)
}

// PartReport counts the messages of a part.
type PartReport struct {
	Restored int // now in the store
	There    int // in their mailbox already, byte for byte: not doubled
	Problems []store.Problem
}

const (
	// partBatch and partBytes bound the messages that share a commit.
	partBatch = 64
	partBytes = 8 << 20
	// maxProblems bounds the problems that are listed.
	maxProblems = 1000
)

// RestorePart brings a part of a full backup and its increments, in order,
// back. What it has restored stays where it fails; running it again goes on.
// ErrNotFound where the backup has no such account, mailbox or message.
func RestorePart(ctx context.Context, st *store.Store, p Part, chain ...*Reader) (PartReport, error) {
	if p.Under != "" {
		var err error
		if p.Under, err = store.CleanName(p.Under); err != nil {
			return PartReport{}, err
		}
	}
	r := restorer{Part: p, st: st, places: map[store.BlobID][]placement{}}
	if err := r.plan(ctx, chain); err != nil {
		return r.report, err
	}
	codec, err := blob.NewCodec()
	if err != nil {
		return r.report, err
	}
	r.codec = codec
	defer r.codec.Close()
	defer func() {
		for _, d := range r.batch {
			d.Body.Abort()
		}
	}()
	for _, c := range chain {
		if err := r.bodies(ctx, c); err != nil {
			return r.report, fmt.Errorf("backup %s: %w", c.header.ID, err)
		}
	}
	if err := r.deliver(ctx); err != nil {
		return r.report, err
	}
	if p.MessageID != "" { // most places are of messages that were not meant
		if r.report.Restored+r.report.There == 0 && len(r.report.Problems) == 0 {
			return r.report, errNoMessage
		}
		return r.report, nil
	}
	for id := range r.places {
		r.problem(fmt.Sprintf("body %d", id), errMissing)
	}
	return r.report, nil
}

// restorer is a part on its way back.
type restorer struct {
	Part
	st     *store.Store
	codec  *blob.Codec
	report PartReport

	places map[store.BlobID][]placement // what is still to come

	batch     []store.Delivery
	batchSize int64
}

// placement is one message's place.
type placement struct {
	to    *target
	entry store.Entry
}

// target is a mailbox that messages go to.
type target struct {
	name, use string
	there     map[[32]byte]int // the messages it has, by SHA-256
}

func (r *restorer) problem(where string, err error) {
	if len(r.report.Problems) < maxProblems {
		r.report.Problems = append(r.report.Problems, store.Problem{Where: where, What: err.Error()})
	}
}

// plan finds what is to be restored, and makes the mailboxes it goes to.
func (r *restorer) plan(ctx context.Context, chain []*Reader) error {
	_, boxes, err := choose(ctx, r.Selection, chain)
	if err != nil {
		return err
	}
	now, err := r.st.Mailboxes(ctx, r.To)
	if err != nil {
		return err
	}
	for _, b := range boxes {
		to, err := r.target(ctx, b.box, now)
		if err != nil {
			return err
		}
		for _, row := range b.entries {
			e, err := b.box.Entry(row.key, row.value)
			if err != nil {
				r.problem("mailbox "+b.box.Name, err)
				continue
			}
			r.places[e.Blob] = append(r.places[e.Blob], placement{to, e})
		}
	}
	return nil
}

// target finds or makes the mailbox that m's messages go to.
func (r *restorer) target(ctx context.Context, m *store.MailboxRow, now []store.Mailbox) (*target, error) {
	t := &target{name: m.Name, use: m.SpecialUse, there: map[[32]byte]int{}}
	if r.Under != "" {
		t.name, t.use = r.Under+"/"+m.Name, ""
	}
	at := -1
	if t.use != "" {
		at = slices.IndexFunc(now, func(b store.Mailbox) bool { return b.SpecialUse == t.use })
	}
	if at < 0 {
		at = slices.IndexFunc(now, func(b store.Mailbox) bool { return b.Name == t.name && !b.NonExistent })
	}
	if at < 0 {
		if _, err := r.st.CreateMailbox(ctx, r.To, t.name, t.use); err != nil && !errors.Is(err, store.ErrExists) {
			return nil, fmt.Errorf("mailbox %s: %w", t.name, err)
		}
		return t, r.st.Subscribe(ctx, r.To, t.name, true)
	}
	t.name = now[at].Name
	return t, r.st.Sums(ctx, now[at].ID, func(sum [32]byte) error {
		t.there[sum]++
		return nil
	})
}

// bodies restores the messages whose bodies are in one backup.
func (r *restorer) bodies(ctx context.Context, in *Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := in.nextBody()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		places := r.places[b.id]
		if len(places) == 0 {
			continue
		}
		delete(r.places, b.id)
		err = r.body(ctx, b, places)
		switch {
		case errors.Is(err, blob.ErrDamaged), errors.Is(err, errMissing):
			r.problem(fmt.Sprintf("message %d of mailbox %s", places[0].entry.UID, places[0].to.name), err)
		case err != nil:
			return err
		}
	}
}

// body puts one message in all its places but those where it is.
func (r *restorer) body(ctx context.Context, b *body, places []placement) error {
	if b.err != nil {
		return b.err
	}
	if !r.isMessage(r.codec, b) {
		return nil
	}
	d := store.Delivery{}
	for _, p := range places {
		if p.to.there[b.meta.SHA256] > 0 {
			p.to.there[b.meta.SHA256]--
			r.report.There++
			continue
		}
		d.Placements = append(d.Placements, store.Placement{Account: r.To, Name: p.to.name, Flags: p.entry.Flags,
			InternalDate: p.entry.InternalDate, IgnoreQuota: true})
	}
	if len(d.Placements) == 0 {
		return nil
	}
	spool, err := r.st.Spool(ctx)
	if err != nil {
		return err
	}
	var head headBuffer
	if err := b.writeTo(ctx, r.codec, io.MultiWriter(spool, &head)); err != nil {
		spool.Abort()
		return err
	}
	d.Body = spool
	if d.Facts, err = store.ReadFactsRow(r.codec, b.facts, head); err != nil {
		d.Facts = store.Facts{} // served without, as the damaged row was
		r.problem(fmt.Sprintf("facts of body %d", b.id), err)
	}
	d.Facts.Size = b.meta.Size
	r.batch = append(r.batch, d)
	if r.batchSize += b.meta.Size; len(r.batch) < partBatch && r.batchSize < partBytes {
		return nil
	}
	return r.deliver(ctx)
}

// deliver commits the batch.
func (r *restorer) deliver(ctx context.Context) error {
	var err error
	for left := r.batch; len(left) > 0 && err == nil; {
		var done []store.Receipt
		done, err = r.st.DeliverAll(ctx, left)
		for _, d := range done {
			r.report.Restored += len(d.Placed)
		}
		// A mailbox that is in use may have no room for more keywords: the
		// message is worth more than they are.
		if left = left[len(done):]; errors.Is(err, store.ErrTooMany) && r.unmark(&left[0]) {
			err = nil
		}
	}
	for _, d := range r.batch {
		d.Body.Abort() // what was not delivered
	}
	r.batch, r.batchSize = r.batch[:0], 0
	if r.Progress != nil {
		r.Progress(r.report)
	}
	return err
}

// unmark takes the keywords off a message, and tells whether it had any.
func (r *restorer) unmark(d *store.Delivery) bool {
	had := false
	for i := range d.Placements {
		p := &d.Placements[i]
		if len(p.Flags.Keywords) > 0 {
			had = true
			p.Flags.Keywords = nil
			r.problem("a message for mailbox "+p.Name, errUnmarked)
		}
	}
	return had
}

var errUnmarked = errors.New("backup: restored without its keywords, which the mailbox has no room for")

// headBuffer keeps the beginning of what is written to it.
type headBuffer []byte

func (h *headBuffer) Write(p []byte) (int, error) {
	*h = append(*h, p[:min(len(p), blob.HeadMax-len(*h))]...)
	return len(p), nil
}
