package console

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
)

// An event is found again in what slog made of it, whatever its text is.
func TestEventsAreReadFromTheLog(t *testing.T) {
	when := time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC)
	for _, text := range []string{
		"maild died (killed) and is started again", "stopped", `a "quoted" word`, `C:\ and a tab	in it`, `it says event=alert`,
		"mail from <ann@example.org> to <bob@example.net> could not be delivered: 550 5.1.1 what=msg event=info",
	} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Warn(text, "event", mailapi.LevelWarn)
		e, ok := eventOf(initapi.LogLine{Time: when, Text: strings.TrimSpace(log.String())})
		if want := (Event{when, "warning", text}); !ok || e != want {
			t.Errorf("%q became %+v, %v", text, e, ok)
		}
	}
	for _, line := range []string{"", "level=INFO msg=started", `level=INFO msg="event=info"`, `level=INFO msg=x event=info more=1`, `level=INFO msg="x event=info`} {
		if e, ok := eventOf(initapi.LogLine{Text: line}); ok {
			t.Errorf("%q is taken for the event %+v", line, e)
		}
	}
}

// remembers is an init with logs on its disk, and maild that has just begun.
type remembers struct {
	saysInit
	stored map[string][]string // by service
	events []initapi.Event
	asked  int
}

func (r *remembers) Events(context.Context) ([]initapi.Event, error) { return r.events, nil }

func (r *remembers) StreamLog(_ context.Context, q initapi.LogQuery, fn func(initapi.LogItem) error) error {
	r.asked++
	lines, ok := r.stored[q.Service]
	if !ok || !q.Stored {
		return wire.NotFound("%s has not logged anything", q.Service)
	}
	for _, l := range lines {
		at, text, _ := strings.Cut(l, " ")
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return err
		}
		if strings.Contains(text, q.Contains) {
			if err := fn(initapi.LogItem{LogLine: initapi.LogLine{Time: when, Service: q.Service, Text: text}}); err != nil {
				return err
			}
		}
	}
	return nil
}

type startsMail struct {
	mailapi.Service
	started time.Time
	events  []mailapi.Event
}

func (s *startsMail) Status(context.Context) (*mailapi.Status, error) {
	return &mailapi.Status{Started: s.started, LastEvents: s.events}, nil
}

