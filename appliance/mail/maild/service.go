package maild

import (
	"context"
	"errors"
	"fmt"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/queue"
	"pillarbox/appliance/store/store"
)

const (
	// defaultEvents and statusEvents are how many events are told.
	defaultEvents = 100
	statusEvents  = 10
)

// service is the administration API: the directory's part is the directory's.
type service struct {
	*account.Directory
	d *Daemon
}

var _ mailapi.Service = (*service)(nil)

// Status tells how the mail service is.
func (s *service) Status(ctx context.Context) (*mailapi.Status, error) {
	d := s.d
	// A store that has failed may not even tell its figures: that it has is
	// worth more than they are.
	accepting := d.store.Accepting()
	failed := errors.Is(accepting, store.ErrReadOnly)
	st, err := d.store.Stats(ctx)
	if err != nil && !failed {
		return nil, refusal(err)
	}
	users, err := d.people.Users(ctx)
	if err != nil && !failed {
		return nil, err
	}
	out := &mailapi.Status{
		Version: d.cfg.Version, Serving: d.serving.Load(), Started: d.started, Hostname: d.hostname(), SetupDone: d.people.SetupDone(),
		Domains: len(d.people.DomainNames()), Users: len(users), Messages: st.Messages, StoredBytes: st.StoredBytes,
		Queue:      mailapi.QueueState{Count: st.Queued, Oldest: st.OldestQueued},
		Disk:       mailapi.Disk{Total: st.DiskTotal, Free: st.DiskFree, State: mailapi.DiskOK},
		LastEvents: d.events.latest(statusEvents),
	}
	switch err := accepting; {
	case errors.Is(err, store.ErrNoSpace):
		out.Disk.State = mailapi.DiskFull
		out.Problems = append(out.Problems, "The disk is nearly full: no new mail is taken until there is room.")
	case err != nil:
		out.Disk.State = mailapi.DiskReadOnly
		out.Problems = append(out.Problems, "The mail store cannot be written to: "+err.Error()+".")
	}
	if p := d.certs.Info().Problem; p != "" {
		out.Problems = append(out.Problems, p)
	}
	if out.Serving {
		for _, l := range d.listeners {
			out.Listeners = append(out.Listeners, mailapi.Listener{Name: l.name, Addr: l.guard.Addr().String(), Open: l.guard.Open()})
		}
	}
	return out, nil
}

// refusal turns the store's errors into those of the API.
func refusal(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return wire.NotFound("there is no such thing")
	case errors.Is(err, store.ErrNoSpace):
		return wire.Unavailable("the disk is full")
	case errors.Is(err, store.ErrReadOnly), errors.Is(err, store.ErrClosed):
		return wire.Unavailable("the mail store cannot be written to now")
	}
	return err
}

// Queue lists what waits to go out, oldest first.
func (s *service) Queue(ctx context.Context) ([]mailapi.QueueEntry, error) {
	list := []mailapi.QueueEntry{}
	err := s.d.queue.List(ctx, 0, func(i queue.Item) error {
		e := mailapi.QueueEntry{
			ID: uint64(i.ID), Sender: i.Sender, Recipient: i.Recipient, Size: i.Size,
			Created: i.Created, Due: i.Due, Attempts: i.Attempts,
		}
		if i.Last != nil {
			e.LastError = i.Last.String()
		}
		list = append(list, e)
		return nil
	})
	return list, refusal(err)
}

// RetryQueued tries an entry now.
func (s *service) RetryQueued(ctx context.Context, id uint64) error {
	return queueRefusal(id, s.d.queue.Retry(ctx, store.QueueID(id)))
}

// DeleteQueued drops an entry without a bounce.
func (s *service) DeleteQueued(ctx context.Context, id uint64) error {
	return queueRefusal(id, s.d.queue.Delete(ctx, store.QueueID(id)))
}

// queueRefusal is refusal for what was asked of one entry of the queue.
func queueRefusal(id uint64, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return wire.NotFound("nothing with the number %d is on its way out", id)
	}
	return refusal(err)
}

// Events gives the latest events.
func (s *service) Events(_ context.Context, limit int) ([]mailapi.Event, error) {
	if limit == 0 {
		limit = defaultEvents
	}
	return s.d.events.latest(limit), nil
}

// Probe sends the box a test message.
func (s *service) Probe(ctx context.Context) (*mailapi.ProbeResult, error) {
	if !s.d.serving.Load() {
		return nil, wire.Unavailable("mail is not served")
	}
	r := s.d.probe.Run(ctx)
	return &r, nil
}

// checkIndexes adds what is wrong with the full-text indexes. One that is, is
// made anew in the background.
func (s *service) checkIndexes(ctx context.Context, r mailapi.CheckRequest, out *mailapi.CheckReport) error {
	return s.d.store.Accounts(ctx, func(id store.AccountID, _ store.Quota) error {
		what, err := s.d.index.Check(ctx, id, r.Bodies)
		if err != nil || what == "" {
			return err
		}
		if r.Repair {
			if err := s.d.index.Reindex(ctx, id); err != nil {
				return err
			}
		}
		out.Problems = append(out.Problems, mailapi.Problem{Where: fmt.Sprintf("full-text index of account %d", id), What: what, Repaired: r.Repair})
		return nil
	})
}

// Check verifies the store and the indexes of what is in it.
func (s *service) Check(ctx context.Context, r mailapi.CheckRequest, progress func(mailapi.Progress)) (*mailapi.CheckReport, error) {
	o := store.CheckOptions{Bodies: r.Bodies, Repair: r.Repair}
	if progress != nil {
		o.Progress = func(done, total int64) { progress(mailapi.Progress{Done: done, Total: total}) }
	}
	report, err := s.d.store.Check(ctx, o)
	if err != nil {
		return nil, refusal(err)
	}
	out := &mailapi.CheckReport{
		Accounts: report.Accounts, Mailboxes: report.Mailboxes, Messages: report.Messages,
		Blobs: report.Blobs, Queued: report.Queued, Problems: []mailapi.Problem{}, Unlisted: report.Unlisted,
	}
	for _, p := range report.Problems {
		out.Problems = append(out.Problems, mailapi.Problem(p))
	}
	if err := s.checkIndexes(ctx, r, out); err != nil {
		return nil, refusal(err)
	}
	if n := len(out.Problems); n > 0 {
		s.d.events.add(mailapi.LevelAlert, "a check of the mail store found problems")
	}
	return out, nil
}
