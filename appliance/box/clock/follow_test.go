package clock

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAgree(t *testing.T) {
	ms := time.Millisecond
	for _, tt := range []struct {
		name    string
		offsets []time.Duration
		want    time.Duration
		fails   bool
	}{
		{"one", []time.Duration{40 * ms}, 40 * ms, false},
		{"a liar is outvoted", []time.Duration{10 * ms, time.Hour, 12 * ms}, 12 * ms, false},
		{"no majority", []time.Duration{0, time.Hour}, 0, true},
		{"none", nil, 0, true},
	} {
		var answers []Answer
		for _, o := range tt.offsets {
			answers = append(answers, Answer{Offset: o})
		}
		answers = append(answers, Answer{Err: errors.New("timeout")})
		got, err := agree(answers)
		if (err != nil) != tt.fails || err == nil && got.Offset != tt.want {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

func TestFollow(t *testing.T) {
	var offset, stepped, slewed time.Duration
	var fails error
	f := &Follower{
		Servers: func() []string { return []string{"a", "b", "c"} },
		Ask:     func(context.Context, string, bool) (time.Duration, error) { return offset, fails },
		Step:    func(d time.Duration) error { stepped += d; return nil },
		Slew:    func(d time.Duration) error { slewed += d; return nil },
		Log:     slog.New(slog.DiscardHandler),
	}
	now := time.Now()
	fails = errors.New("no route")
	f.once(t.Context(), now)
	if f.State().Synced {
		t.Error("in step without an answer")
	}
	fails, offset = nil, 3*time.Hour
	f.once(t.Context(), now)
	if s := f.State(); !s.Synced || stepped != 3*time.Hour || slewed != 0 || s.Offset != 0 || s.Stepped != offset {
		t.Errorf("at boot: %+v, stepped %v, slewed %v", s, stepped, slewed)
	}
	offset = 20 * time.Millisecond
	f.once(t.Context(), now)
	if slewed != offset || stepped != 3*time.Hour {
		t.Errorf("later: stepped %v, slewed %v", stepped, slewed)
	}
	offset = time.Hour
	f.once(t.Context(), now)
	if s := f.State(); stepped != 3*time.Hour || s.Problem == "" {
		t.Errorf("a large error while running: stepped %v, %+v", stepped, s)
	}
	fails = errors.New("no route")
	f.once(t.Context(), now.Add(4*askEvery))
	if f.State().Synced {
		t.Error("in step though nobody has answered for long")
	}
}

// A time that cannot be is not believed, whoever tells it, and that is said.
func TestImplausibleTime(t *testing.T) {
	now, stepped := time.Now(), time.Duration(0)
	tells := map[string]time.Duration{}
	f := &Follower{
		Servers: func() []string { return []string{"a", "b"} },
		Ask:     func(_ context.Context, server string, _ bool) (time.Duration, error) { return tells[server], nil },
		Step:    func(d time.Duration) error { stepped += d; return nil },
		Slew:    func(time.Duration) error { return nil },
		Built:   now.Add(-time.Hour),
		Log:     slog.New(slog.DiscardHandler),
	}
	for _, far := range []time.Duration{-2 * time.Hour, 2 * future} {
		tells["a"], tells["b"] = far, far
		f.once(t.Context(), now)
		if s := f.State(); s.Synced || stepped != 0 || !strings.HasPrefix(s.Problem, "the time server a tells ") {
			t.Errorf("%v: %+v, stepped %v", far, s, stepped)
		}
	}
	tells["b"] = time.Minute
	f.once(t.Context(), now)
	if s := f.State(); !s.Synced || stepped != time.Minute || s.Problem != "" {
		t.Errorf("with one that tells the time: %+v, stepped %v", s, stepped)
	}
}

func TestNothingLessThanProof(t *testing.T) {
	var asked []string
	var sure []bool
	var mu sync.Mutex
	var fails error
	f := &Follower{
		Servers: func() []string { return []string{"plain.example.org", "nts://a.example.org"} },
		Ask: func(_ context.Context, server string, confirmed bool) (time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			asked, sure = append(asked, server), append(sure, confirmed)
			return time.Hour, fails
		},
		Step: func(time.Duration) error { return nil },
		Slew: func(time.Duration) error { return nil },
		Log:  slog.New(slog.DiscardHandler),
	}
	now := time.Now()
	fails = errors.New("the answer is not authenticated")
	f.once(t.Context(), now)
	if s := f.State(); s.Problem != "" || s.Synced {
		t.Errorf("at once: %+v", s)
	}
	f.once(t.Context(), now.Add(2*unproven))
	if s := f.State(); !strings.Contains(s.Problem, "NTS") || s.Synced {
		t.Errorf("after long: %+v", s)
	}
	fails = nil
	f.once(t.Context(), now.Add(3*unproven))
	if s := f.State(); s.Problem != "" || !s.Proven || !s.Synced {
		t.Errorf("with an answer: %+v", s)
	}
	f.once(t.Context(), now.Add(4*unproven))
	if slices.Contains(asked, "plain.example.org") || !slices.Equal(sure, []bool{false, false, false, true}) {
		t.Errorf("asked %v, confirmed %v", asked, sure)
	}
}
