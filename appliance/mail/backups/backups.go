// Package backups serves the backups of the mail daemon's store: it makes
// them, remembers them, and brings them back.
//
// # Restoring all
//
// A whole restore never touches the store in use. Beside its folder "store",
// in the same folder,
//
//	store.loading    the new store while it is written
//	store.restored   the same when it is complete
//	store.replaced   the store before, about to be removed
//
// come and go. Finish, which runs before the store is opened, puts a complete
// one in place and clears the rest away: a restore that is cut short, at
// whatever point, leaves the store as it was, or puts the new one in place.
package backups

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"pillarbox/appliance/api/backupapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/store/backup"
	"pillarbox/appliance/store/store"
)

// Names in the data folder, see the package comment.
const (
	storeName = "store"
	loading   = storeName + ".loading"
	restored  = storeName + ".restored"
	replaced  = storeName + ".replaced"
)

// Directory knows the people; account.Directory is one.
type Directory interface {
	Users(ctx context.Context) ([]mailapi.User, error)
	// Account gives a person's account, a not-found *wire.Error where there is none.
	Account(address string) (store.AccountID, error)
}

// Config is what a Service works with.
type Config struct {
	Store  *store.Store
	People Directory
	// Data is the folder that holds the store's folder.
	Data string
	// Options are those the store is opened with.
	Options store.Options
	// Program is named in backups.
	Program string
	// Restart is called when a restored store waits to be put in place: the
	// daemon is to end, and to call Finish when it starts.
	Restart func()
	Log     *slog.Logger
}

// Service makes backups and brings them back. It is safe for concurrent use.
type Service struct {
	cfg       Config
	restoring sync.Mutex
}

var _ backupapi.Service = (*Service)(nil)

// New makes a service.
func New(cfg Config) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg}
}

// Backups lists the backups that increments can be made to, newest first.
func (s *Service) Backups(ctx context.Context) ([]backupapi.Made, error) {
	marks, err := s.cfg.Store.BackupMarks(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]backupapi.Made, 0, len(marks))
	for _, m := range marks {
		out = append(out, backupapi.Made{ID: m.ID, Version: m.Version, Created: m.At})
	}
	return out, nil
}

// Backup writes a backup of the store to w.
func (s *Service) Backup(ctx context.Context, r backupapi.Request, w io.Writer) error {
	sum, err := backup.Write(ctx, s.cfg.Store, w, backup.Options{Base: r.Base, Program: s.cfg.Program, Names: s.names})
	if errors.Is(err, backup.ErrUnknownBase) {
		return wire.NotFound("the store does not know backup %s, or has changed in a way that increments to it are impossible: make a full backup", r.Base)
	}
	if err != nil {
		s.cfg.Log.Error("backup failed", "base", r.Base, "error", err)
		return err
	}
	s.cfg.Log.Info("backup made", "id", sum.ID, "base", sum.Base, "bodies", sum.Bodies, "bytes", sum.Bytes, "unreadable", len(sum.Damage))
	return nil
}

