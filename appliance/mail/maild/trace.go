package maild

import (
	"context"
	"errors"
	"strings"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
)

// Trace tells what happened to messages: to one, by its ID or Message-ID, or to
// the latest ones from and to an address.
func (s *service) Trace(ctx context.Context, about string) ([]mailapi.TracedMessage, error) {
	about = strings.TrimSpace(about)
	if about == "" {
		return nil, wire.Invalid("about", "must be the ID of a message or an address")
	}
	var found []trace.Message
	if trace.Valid(about) {
		m, err := trace.Lookup(ctx, s.d.store, trace.ID(about))
		switch {
		case err == nil:
			found = append(found, m)
		case !errors.Is(err, store.ErrNotFound):
			return nil, refusal(err)
		}
	}
	// A Message-ID and an address look alike.
	for _, q := range []trace.Query{{MessageID: about}, {Address: about}} {
		if len(found) > 0 {
			break
		}
		list, err := trace.Find(ctx, s.d.store, q)
		if err != nil {
			return nil, refusal(err)
		}
		found = list
	}
	out := make([]mailapi.TracedMessage, 0, len(found))
	for _, m := range found {
		out = append(out, traced(m))
	}
	return out, nil
}

func traced(m trace.Message) mailapi.TracedMessage {
	out := mailapi.TracedMessage{ID: string(m.ID)}
	for _, e := range m.Events {
		step := mailapi.Step{
			Time: e.Time, Kind: string(e.Kind), MessageID: e.MessageID, Sender: e.Sender, User: e.User, Helo: e.Helo,
			Protocol: e.Protocol, TLS: e.TLS, Size: e.Size, Host: e.Host, Reply: e.Reply,
		}
		if e.Remote.IsValid() {
			step.Remote = e.Remote.String()
		}
		for _, t := range e.Targets {
			step.Recipients = append(step.Recipients, mailapi.StepRecipient{Address: t.Recipient, Mailboxes: len(t.Mailboxes), Queued: t.Queued})
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}