func TestEventsOutliveARestart(t *testing.T) {
	at := func(s string) time.Time {
		when, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	init := &remembers{
		events: []initapi.Event{{Time: at("2026-03-04T09:00:00Z"), Level: initapi.LevelInfo, Text: "maild runs again"}},
	}
	mail := &startsMail{started: at("2026-03-04T08:00:00Z")}
	s := &Sockets{Init: init, Box: saysBox{}, Mail: mail}
	texts := func() string {
		st, err := s.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, e := range st.Events {
			all = append(all, e.Time.Format("02T15:04")+" "+e.Level+" "+e.Text)
		}
		return strings.Join(all, "\n")
	}
	// The disk with the logs comes later.
	if got, want := texts(), "04T09:00 info maild runs again"; got != want {
		t.Errorf("without logs:\n%s", got)
	}
	init.stored = map[string][]string{
		"init": {
			"2026-03-02T22:00:00Z level=WARN msg=\"maild died (killed) and is started again\" event=warn",
			"2026-03-02T22:00:01Z level=INFO msg=\"no event\"",
			"2026-03-04T09:00:01Z level=INFO msg=\"maild runs again\" event=info",
		},
		"maild": {"2026-03-03T22:00:00Z time=2026-03-03T22:00:00Z level=WARN msg=\"mailbox eve@example.org was removed with all its mail\" event=warn"},
	}
	want := "04T09:00 info maild runs again\n03T22:00 warning mailbox eve@example.org was removed with all its mail\n02T22:00 warning maild died (killed) and is started again"
	if got := texts(); got != want {
		t.Errorf("with logs:\n%s\nwant\n%s", got, want)
	}
	// They are read once for each start of maild, not at each look.
	asked := init.asked
	texts()
	if init.asked != asked {
		t.Errorf("asked %d times more", init.asked-asked)
	}
	init.stored["maild"] = append(init.stored["maild"], "2026-03-04T10:00:00Z level=INFO msg=\"domain example.net was added\" event=info")
	mail.started = at("2026-03-04T11:00:00Z")
	if got, want := texts(), "04T10:00 info domain example.net was added\n"+want; got != want {
		t.Errorf("after maild's restart:\n%s\nwant\n%s", got, want)
	}
}

// Of maild alone they are in order too, and while it does not answer the logs are
// not read anew.
func TestEventsWhileADaemonIsSilent(t *testing.T) {
	when := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	mail := &startsMail{started: when, events: []mailapi.Event{{Time: when, Text: "first"}, {Time: when.Add(time.Hour), Text: "second"}}}
	st, err := (&Sockets{Init: silentInit{}, Box: saysBox{}, Mail: mail}).State(t.Context())
	if err != nil || len(st.Events) != 2 || st.Events[0].Text != "second" {
		t.Errorf("%+v, %v", st.Events, err)
	}
	init := &remembers{stored: map[string][]string{"init": nil, "maild": nil}}
	var p pastEvents
	p.add(t.Context(), init, when, nil)
	asked := init.asked
	p.add(t.Context(), init, time.Time{}, nil)
	p.add(t.Context(), init, when, nil)
	if init.asked != asked {
		t.Errorf("asked %d times more", init.asked-asked)
	}
}

type silentInit struct{ initapi.Service }

func (silentInit) Status(context.Context) (*initapi.Status, error) { return nil, errors.New("silent") }

// An event is read to its end on the status page, and all are in the menu.
func TestEventsAreWhole(t *testing.T) {
	d, _, _ := menuDrive(t)
	f := d.m.backend.(*fake)
	when := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	long := "mail from <ann@example.org> to <someone.with.a.long.name@department.example.net> could not be delivered: 550 5.1.1 no such user here"
	f.state.Events = []Event{{when, "warning", long}, {when.Add(-time.Hour), "info", "maild runs again"}}
	for i := range 30 {
		f.state.Events = append(f.state.Events, Event{when.Add(-time.Duration(i+2) * time.Hour), "warning", long})
	}
	d.run(d.m.readState)
	d.expect("status-events")
	d.fits("status")
	d.unlock()
	d.choose("Logs")
	d.choose("Last events")
	d.expect("menu-events")
	d.keys("/", "runs again", "enter")
	d.wants("2026-03-04 08:00  maild runs again")
	d.keys("/")
	d.press(len("runs again"), "backspace")
	d.keys("no such", "enter")
	d.wants("mail from <ann@example.org>", "be delivered: 550")

	// There is room for a part of the latest at least.
	lines := lastEvents(d.m.t, d.m.c, f.state.Events, time.UTC, 80, 4)
	if len(lines) != 4 {
		t.Errorf("%q", lines)
	}
	if lines := lastEvents(d.m.t, d.m.c, f.state.Events, time.UTC, 80, 2); lines != nil {
		t.Errorf("a title without events: %q", lines)
	}
}

// A page without a past is no page that fails.
func TestEventsWithoutALog(t *testing.T) {
	init := &remembers{stored: map[string][]string{"init": nil}}
	var p pastEvents
	if got := p.add(t.Context(), init, time.Time{}, nil); len(got) != 0 || !p.read {
		t.Errorf("%+v, %+v", got, &p)
	}
	p = pastEvents{}
	if got := p.add(t.Context(), failsInit{}, time.Time{}, []Event{{Text: "x"}}); len(got) != 1 || !p.read {
		t.Errorf("%+v, %+v", got, &p)
	}
}

type failsInit struct{ initapi.Service }

func (failsInit) StreamLog(context.Context, initapi.LogQuery, func(initapi.LogItem) error) error {
	return errors.New("input/output error")
}