// names tells whose account is which.
func (s *Service) names(ctx context.Context, fn func(string, store.AccountID) error) error {
	users, err := s.cfg.People.Users(ctx)
	if err != nil {
		return err
	}
	for _, u := range users {
		id, err := s.cfg.People.Account(u.Address)
		var e *wire.Error
		if errors.As(err, &e) && e.Code == wire.CodeNotFound {
			continue // removed meanwhile
		}
		if err == nil {
			err = fn(u.Address, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Safe remembers a backup that is where it is to be kept.
func (s *Service) Safe(ctx context.Context, m backupapi.Made) error {
	if len(m.ID) != 32 {
		return wire.Invalid("id", "must be the ID of a backup")
	}
	return s.cfg.Store.MarkBackup(ctx, store.BackupMark{ID: m.ID, Version: m.Version, At: m.Created})
}

// Restore loads a new store and has the daemon start anew with it. Mail that
// comes in meanwhile is in the store before, and goes with it.
func (s *Service) Restore(ctx context.Context, in io.Reader, replace bool) error {
	if !s.restoring.TryLock() {
		return wire.Conflict("a restore is under way")
	}
	defer s.restoring.Unlock()
	stats, err := s.cfg.Store.Stats(ctx)
	if err != nil {
		return err
	}
	if stats.Accounts > 0 && !replace {
		return wire.Conflict("there are mailboxes already: restore into a new box, or replace them")
	}
	dir := filepath.Join(s.cfg.Data, loading)
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("backups: %w", err)
	}
	if err := s.load(ctx, dir, in); err != nil {
		return errors.Join(refusal(err), os.RemoveAll(dir))
	}
	if err := rename(s.cfg.Data, loading, restored); err != nil {
		return err
	}
	s.cfg.Log.Info("a store was restored, starting anew with it")
	s.cfg.Restart()
	return nil
}

func (s *Service) load(ctx context.Context, dir string, in io.Reader) error {
	o := s.cfg.Options
	o.Reserve = 0 // it belongs to the store in use
	l, err := store.NewLoader(dir, o)
	if err != nil {
		return err
	}
	err = backup.Restore(ctx, l, backup.Sequence(in))
	return errors.Join(err, l.Close())
}

// RestorePart brings mail of an extract back.
func (s *Service) RestorePart(ctx context.Context, p backupapi.Part, in io.Reader) (*backupapi.PartReport, error) {
	if p.To == "" {
		p.To = p.Address
	}
	to, err := s.cfg.People.Account(p.To)
	if err != nil {
		return nil, err
	}
	r, err := backup.NewReader(in)
	if err != nil {
		return nil, refusal(err)
	}
	defer r.Close()
	report, err := backup.RestorePart(ctx, s.cfg.Store, backup.Part{To: to, Under: p.Under, Selection: backup.Selection{
		Address: p.Address, Mailbox: p.Mailbox, UID: store.UID(p.UID), MessageID: p.MessageID}}, r)
	s.cfg.Log.Info("mail restored from a backup", "of", p.Address, "to", p.To, "restored", report.Restored, "there", report.There,
		"problems", len(report.Problems), "error", err)
	if err != nil {
		return nil, refusal(err)
	}
	out := &backupapi.PartReport{Restored: report.Restored, There: report.There}
	for _, p := range report.Problems {
		out.Problems = append(out.Problems, backupapi.Problem{Where: p.Where, What: p.What})
	}
	return out, nil
}

// refusal tells what is wrong with what was sent from a fault of the box's.
func refusal(err error) error {
	for _, e := range []error{backup.ErrNotBackup, backup.ErrDamaged, backup.ErrCut, backup.ErrChain, backup.ErrExtract, backup.ErrNewer, store.ErrNewerStore} {
		if errors.Is(err, e) {
			return wire.Invalid("", "%v", err)
		}
	}
	switch {
	case errors.Is(err, backup.ErrNotFound):
		return wire.NotFound("%v", err)
	case errors.Is(err, store.ErrNoSpace):
		return wire.Unavailable("%v", err)
	case errors.Is(err, store.ErrBadName):
		return wire.Invalid("under", "%v", err)
	}
	return err
}

// Finish puts a restored store in place and clears away what is left of
// restores. It is called before the store in data is opened, and tells whether
// that is a restored one.
func Finish(data string) (bool, error) {
	if err := remove(data, loading); err != nil {
		return false, err
	}
	done, err := exists(data, restored)
	if err != nil {
		return false, err
	}
	if done {
		// A store under the last name is one that was being replaced before;
		// it goes only while there is a complete one to take its place.
		before, err := exists(data, storeName)
		if err != nil {
			return false, err
		}
		if before {
			if err := errors.Join(remove(data, replaced), rename(data, storeName, replaced)); err != nil {
				return false, err
			}
		}
		if err := rename(data, restored, storeName); err != nil {
			return false, err
		}
	}
	return done, remove(data, replaced)
}

func exists(data, name string) (bool, error) {
	_, err := os.Lstat(filepath.Join(data, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("backups: %w", err)
	}
	return true, nil
}

func remove(data, name string) error {
	if err := os.RemoveAll(filepath.Join(data, name)); err != nil {
		return fmt.Errorf("backups: %w", err)
	}
	return nil
}

// rename renames durably.
func rename(data, from, to string) error {
	if err := os.Rename(filepath.Join(data, from), filepath.Join(data, to)); err != nil {
		return fmt.Errorf("backups: %w", err)
	}
	d, err := os.Open(data)
	if err != nil {
		return fmt.Errorf("backups: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("backups: %w", err)
	}
	return nil
}
