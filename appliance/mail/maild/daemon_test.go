package maild

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"pillarbox/appliance/mail/queue"
	"pillarbox/appliance/mail/trace"
)

// TestShutdownFits holds what a shutdown takes against what init allows: who is
// killed has not closed the store.
func TestShutdownFits(t *testing.T) {
	const allowed, closing = 9 * time.Second, 2 * time.Second
	if goodbye+grace+closing > allowed {
		t.Errorf("clients get %v, mail on its way out %v", goodbye, grace)
	}
}

// TestQueueEvents checks what administrators hear of mail that was given up.
func TestQueueEvents(t *testing.T) {
	d := &Daemon{events: &events{log: slog.New(slog.DiscardHandler)}}
	for _, e := range []queue.Event{
		{Kind: trace.Sent, Sender: "ann@example.org"},
		{Kind: trace.Deferred, Sender: "ann@example.org"},
		{Kind: trace.Bounced, Sender: "ann@example.org", Recipient: "x@elsewhere.example", Reply: "550 no"},
		{Kind: trace.Failed, Recipient: "x@elsewhere.example", Reply: "550 no"}, // a bounce
		{Kind: trace.Failed, Sender: "gone@example.org", Recipient: "x@elsewhere.example", Reply: "550 no"},
	} {
		d.queueEvent(e)
	}
	var texts []string
	for _, e := range d.events.latest(10) {
		texts = append(texts, e.Text)
	}
	want := []string{
		"mail from <gone@example.org> to <x@elsewhere.example> could not be delivered: 550 no; its sender was not told",
		"mail from <ann@example.org> to <x@elsewhere.example> could not be delivered: 550 no",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("%q", texts)
	}
}
