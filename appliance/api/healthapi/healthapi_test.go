package healthapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"pillarbox/appliance/api/wire"
)

type fake struct{}

var when = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (fake) Status(context.Context) (*Status, error) {
	return &Status{Time: when, Level: Watch, States: []State{{ID: "fan", Level: Watch, What: "A fan is slow.", Since: when}}}, nil
}

func (fake) Settings(context.Context) (*Settings, error) {
	return &Settings{UPS: "rack@192.0.2.7"}, nil
}

func (fake) SetSettings(_ context.Context, s Settings) (*Settings, error) {
	if s.Webhook == "x" {
		return nil, wire.Invalid("webhook", "must be a URL")
	}
	return &s, nil
}

func (fake) History(_ context.Context, id, span string) ([]Point, error) {
	if id == "" {
		return nil, wire.NotFound("no reading %q", id)
	}
	return []Point{{when, 1, 0, float64(len(span))}}, nil
}

func (fake) SetKnown(_ context.Context, k Known) error {
	if k != (Known{"fan", true}) {
		return wire.NotFound("there is no state %q", k.ID)
	}
	return nil
}

func (fake) Test(context.Context) ([]Told, error) {
	return []Told{{"mail", ""}, {"webhook", "404"}}, nil
}

func TestClientAndHandler(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(Handler(fake{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })))
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	c := NewClient(path)
	defer c.Close()
	s, err := c.Status(t.Context())
	if err != nil || s.Level != Watch || len(s.States) != 1 || s.States[0].Level != Watch || !s.Time.Equal(when) {
		t.Errorf("status %+v, %v", s, err)
	}
	h, err := c.History(t.Context(), "x", SpanDay)
	if err != nil || len(h) != 1 || h[0].Max != 3 {
		t.Errorf("history %+v, %v", h, err)
	}
	var we *wire.Error
	if _, err := c.History(t.Context(), "x", "week"); !errors.As(err, &we) || we.Field != "span" {
		t.Errorf("a span of a week: %v", err)
	}
	if _, err := c.History(t.Context(), "", ""); !errors.As(err, &we) || we.Code != wire.CodeNotFound {
		t.Errorf("no id: %v", err)
	}
	if s, err := c.Settings(t.Context()); err != nil || s.UPS != "rack@192.0.2.7" {
		t.Errorf("settings %+v, %v", s, err)
	}
	want := Settings{Weekly: true, Syslog: "tls://logs.example.org"}
	if s, err := c.SetSettings(t.Context(), want); err != nil || *s != want {
		t.Errorf("settings %+v, %v", s, err)
	}
	if _, err := c.SetSettings(t.Context(), Settings{Webhook: "x"}); !errors.As(err, &we) || we.Field != "webhook" {
		t.Errorf("wrong settings: %v", err)
	}
	if err := c.SetKnown(t.Context(), Known{"fan", true}); err != nil {
		t.Errorf("known: %v", err)
	}
	if err := c.SetKnown(t.Context(), Known{"x", true}); !errors.As(err, &we) || we.Code != wire.CodeNotFound {
		t.Errorf("known of nothing: %v", err)
	}
	if told, err := c.Test(t.Context()); err != nil || len(told) != 2 || told[1].Error != "404" {
		t.Errorf("told %+v, %v", told, err)
	}
}
