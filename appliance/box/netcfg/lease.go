package netcfg

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"
)

const (
	// firstPause and longestPause bound the wait before another try to get a
	// lease; the client has sent several requests before each.
	firstPause   = 2 * time.Second
	longestPause = time.Minute

	// leastRetry is the shortest time between two attempts to extend a lease
	// (RFC 2131 section 4.4.5).
	leastRetry = time.Minute

	// declinePause is the wait after an address was declined (RFC 2131 section
	// 3.1 point 5).
	declinePause = 10 * time.Second

	// shortestLease is the least that a lease counts for: a server that says
	// less would have the box do nothing but ask.
	shortestLease = 30 * time.Second
)

// ErrRefused is returned when the server says that the address is not, or no
// longer, the client's (DHCPNAK).
var ErrRefused = errors.New("the DHCP server refuses the address")

// ErrNoServer is returned when no server has answered.
var ErrNoServer = errors.New("no DHCP server answers")

// Lease is an address that a DHCP server granted, with what came along.
type Lease struct {
	Address netip.Prefix
	Routes  []Route
	DNS     []netip.Addr
	NTP     []netip.Addr
	Search  []string // domains
	Server  netip.Addr

	Begin    time.Time     // when it was asked for
	Lifetime time.Duration // 0: for ever
	T1, T2   time.Duration // from Begin: when to renew, when to rebind

	// Raw is what the client needs to extend the lease.
	Raw any
}

// expires returns the end of the lease, the zero time if it has none.
func (l *Lease) expires() time.Time {
	if l.Lifetime == 0 {
		return time.Time{}
	}
	return l.Begin.Add(l.Lifetime)
}

func (l *Lease) setup() Setup {
	s := Setup{Address: l.Address, Routes: l.Routes}
	if l.Lifetime != 0 {
		s.Valid = max(time.Until(l.expires()), time.Second)
	}
	return s
}

// Exchange talks to DHCP servers on one interface. Its calls send what RFC 2131
// section 4.4 asks for, repeat it a few times, and return ErrRefused for a DHCPNAK,
// ErrNoServer for no answer at all.
type Exchange interface {
	// Acquire gets a new lease; hint is the address last had, if valid.
	Acquire(ctx context.Context, hint netip.Addr) (*Lease, error)
	// Renew asks the server of the lease to extend it, by unicast.
	Renew(ctx context.Context, l *Lease) (*Lease, error)
	// Rebind asks any server to extend the lease, by broadcast.
	Rebind(ctx context.Context, l *Lease) (*Lease, error)
	// Decline tells the server that another station has the address.
	Decline(ctx context.Context, l *Lease) error
}

// leaseLoop gets a lease and keeps it, for ever.
type leaseLoop struct {
	x     Exchange
	back  <-chan struct{}                     // the carrier came back
	free  func(context.Context, *Lease) error // a *TakenError where another station has the address
	bound func(*Lease) error                  // put the lease to use; also when it was extended
	lost  func()                              // the address must not be used any more
	fault func(error)                         // what is wrong now; nil: nothing
	log   *slog.Logger
}

func (l *leaseLoop) run(ctx context.Context) {
	var hint netip.Addr
	for ctx.Err() == nil {
		lease := l.acquire(ctx, hint)
		if lease == nil {
			return
		}
		hint = lease.Address.Addr()
		l.keep(ctx, lease)
		if ctx.Err() == nil {
			l.lost()
		}
	}
}

// acquire tries until there is a lease in use. It returns nil when ctx ended.
func (l *leaseLoop) acquire(ctx context.Context, hint netip.Addr) *Lease {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longestPause) {
		lease, err := l.x.Acquire(ctx, hint)
		if err == nil {
			err = l.free(ctx, lease)
		}
		if err == nil {
			err = l.bound(lease)
		}
		if taken := (*TakenError)(nil); errors.As(err, &taken) {
			l.log.Warn("the server grants an address that is taken", "address", taken.Address.String(), "owner", taken.Owner)
			if err := l.x.Decline(ctx, lease); err != nil {
				l.log.Warn("decline", "error", err)
			}
			hint, pause = netip.Addr{}, max(pause, declinePause)
			l.drain()
		}
		if ctx.Err() != nil {
			break
		}
		l.fault(err)
		if err == nil {
			l.log.Info("lease", "address", lease.Address.String(), "server", lease.Server.String(), "lifetime", lease.Lifetime)
			return lease
		}
		l.log.Debug("no lease", "error", err, "pause", pause)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-l.back: // at once, and soon again after
			pause = firstPause / 2
		case <-ctx.Done():
		}
		t.Stop()
	}
	return nil
}

// keep extends the lease for as long as that can be done. It returns when the
// lease has ended, was refused, or ctx ended.
func (l *leaseLoop) keep(ctx context.Context, lease *Lease) {
	l.drain()
	rebound := false // any server was asked already
	for {
		wait, extend := l.next(lease, rebound)
		var due <-chan time.Time
		var t *time.Timer
		if wait >= 0 {
			t = time.NewTimer(wait)
			due = t.C
		}
		select {
		case <-due:
		case <-l.back:
			extend = l.x.Rebind
		case <-ctx.Done():
		}
		if t != nil {
			t.Stop()
		}
		if ctx.Err() != nil || extend == nil {
			return
		}
		// Do not outlive the lease while waiting for an answer, nor ask a server
		// that is dead past the time when any may answer.
		call, cancel := ctx, context.CancelFunc(func() {})
		if age := time.Since(lease.Begin); lease.Lifetime != 0 && age < lease.T2 {
			call, cancel = context.WithDeadline(ctx, lease.Begin.Add(lease.T2))
		} else if lease.Lifetime != 0 {
			call, cancel = context.WithDeadline(ctx, lease.expires())
			rebound = true
		}
		longer, err := extend(call, lease)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrRefused):
			l.log.Warn("lease refused", "address", lease.Address.String())
			return
		case err == nil:
			if err = l.bound(longer); err == nil {
				lease, rebound = longer, false
			}
		}
		l.fault(err)
	}
}

// drain forgets a carrier that came while a lease was asked for: it is no news.
func (l *leaseLoop) drain() {
	select {
	case <-l.back:
	default:
	}
}

// next returns how long to wait and what to do then: nil for nothing, since the
// lease has ended. A negative wait is for ever. rebound tells that any server was
// asked since T2.
func (l *leaseLoop) next(lease *Lease, rebound bool) (time.Duration, func(context.Context, *Lease) (*Lease, error)) {
	if lease.Lifetime == 0 {
		return -1, nil
	}
	// RFC 2131 section 4.4.5: between T1 and T2 wait half of what is left to
	// T2, between T2 and the end half of what is left, but a minute at least.
	age := time.Since(lease.Begin)
	half := func(left time.Duration) time.Duration { return min(max(left/2, leastRetry), left) }
	switch {
	case age < lease.T1:
		return lease.T1 - age, l.x.Renew
	case age < lease.T2:
		wait := half(lease.T2 - age)
		if age+wait >= lease.T2 {
			return wait, l.x.Rebind
		}
		return wait, l.x.Renew
	case age < lease.Lifetime && !rebound:
		return 0, l.x.Rebind
	case age < lease.Lifetime:
		wait := half(lease.Lifetime - age)
		if age+wait >= lease.Lifetime {
			return wait, nil
		}
		return wait, l.x.Rebind
	}
	return 0, nil
}
