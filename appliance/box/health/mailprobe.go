package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/mailapi"
)

const (
	// mailEvery is how often a test message is sent: often enough to notice a
	// hang before people do, at the cost of three commits.
	mailEvery = 5 * time.Minute

	// mailSlow is how long a test message may take on a busy box.
	mailSlow = 20 * time.Second
)

// mailProbe has maild send itself a test message and keeps how it fared.
type mailProbe struct {
	mu      sync.Mutex
	ended   time.Time // the last that came through, or was refused with an answer
	last    mailapi.ProbeResult
	refused int // in a row
	fresh   bool
}

// run sends a message where it is time for one. It fails where the message
// hangs or comes back wrong; then the next call tries again. A message that is
// refused with an answer is no hang: a restart would not change the answer.
func (p *mailProbe) run(ctx context.Context, mail mailapi.Service) error {
	p.mu.Lock()
	due := time.Since(p.ended) >= mailEvery
	p.mu.Unlock()
	if !due {
		return nil
	}
	r, err := mail.Probe(ctx)
	if err != nil {
		return fmt.Errorf("a test message is not delivered: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.fresh = *r, true
	if r.Failure != "" && !r.Refused {
		return errors.New("a test message is not delivered: " + r.Step + ": " + r.Failure)
	}
	if p.ended = time.Now(); r.Refused {
		p.refused++
	} else {
		p.refused = 0
	}
	return nil
}

// outcome is what the last message tells; fresh is true once for each.
func (p *mailProbe) outcome() (r healthapi.Reading, f finding, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh, p.fresh = p.fresh, false
	f.id = "mail/probe"
	switch {
	case p.refused >= confirmations:
		f.level = healthapi.Bad
		f.what = "The box refuses mail to itself: " + p.last.Failure + "."
		f.means = "Mail from others is probably refused too; they will try again for some days."
		f.do = "Look at the log of maild; make a support bundle."
	case p.last.Failure != "" && !p.last.Refused:
		f.level = healthapi.Bad
		f.what = fmt.Sprintf("A test message was not delivered (%s: %s).", p.last.Step, p.last.Failure)
		f.means = "Mail does not arrive now. The watchdog restarts the box if it stays so."
		f.do = "Wait some minutes; then look at the log of maild, and at the disks."
	}
	r = healthapi.Reading{ID: "mail/probe/seconds", Kind: healthapi.Seconds, Name: "time a test message takes", Value: p.last.Seconds, WatchHigh: ptr(mailSlow.Seconds())}
	return r, f, fresh
}
