package maild

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"pillarbox/appliance/api/mailapi"
)

// keptEvents is how many events are remembered: a few screens of them.
const keptEvents = 500

// events remembers what an administrator wants to read later. It forgets at a
// restart; the log keeps all, marked for those who look there with the attribute
// event, the last of its line.
type events struct {
	log *slog.Logger

	mu   sync.Mutex
	list []mailapi.Event // oldest first
}

func (e *events) add(level, text string) {
	switch level {
	case mailapi.LevelInfo:
		e.log.Info(text, "event", level)
	default:
		e.log.Warn(text, "event", level)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list) == keptEvents {
		e.list = slices.Delete(e.list, 0, 1)
	}
	e.list = append(e.list, mailapi.Event{Time: time.Now(), Level: level, Text: text})
}

// latest gives up to n events, newest first.
func (e *events) latest(n int) []mailapi.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := slices.Clone(e.list[max(0, len(e.list)-n):])
	slices.Reverse(list)
	return list
}
