package boot

import (
	"context"
	"errors"
	"io/fs"

	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/power"
)

// api offers a System as initapi's service.
type api struct{ s *System }

var _ initapi.Service = api{}

func (a api) Status(context.Context) (*initapi.Status, error) {
	s := a.s
	state, data, esp := s.volumes.get()
	st := &initapi.Status{
		Version:  s.Version,
		State:    state.Status(),
		Data:     data.Status(),
		ESP:      esp.Status(),
		Problems: s.problems.list(),
	}
	s.mu.Lock()
	st.Serving, st.BootSeconds, st.Stopping = s.served, s.bootSeconds, s.stopping
	s.mu.Unlock()
	for _, svc := range s.sup.Status() {
		if svc.State == initapi.StateFailed {
			st.Problems = append(st.Problems, svc.Name+" keeps dying: "+svc.LastExit)
		}
	}
	return st, nil
}

func (a api) Services(context.Context) ([]initapi.ServiceStatus, error) { return a.s.sup.Status(), nil }

func (a api) Log(_ context.Context, service string, n int) ([]initapi.LogLine, error) {
	lines, ok := a.s.book.Lines(service, n)
	if !ok {
		return nil, wire.NotFound("%s has not logged anything", service)
	}
	return lines, nil
}

func (a api) StreamLog(ctx context.Context, q initapi.LogQuery, fn func(initapi.LogItem) error) error {
	err := a.s.book.Stream(ctx, q, fn)
	if errors.Is(err, fs.ErrNotExist) {
		return wire.NotFound("%s has not logged anything", q.Service)
	}
	return err
}

func (a api) Events(context.Context) ([]initapi.Event, error) { return a.s.events.all(), nil }

func (a api) Restart(_ context.Context, service string) error { return a.s.sup.Restart(service) }

// UseDisk goes on to its end when who asked does not wait for it.
func (a api) UseDisk(ctx context.Context, req initapi.UseDiskRequest) error {
	return a.s.useMailDisk(context.WithoutCancel(ctx), req.Partition)
}

func (a api) PowerOff(_ context.Context, req initapi.StopRequest) error {
	a.s.wish(power.Off, reason(req))
	return nil
}

func (a api) Reboot(_ context.Context, req initapi.StopRequest) error {
	a.s.wish(power.Reboot, reason(req))
	return nil
}

func reason(req initapi.StopRequest) string {
	if req.Reason == "" {
		return "asked for over the API"
	}
	return req.Reason
}
