package initapi

import (
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pillarbox/appliance/api/wire"
)

// fake answers with fixed values and keeps what it was asked.
type fake struct {
	asked []any
}

var (
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	status = Status{Version: "1", Serving: true, BootSeconds: 12.5, Data: Volume{Mounted: true, Size: 7}, Problems: []string{"p"}}
	states = []ServiceStatus{{Name: "maild", State: StateRunning, PID: 7, Since: now}}
	lines  = []LogLine{{Time: now, Service: "maild", Text: "t"}}
	events = []Event{{Time: now, Level: LevelAlert, Text: "e"}}
)

func (f *fake) Status(context.Context) (*Status, error)           { s := status; return &s, nil }
func (f *fake) Services(context.Context) ([]ServiceStatus, error) { return states, nil }
func (f *fake) Events(context.Context) ([]Event, error)           { return events, nil }
func (f *fake) PowerOff(_ context.Context, req StopRequest) error {
	f.asked = append(f.asked, req)
	return nil
}
func (f *fake) Reboot(_ context.Context, req StopRequest) error {
	f.asked = append(f.asked, req)
	return nil
}
func (f *fake) UseDisk(_ context.Context, req UseDiskRequest) error {
	f.asked = append(f.asked, req)
	return nil
}
func (f *fake) Log(_ context.Context, service string, n int) ([]LogLine, error) {
	f.asked = append(f.asked, service, n)
	return lines, nil
}

func (f *fake) StreamLog(ctx context.Context, q LogQuery, fn func(LogItem) error) error {
	f.asked = append(f.asked, q)
	if q.Service == "silent" {
		return wire.NotFound("silent has not logged anything")
	}
	for range 2 {
		if err := fn(LogItem{LogLine: lines[0]}); err != nil {
			return err
		}
	}
	if q.Follow {
		if err := fn(LogItem{Missed: 3}); err != nil {
			return err
		}
		<-ctx.Done()
	}
	return nil
}

func (f *fake) Restart(_ context.Context, service string) error {
	return wire.NotFound("no service %q", service)
}

func TestClientAndHandlerAgree(t *testing.T) {
	f := new(fake)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(Handler(f))
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	c := NewClient(path)
	defer c.Close()
	ctx := t.Context()

	check := func(what string, got any, err error, want any) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", what, got, err, want)
		}
	}
	s, err := c.Status(ctx)
	check("status", s, err, &status)
	ss, err := c.Services(ctx)
	check("services", ss, err, states)
	es, err := c.Events(ctx)
	check("events", es, err, events)
	ll, err := c.Log(ctx, "maild", 5)
	check("log", ll, err, lines)
	ll, err = c.Log(ctx, "", 0)
	check("log", ll, err, lines)
	check("poweroff", nil, c.PowerOff(ctx, StopRequest{Reason: "r"}), nil)
	check("reboot", nil, c.Reboot(ctx, StopRequest{}), nil)
	check("use disk", nil, c.UseDisk(ctx, UseDiskRequest{Partition: "p"}), nil)
	check("asked", f.asked, nil, []any{"maild", 5, "", 0, StopRequest{Reason: "r"}, StopRequest{}, UseDiskRequest{Partition: "p"}})

	var e *wire.Error
	if err := c.Restart(ctx, "no/ne"); !errors.As(err, &e) || e.Code != wire.CodeNotFound || e.Message != `no service "no/ne"` {
		t.Errorf("restart: %v", err)
	}
}

func TestStreamLog(t *testing.T) {
	f := new(fake)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(Handler(f))
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	c := NewClient(path)
	defer c.Close()
	collect := func(ctx context.Context, q LogQuery, until int) (n int, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		err = c.StreamLog(ctx, q, func(i LogItem) error {
			if n++; i.Missed == 0 && i.LogLine != lines[0] || i.Missed != 0 && i.Missed != 3 {
				t.Errorf("%+v", i)
			}
			if n == until {
				cancel()
			}
			return nil
		})
		return n, err
	}
	q := LogQuery{Service: "maild", Contains: "a b", Since: now, Lines: 7, Stored: true}
	if n, err := collect(t.Context(), q, 0); n != 2 || err != nil || !reflect.DeepEqual(f.asked, []any{q}) {
		t.Errorf("%d items, %v, asked %+v", n, err, f.asked)
	}
	if n, err := collect(t.Context(), LogQuery{Follow: true}, 3); n != 3 || err != nil {
		t.Errorf("followed %d items, %v", n, err)
	}
	stop := errors.New("enough")
	if err := c.StreamLog(t.Context(), LogQuery{Follow: true}, func(LogItem) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the taker's own error: %v", err)
	}
	var we *wire.Error
	for _, bad := range []LogQuery{{Stored: true}, {Service: "x", Stored: true, Follow: true}} {
		if _, err := collect(t.Context(), bad, 0); !errors.As(err, &we) || we.Code != wire.CodeInvalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := collect(t.Context(), LogQuery{Service: "silent"}, 0); !errors.As(err, &we) || we.Code != wire.CodeNotFound {
		t.Errorf("a service that said nothing: %v", err)
	}
}
