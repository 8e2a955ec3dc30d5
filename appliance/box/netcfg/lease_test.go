package netcfg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeExchange answers from a script: each call takes the next word. "ok" grants
// or extends, "nak" refuses, "no" times out; when the script is at its end, every
// call times out.
type fakeExchange struct {
	mu       sync.Mutex
	script   []string
	lifetime time.Duration
	begin    time.Time // of the test
	log      []string
}

func (x *fakeExchange) call(ctx context.Context, what string) (*Lease, error) {
	x.mu.Lock()
	word := "no"
	if len(x.script) > 0 {
		word, x.script = x.script[0], x.script[1:]
	}
	x.log = append(x.log, fmt.Sprintf("%v %s %s", time.Since(x.begin).Round(time.Second), what, word))
	x.mu.Unlock()
	begin := time.Now()
	switch word {
	case "ok", "taken":
		l := &Lease{Address: netip.MustParsePrefix("192.0.2.5/24"), Begin: begin, Server: netip.MustParseAddr("192.0.2.1")}
		l.setTimes(x.lifetime, 0, 0)
		l.Raw = word
		return l, nil
	case "nak":
		return nil, ErrRefused
	}
	sleep(ctx, 20*time.Second)
	return nil, ErrNoServer
}

func (x *fakeExchange) Acquire(ctx context.Context, hint netip.Addr) (*Lease, error) {
	what := "acquire"
	if hint.IsValid() {
		what += "(" + hint.String() + ")"
	}
	return x.call(ctx, what)
}

func (x *fakeExchange) Decline(context.Context, *Lease) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.log = append(x.log, fmt.Sprintf("%v decline", time.Since(x.begin).Round(time.Second)))
	return nil
}

func (x *fakeExchange) Renew(ctx context.Context, _ *Lease) (*Lease, error) {
	return x.call(ctx, "renew")
}

func (x *fakeExchange) Rebind(ctx context.Context, _ *Lease) (*Lease, error) {
	return x.call(ctx, "rebind")
}

func TestLeaseLoop(t *testing.T) {
	for _, tt := range []struct {
		name     string
		script   string
		lifetime time.Duration
		carrier  time.Duration // when a carrier comes back
		runs     time.Duration
		want     string
	}{
		{"another has the address", "taken ok", time.Hour, 0, 15 * time.Second,
			"0s acquire taken|0s decline|10s acquire ok"},
		{"renewed at half time", "ok ok ok", time.Hour, 0, 61 * time.Minute,
			"0s acquire ok|30m0s renew ok|1h0m0s renew ok"},
		{"no server at first", "no no ok", time.Hour, 0, time.Minute,
			"0s acquire no|22s acquire no|46s acquire ok"},
		{"refused when renewing", "ok nak ok", time.Hour, 0, 31 * time.Minute,
			"0s acquire ok|30m0s renew nak|30m0s lost|30m0s acquire(192.0.2.5) ok"},
		// Renewals at half of what is left to 52m30s, a minute apart at least,
		// then rebinding; the lease ends after an hour.
		{"server dies", "ok", time.Hour, 0, 60*time.Minute + 10*time.Second,
			"0s acquire ok|30m0s renew no|41m25s renew no|47m8s renew no|49m59s renew no|51m24s renew no|" +
				"52m30s rebind no|56m25s rebind no|58m23s rebind no|59m43s rebind no|1h0m0s lost|1h0m0s acquire(192.0.2.5) no"},
		{"another server takes over", "ok no no no no no ok ok", time.Hour, 0, 70 * time.Minute,
			"0s acquire ok|30m0s renew no|41m25s renew no|47m8s renew no|49m59s renew no|51m24s renew no|52m30s rebind ok"},
		{"renewing takes until any server may answer", "ok no ok", 40 * time.Second, 0, 50 * time.Second,
			"0s acquire ok|20s renew no|35s rebind ok"},
		{"for ever", "ok", 0, 0, 100 * 24 * time.Hour, "0s acquire ok"},
		{"cable pulled and put back", "ok ok ok", time.Hour, 10 * time.Minute, 50 * time.Minute,
			"0s acquire ok|10m0s rebind ok|40m0s renew ok"},
		{"put into another network", "ok nak ok", time.Hour, 10 * time.Minute, 11 * time.Minute,
			"0s acquire ok|10m0s rebind nak|10m0s lost|10m0s acquire(192.0.2.5) ok"},
		{"a lease of no length", "ok ok", time.Nanosecond, 0, 16 * time.Second,
			"0s acquire ok|15s renew ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &fakeExchange{script: strings.Fields(tt.script), lifetime: tt.lifetime, begin: time.Now()}
				back := make(chan struct{}, 1)
				bound := 0
				l := &leaseLoop{
					x: x, back: back, log: slog.New(slog.DiscardHandler),
					free: func(_ context.Context, l *Lease) error {
						if l.Raw == "taken" {
							return &TakenError{Address: l.Address.Addr()}
						}
						return nil
					},
					bound: func(*Lease) error { bound++; return nil },
					lost: func() {
						x.mu.Lock()
						x.log = append(x.log, fmt.Sprintf("%v lost", time.Since(x.begin).Round(time.Second)))
						x.mu.Unlock()
					},
					fault: func(error) {},
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { l.run(ctx); close(done) }()
				if tt.carrier > 0 {
					time.Sleep(tt.carrier)
					back <- struct{}{}
					time.Sleep(tt.runs - tt.carrier)
				} else {
					time.Sleep(tt.runs)
				}
				cancel()
				<-done
				if got := strings.Join(x.log, "|"); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
				if n := strings.Count(strings.Join(x.log, "|"), " ok"); n != bound {
					t.Errorf("%d leases, %d put to use", n, bound)
				}
			})
		})
	}
}

// A lease that cannot be put to use is asked for again, and the reason told.
func TestLeaseThatCannotBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &fakeExchange{script: []string{"ok", "ok"}, lifetime: time.Hour, begin: time.Now()}
		var faults []error
		fail := errors.New("no such device")
		l := &leaseLoop{
			x: x, back: make(chan struct{}), log: slog.New(slog.DiscardHandler),
			free:  func(context.Context, *Lease) error { return nil },
			bound: func(*Lease) error { err := fail; fail = nil; return err },
			lost:  func() { t.Error("lost") },
			fault: func(err error) { faults = append(faults, err) },
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		l.run(ctx)
		if len(faults) != 2 || faults[0] == nil || faults[1] != nil {
			t.Errorf("faults: %v", faults)
		}
		if !slices.Equal(x.log, []string{"0s acquire ok", "2s acquire ok"}) {
			t.Errorf("log: %v", x.log)
		}
	})
}

func TestTimes(t *testing.T) {
	for _, tt := range []struct{ lifetime, t1, t2, wantLife, wantT1, wantT2 time.Duration }{
		{800, 0, 0, 800, 400, 700},
		{800, 100, 200, 800, 100, 200},
		{800, 200, 100, 800, 400, 700},
		{800, 100, 900, 800, 400, 700},
		{0, 0, 0, 0, 0, 0},
		{0xffffffff, 0, 0, 0, 0, 0},
		{1, 0, 0, 30, 15, 26},
	} {
		var l Lease
		l.setTimes(tt.lifetime*time.Second, tt.t1*time.Second, tt.t2*time.Second)
		if l.Lifetime != tt.wantLife*time.Second || l.T1 != tt.wantT1*time.Second || l.T2.Truncate(time.Second) != tt.wantT2*time.Second {
			t.Errorf("%+v: got %v %v %v", tt, l.Lifetime, l.T1, l.T2)
		}
	}
}
