package console

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/wire"
)

const (
	// keptEvents is how many events there are to read.
	keptEvents = 200

	// readEvents bounds the reading of some megabytes of logs.
	readEvents = 3 * time.Second

	// sameEvent is how far the log's time of an event is from the event's own at most.
	sameEvent = 5 * time.Second
)

// pastEvents are the events that the daemons have forgotten, since they or the
// box were started anew: what the logs on the disk have of them.
type pastEvents struct {
	mu      sync.Mutex
	read    bool
	started time.Time // of maild, when they were read
	list    []Event
}

// add gives the events with those of the past. The logs are read when they may hold
// something new, at maild's start, which is zero while maild does not answer. A disk
// that cannot be read is not asked at each look: the page has to go on just then.
func (p *pastEvents) add(ctx context.Context, init initapi.Service, started time.Time, events []Event) []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.read || !started.IsZero() && !started.Equal(p.started) {
		list, err := storedEvents(ctx, init)
		var we *wire.Error
		if !errors.As(err, &we) || we.Code != wire.CodeNotFound { // else the disk may still come
			p.read, p.started, p.list = true, started, list
		}
	}
	all := slices.Clone(events)
	for _, e := range p.list {
		if !slices.ContainsFunc(events, func(o Event) bool { return o.Text == e.Text && o.Time.Sub(e.Time).Abs() < sameEvent }) {
			all = append(all, e)
		}
	}
	return all
}

// storedEvents reads the events out of the logs on the disk. There is no log of a
// service that never ran, and none at all while the disk is missing.
func storedEvents(ctx context.Context, init initapi.Service) (list []Event, err error) {
	ctx, cancel := context.WithTimeout(ctx, readEvents)
	defer cancel()
	for _, service := range []string{"init", "maild"} {
		q := initapi.LogQuery{Service: service, Contains: " event=", Lines: keptEvents, Stored: true}
		streamErr := init.StreamLog(ctx, q, func(i initapi.LogItem) error {
			if e, ok := eventOf(i.LogLine); ok {
				list = append(list, e)
			}
			return nil
		})
		if streamErr != nil && service == "init" {
			return nil, streamErr
		}
	}
	return list, nil
}

var loggedEvent = regexp.MustCompile(`(?:^| )msg=("(?:[^"\\]|\\.)*"|[^"\s]\S*) event=(info|warn|alert)$`)

// eventOf reads an event out of a line that init or maild logged.
func eventOf(l initapi.LogLine) (Event, bool) {
	m := loggedEvent.FindStringSubmatch(l.Text)
	if m == nil {
		return Event{}, false
	}
	text, err := strconv.Unquote(m[1])
	if err != nil {
		text = m[1] // one word, which slog does not quote
	}
	return Event{Time: l.Time, Level: level(m[2]), Text: text}, true
}

// eventStamp is when an event was, in the room before its text.
const eventStamp = minute + "  "

// eventLine is an event as one line, however long.
func eventLine(c *Catalogue, e Event, zone *time.Location) string {
	return e.Time.In(zone).Format(eventStamp) + c.Report(e.Text)
}

// allEvents is the screen of what happened, the latest at the end as in the logs.
func (m *model) allEvents() *text {
	return &text{title: m.c.T("Last events"), searched: true, hang: len(eventStamp), load: func(context.Context) ([]string, error) {
		var lines []string
		for _, e := range slices.Backward(m.state.Events) {
			lines = append(lines, eventLine(m.c, e, m.zone))
		}
		return lines, nil
	}}
}
