package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
)

type fakeHealth struct {
	healthapi.Service
	kept  healthapi.Settings
	known []healthapi.Known
}

func (f *fakeHealth) Settings(context.Context) (*healthapi.Settings, error) {
	s := f.kept
	return &s, nil
}

func (f *fakeHealth) Status(context.Context) (*healthapi.Status, error) {
	return &healthapi.Status{
		Readings: []healthapi.Reading{{Kind: healthapi.Temperature, Name: "processor", Value: 45}},
		Watchdog: healthapi.Watchdog{Device: "watchdog0", Identity: "i6300ESB", Held: "SMTP does not greet"},
	}, nil
}

func (f *fakeHealth) SetSettings(_ context.Context, s healthapi.Settings) (*healthapi.Settings, error) {
	f.kept = s
	return &s, nil
}

func (f *fakeHealth) SetKnown(_ context.Context, k healthapi.Known) error {
	f.known = append(f.known, k)
	return nil
}

func (f *fakeHealth) Test(context.Context) ([]healthapi.Told, error) {
	if f.kept.Webhook == "" {
		return []healthapi.Told{{Way: "mail"}}, nil
	}
	return []healthapi.Told{{Way: "mail"}, {Way: "webhook", Error: "webhook answers 404"}}, nil
}

type fakeInit struct {
	initapi.Service
	asked initapi.LogQuery
}

func (f *fakeInit) StreamLog(_ context.Context, q initapi.LogQuery, fn func(initapi.LogItem) error) error {
	f.asked = q
	if err := fn(initapi.LogItem{LogLine: initapi.LogLine{Time: time.Now(), Service: "maild", Text: "hello"}}); err != nil {
		return err
	}
	return fn(initapi.LogItem{Missed: 4})
}

func TestHealthSettingsAndLog(t *testing.T) {
	h, i := &fakeHealth{}, &fakeInit{}
	run := func(line string) (int, string) {
		var out bytes.Buffer
		c := &ctl{health: h, init: i, out: &out, err: &out}
		return c.run(t.Context(), strings.Fields(line)), out.String()
	}
	for _, tt := range []struct {
		line string
		code int
		out  string
		kept healthapi.Settings
	}{
		{"health settings", 0, "mail", healthapi.Settings{}},
		{"health settings mail=false syslog=tls://h light=true", 0, "tls://h", healthapi.Settings{NoMail: true, Light: true, Syslog: "tls://h"}},
		{"health settings mail=true syslog=", 0, "weekly", healthapi.Settings{Light: true}},
		{"health settings light=maybe", 2, "neither", healthapi.Settings{Light: true}},
		{"health settings colour=red", 2, "colour", healthapi.Settings{Light: true}},
		{"health settings light", 2, "NAME=VALUE", healthapi.Settings{Light: true}},
		{"health test", 0, "sent", healthapi.Settings{Light: true}},
		{"health settings metrics=true webhook=https://h", 0, "https://h", healthapi.Settings{Light: true, Metrics: true, Webhook: "https://h"}},
		{"health test", 3, "webhook answers 404", healthapi.Settings{Light: true, Metrics: true, Webhook: "https://h"}},
	} {
		if code, out := run(tt.line); code != tt.code || !strings.Contains(out, tt.out) || h.kept != tt.kept {
			t.Errorf("%s: %d %q, kept %+v", tt.line, code, out, h.kept)
		}
	}
	if code, out := run("health --all"); code != 0 || !strings.Contains(out, "all is well") || !strings.Contains(out, "i6300ESB") || !strings.Contains(out, "SMTP does not greet") || !strings.Contains(out, "processor") {
		t.Errorf("%d %q", code, out)
	}
	if code, out := run("health known fan/1"); code != 0 {
		t.Errorf("%d %q", code, out)
	}
	if code, out := run("health unknown fan/1"); code != 0 || !slices.Equal(h.known, []healthapi.Known{{ID: "fan/1", Known: true}, {ID: "fan/1"}}) {
		t.Errorf("%d %q %+v", code, out, h.known)
	}
	if code, _ := run("health known"); code != 2 {
		t.Errorf("known of nothing: %d", code)
	}
	if code, out := run("log maild --follow --grep hell -n 5"); code != 0 || !strings.Contains(out, "maild     hello\n") || !strings.Contains(out, "4 lines") ||
		i.asked != (initapi.LogQuery{Service: "maild", Contains: "hell", Lines: 5, Follow: true}) {
		t.Errorf("%d %q %+v", code, out, i.asked)
	}
	if code, out := run("log maild --stored"); code != 0 || !i.asked.Stored || i.asked.Lines != logLines {
		t.Errorf("%d %q %+v", code, out, i.asked)
	}
}
