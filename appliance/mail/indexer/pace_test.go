package indexer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		busy := false
		p := pace{busy: func() bool { return busy }}
		for _, tc := range []struct {
			busy       bool
			work, rest time.Duration
		}{
			{false, time.Second, 0},
			{true, 2 * time.Millisecond, restFactor * 2 * time.Millisecond},
			{true, 5 * time.Millisecond, restFactor * 5 * time.Millisecond},
			{true, time.Minute, longestRest},
		} {
			busy = tc.busy
			p.begin()
			time.Sleep(tc.work)
			at := time.Now()
			if err := p.rest(ctx); err != nil || time.Since(at) != tc.rest {
				t.Errorf("%v of work, busy %v: rested %v, %v", tc.work, tc.busy, time.Since(at), err)
			}
		}
		p.begin()
		time.Sleep(time.Minute)
		cancel()
		if err := p.rest(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}
