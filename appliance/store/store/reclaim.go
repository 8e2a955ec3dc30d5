package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

const (
	// reclaimRatio is the share of garbage from which a file of the value log
	// is written anew without it.
	reclaimRatio = 0.3
	// reclaimNightly and reclaimAnyTime are how many bytes of removed bodies
	// make a pause worth its second: at night, and at any hour.
	reclaimNightly = 16 << 20
	reclaimAnyTime = 1 << 30
	// reclaimHour is the local hour in which hardly anybody waits.
	reclaimHour = 3
	// reclaimGap is the least time between two pauses under pressure.
	reclaimGap = 10 * time.Minute
)

// Reclaim gives the space of removed bodies back to the disk. Badger only
// learns what in its value log is garbage when compaction meets the removals,
// and those sit in memory and in the youngest tables for as long as the store
// is open; so the store pauses: the committer finishes what it has, Badger is
// closed (which compacts) and opened, about a second in which sessions wait
// and none is dropped. Then files of the value log are written anew while
// work goes on. Measured: without the pause, nothing ever came back.
func (s *Store) Reclaim(ctx context.Context) error {
	if err := s.pause(); err != nil {
		return err
	}
	s.garbage.Store(0)
	for ctx.Err() == nil {
		err := s.collect()
		if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("store: reclaim: %w", err)
		}
	}
	return ctx.Err()
}

func (s *Store) collect() error {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	return s.db.RunValueLogGC(reclaimRatio)
}

// pause closes and opens Badger while everybody waits.
func (s *Store) pause() error {
	if err := s.failure(); err != nil {
		return err
	}
	s.tables.Lock()
	defer s.tables.Unlock()
	return s.exclusive(s.reopen)
}

// reopen runs in the committer's goroutine.
func (s *Store) reopen() error {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	start := time.Now()
	s.step("pause")
	if err := s.end(s.db.Close); err != nil {
		s.fail(fmt.Errorf("closing for a pause: %w", err))
	}
	s.db = nil
	if err := s.failure(); err != nil {
		return err // what cannot be closed cannot be opened either
	}
	s.step("paused")
	if err := s.openDB(); err != nil {
		s.fail(err)
		return err
	}
	s.db.SetDiscardTs(s.snaps.advance(0))
	s.log.Info("store paused to give space back", "took", time.Since(start))
	return s.failure()
}

// SetZone tells where people are, so that what waits for the night is done in
// theirs; the machine's own zone where nobody says.
func (s *Store) SetZone(l *time.Location) { s.zone.Store(l) }

// night tells whether hardly anybody waits.
func (s *Store) night() bool { return s.now().In(s.zone.Load()).Hour() == reclaimHour }

// spaceKeeper does what keeps the disk from filling up. It runs every minute, as
// the keeper's work.
func (s *Store) spaceKeeper(ctx context.Context) error {
	if err := s.keepReserve(); err != nil {
		return err
	}
	now := s.now()
	garbage := s.garbage.Load()
	night := s.night() && garbage >= reclaimNightly
	short, err := s.short()
	if err != nil {
		return err
	}
	if !short {
		if garbage < reclaimAnyTime && !night {
			return nil
		}
		s.reclaimed = now
		return s.Reclaim(ctx)
	}
	if now.Sub(s.reclaimed).Abs() < reclaimGap {
		return nil
	}
	s.reclaimed = now
	s.log.Warn("the disk is short: no mail is accepted, giving back what can be given back")
	if err := s.Reclaim(ctx); err != nil {
		return err
	}
	// Mail that people threw away is worth less than mail they are yet to
	// get: the oldest of it goes before its time.
	for {
		if short, err := s.short(); err != nil || !short {
			return err
		}
		dropped, err := s.dropOldest(ctx)
		if err != nil || !dropped {
			return err
		}
		if err := s.sweepGone(ctx); err != nil {
			return err
		}
		if err := s.Reclaim(ctx); err != nil {
			return err
		}
	}
}

// short tells whether there is no room for mail. A disk that does not say how
// full it is is not short: nobody's mail is dropped for that.
func (s *Store) short() (bool, error) {
	err := s.room(spaceGrows)
	if errors.Is(err, ErrNoSpace) {
		return true, nil
	}
	return false, err
}

// dropOldest drops the oldest quarter, by time, of what is restorable.
func (s *Store) dropOldest(ctx context.Context) (bool, error) {
	now := s.now().Unix()
	oldest := now
	err := s.Accounts(ctx, func(id AccountID, _ Quota) error {
		v := s.view()
		defer v.close()
		return v.scan(scanOptions{prefix: key(tableExpunged, uint64(id)), keysOnly: true}, func(k, _ []byte) error {
			oldest = min(oldest, int64(id64(k, 1)))
			return errStop
		})
	})
	if err != nil || oldest == now {
		return false, err
	}
	before := oldest + (now-oldest)/4 + 1
	return true, s.Accounts(ctx, func(id AccountID, _ Quota) error { return s.dropExpunged(ctx, id, before) })
}
