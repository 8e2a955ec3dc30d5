package indexer

import (
	"context"
	"sync"
	"time"

	"pillarbox/appliance/store/search"
)

const (
	// restFactor times as long as it worked does the indexer rest while mail
	// comes in. Beside that part of a processor it takes memory, room in the
	// caches and turns at the disk: a tenth of the time made accepting mail a
	// seventh slower, this keeps it below a tenth (BenchmarkDeliver).
	restFactor = 24
	// longestRest bounds one rest: time that was spent waiting for a busy disk
	// or processor counts as work, and must not put indexing off for long.
	longestRest = time.Second
)

// pace makes the indexer give way to mail that comes in. What it has not
// indexed by then is searched by reading it.
type pace struct {
	busy func() bool

	mu    sync.Mutex
	since time.Time // beginning of the work that no rest has followed yet
}

// begin begins work after a time of none.
func (p *pace) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = time.Now()
}

// rest is called between two pieces of work. Its error is the context's.
func (p *pace) rest(ctx context.Context) error {
	defer p.begin()
	if !p.busy() {
		return ctx.Err()
	}
	p.mu.Lock()
	worked := time.Since(p.since)
	p.mu.Unlock()
	pause := time.NewTimer(min(worked*restFactor, longestRest))
	defer pause.Stop()
	select {
	case <-ctx.Done():
	case <-pause.C:
	}
	return ctx.Err()
}

// pacedRows rests after each writing of rows: putting a segment together is
// as much work as reading its messages.
type pacedRows struct {
	search.Rows
	pace *pace
}

func (r pacedRows) Put(ctx context.Context, rows []search.Row) error {
	if err := r.Rows.Put(ctx, rows); err != nil {
		return err
	}
	return r.pace.rest(ctx)
}
