package health

import (
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
)

func celsius(v float64) []healthapi.Reading {
	return []healthapi.Reading{{ID: "hwmon/cpu/temp1", Kind: healthapi.Temperature, Name: "processor", Value: v, WatchHigh: ptr(80.0), BadHigh: ptr(95.0)}}
}

func TestJudgeIsSlow(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	j := NewJudge(nil, now)
	levels := func(values ...float64) (got []string) {
		for _, v := range values {
			now = now.Add(time.Minute)
			for _, c := range j.Take(now, celsius(v), nil) {
				got = append(got, c.Was.String()+">"+c.State.Level.String())
			}
		}
		return got
	}
	for _, tt := range []struct {
		values []float64
		want   string
	}{
		{[]float64{50, 99, 50}, ""},              // one slip
		{[]float64{81, 82}, "ok>watch"},          // twice
		{[]float64{79, 78, 79, 78}, ""},          // not back by the margin
		{[]float64{76, 76}, "watch>ok"},          // back
		{[]float64{96, 96}, "ok>bad"},            // straight to the worst
		{[]float64{93, 93, 90, 90}, "bad>watch"}, // and down by steps
	} {
		if got := strings.Join(levels(tt.values...), " "); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.values, got, tt.want)
		}
	}
	s := j.States()
	if len(s) != 1 || !strings.Contains(s[0].What, "too hot") || s[0].Do == "" {
		t.Errorf("states %+v", s)
	}
	// A sensor that is not read any more is forgotten, and its state is over.
	changes := j.Take(now.Add(forget), nil, nil)
	if len(changes) != 1 || changes[0].State.Level != healthapi.OK || len(j.States()) != 0 {
		t.Errorf("forgotten: %+v, %+v", changes, j.States())
	}
}

// A disk is asked every ten minutes and judged every ten seconds: what it said
// once is one reading however often it is looked at.
func TestOneReadingIsNoTwo(t *testing.T) {
	m := monitor(t, Config{SMTP: "127.0.0.1:1"})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m.put("sensors", celsius(99), nil)
	for range int(2 * forget / quickEvery) {
		now = now.Add(quickEvery)
		m.step(t.Context(), now)
	}
	if s, err := m.Status(t.Context()); err != nil || len(s.States) != 0 {
		t.Errorf("one reading made %+v, %v", s.States, err)
	}
	m.put("sensors", celsius(99), nil)
	m.step(t.Context(), now)
	if s, err := m.Status(t.Context()); err != nil || len(s.States) != 1 || s.States[0].Level != healthapi.Bad {
		t.Errorf("two readings made %+v, %v", s.States, err)
	}
	if points, err := m.history.Points("hwmon/cpu/temp1", healthapi.SpanDay, now); err != nil || len(points) != 2 {
		t.Errorf("the history has %v, %v", points, err)
	}
}

// What somebody knows of is not to be looked at until it gets worse, after a
// restart too.
func TestKnown(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	places := func(n float64) []healthapi.Reading {
		return []healthapi.Reading{{ID: "drive/x/reallocated", Kind: healthapi.Count, Name: "replaced places of disk x", Value: n, WatchHigh: ptr(10.0), BadHigh: ptr(1000.0)}}
	}
	j := NewJudge(nil, now)
	if j.SetKnown("drive/x/reallocated", true) {
		t.Error("nothing is known")
	}
	j.Take(now, places(12), nil)
	j.Take(now, places(13), nil)
	if s := j.States(); len(s) != 1 || !strings.Contains(s[0].What, ": 13, the limit is 10") {
		t.Errorf("what there is now: %+v", s)
	}
	if !j.SetKnown("drive/x/reallocated", true) {
		t.Error("it is not there")
	}
	j = NewJudge(j.States(), now)
	for _, step := range []struct {
		n     float64
		known bool
		level healthapi.Level
		tells int
	}{{13, true, healthapi.Watch, 0}, {13, true, healthapi.Watch, 0}, {14, false, healthapi.Watch, 1}, {15, false, healthapi.Watch, 0}, {2000, false, healthapi.Bad, 1}} {
		changes := j.Take(now, places(step.n), nil)
		s := j.States()
		if len(s) != 1 || s[0].Known != step.known || s[0].Level != step.level || len(changes) != step.tells {
			t.Errorf("%v: %+v, changes %+v", step.n, s, changes)
		}
	}
	j.SetKnown("drive/x/reallocated", true)
	j.Take(now, places(2000), []finding{{id: "fan", level: healthapi.Watch, what: "A fan is slow."}})
	if s := j.States(); len(s) != 2 || s[0].ID != "fan" || !s[1].Known {
		t.Errorf("what is known comes last: %+v", s)
	}
}

// A disk that holds up who asks it is a state of its own, until it answers.
func TestSourceThatHangs(t *testing.T) {
	m := monitor(t, Config{SMTP: "127.0.0.1:1"})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	states := func(after time.Duration) int {
		m.step(t.Context(), now.Add(after))
		return len(m.judge.States())
	}
	m.ask("the disks", now, func(time.Time) {
		if n := states(answerWithin - time.Second); n != 0 {
			t.Errorf("%d states too early", n)
		}
		if n := states(answerWithin); n != 1 || !strings.Contains(m.judge.States()[0].What, "the disks") {
			t.Errorf("%d states: %+v", n, m.judge.States())
		}
	})
	if n := states(answerWithin + time.Second); n != 0 {
		t.Errorf("%d states when it has answered", n)
	}
}

func TestFindingsAndRestart(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	j := NewJudge(nil, now)
	bad := []finding{{id: "raid/md0", level: healthapi.Bad, what: "The array lacks a disk."}}
	if c := j.Take(now, nil, bad); len(c) != 1 || c[0].State.Level != healthapi.Bad {
		t.Fatalf("%+v", c)
	}
	again := NewJudge(j.States(), now)
	if c := again.Take(now, nil, bad); len(c) != 0 {
		t.Errorf("told again after a restart: %+v", c)
	}
	c := again.Take(now, nil, []finding{{id: "raid/md0"}})
	if len(c) != 1 || c[0].State.Level != healthapi.OK || c[0].State.What != "The array lacks a disk." {
		t.Errorf("well again: %+v", c)
	}
}

func TestLowLimits(t *testing.T) {
	fan := func(v float64) healthapi.Reading {
		return healthapi.Reading{Kind: healthapi.Fan, Value: v, BadLow: ptr(500.0)}
	}
	for _, tt := range []struct {
		value float64
		now   healthapi.Level
		want  healthapi.Level
	}{{1200, healthapi.OK, healthapi.OK}, {500, healthapi.OK, healthapi.Bad}, {510, healthapi.Bad, healthapi.Bad}, {530, healthapi.Bad, healthapi.OK}} {
		if got := levelOf(fan(tt.value), tt.now); got != tt.want {
			t.Errorf("%v from %v: %v, want %v", tt.value, tt.now, got, tt.want)
		}
	}
}
