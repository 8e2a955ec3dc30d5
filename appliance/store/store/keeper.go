package store

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// sweepEvery is how often the keeper looks for work without being told,
	// and sweepOldEvery how often it looks for what has become too old.
	sweepEvery    = time.Minute
	sweepOldEvery = time.Hour
	// sweepDelay is how long it lets work gather once it has been told: a
	// busy queue removes a body every few milliseconds.
	sweepDelay = 2 * time.Second
	// sweepPart is how many things one of its ops clears away, so that it
	// never holds up a delivery by more than a few milliseconds.
	sweepPart = 500
)

// keeper does in the background what need not be done at once: it clears away
// deleted mailboxes and accounts, bodies nobody refers to, documents and
// expunged messages whose time has come, and the old end of the change log.
// All of it is done within a few minutes, and every step is an op like any
// other, so that a power cut at any point only makes it begin again.
type keeper struct {
	s      *Store
	wake   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	// working is held while things are cleared away: who has taken a list of them
	// is done with it before somebody else finds nothing to do.
	working sync.Mutex
}

func (k *keeper) start(s *Store) {
	k.s = s
	k.wake = make(chan struct{}, 1)
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.done.Go(k.run)
}

// kick tells the keeper that there is something to do.
func (k *keeper) kick() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *keeper) stop() {
	if k.cancel != nil {
		k.cancel()
		k.done.Wait()
	}
}

func (k *keeper) run() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	old := time.NewTicker(sweepOldEvery)
	defer old.Stop()
	for {
		k.work("what was removed", k.s.sweepGone)
		k.work("space", k.s.spaceKeeper)
		select {
		case <-k.ctx.Done():
			return
		case <-tick.C:
		case <-old.C:
			k.work("what has become old", k.s.sweepOld)
			if k.s.night() {
				k.work("conversations", k.s.sweepThreads)
			}
		case <-k.wake:
			select {
			case <-k.ctx.Done():
				return
			case <-time.After(sweepDelay):
			}
		}
	}
}

// work does some of the keeper's work and reports what goes wrong.
func (k *keeper) work(what string, do func(context.Context) error) {
	k.working.Lock()
	defer k.working.Unlock()
	err := do(k.ctx)
	if err != nil && k.ctx.Err() == nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrReadOnly) && !errors.Is(err, ErrNoSpace) {
		k.s.log.Error("clearing away: "+what, "error", err)
	}
}
