package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/mail/guard"
	"pillarbox/appliance/store/store"
)

// Store is what the directory needs of the mail store.
type Store interface {
	CreateAccount(ctx context.Context, q store.Quota, docs func(store.AccountID) []store.DocOp) (store.AccountID, error)
	DeleteAccount(ctx context.Context, id store.AccountID, docs []store.DocOp) error
	Quota(ctx context.Context, id store.AccountID) (store.Quota, error)
	SetQuota(ctx context.Context, id store.AccountID, q store.Quota) error
	Doc(ctx context.Context, t store.Table, key string) (store.Doc, error)
	Docs(ctx context.Context, t store.Table, prefix, after string, fn func(store.Doc) error) error
	UpdateDocs(ctx context.Context, ops ...store.DocOp) error
}

// Config is what a Directory works with. Store is required.
type Config struct {
	Store  Store
	Logins *guard.Logins // counts failed logins; one of its own where nil
	// Changed, where set, is called after settings or domains have changed. It
	// may ask the directory, and must not change it.
	Changed func()
	// Event, where set, is told what an administrator wants to read later.
	Event func(level, text string)
	Now   func() time.Time
	Log   *slog.Logger
}

// Directory is the directory of the box. It is safe for concurrent use.
type Directory struct {
	cfg    Config
	hasher *hasher
	cache  *cache

	changing sync.Mutex // one change at a time, from its checks to its commit

	mu       sync.RWMutex // over what follows; never held while the store works
	domains  map[string]domainRecord
	users    map[string]*person
	aliases  map[string]aliasRecord
	groups   map[string]groupRecord
	settings Settings
	admin    adminRecord
}

// person is a user in memory. It is replaced, not changed.
type person struct {
	userRecord
	revoked chan struct{} // shared by the versions of one person that keep sessions
}

// New opens the directory that is in the store.
func New(ctx context.Context, cfg Config) (*Directory, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Logins == nil {
		cfg.Logins = guard.NewLogins(cfg.Now)
	}
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	if cfg.Event == nil {
		cfg.Event = func(string, string) {}
	}
	d := &Directory{cfg: cfg, hasher: newHasher(), cache: newCache(cfg.Now)}
	if err := d.load(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// load reads the directory from the store. People who were in memory before
// keep their sessions where nothing was revoked.
func (d *Directory) load(ctx context.Context) error {
	domains, err := records[domainRecord](ctx, d.cfg.Store, store.TableDomain)
	if err != nil {
		return err
	}
	users, err := records[userRecord](ctx, d.cfg.Store, store.TableUser)
	if err != nil {
		return err
	}
	aliases, err := records[aliasRecord](ctx, d.cfg.Store, store.TableAlias)
	if err != nil {
		return err
	}
	groups, err := records[groupRecord](ctx, d.cfg.Store, store.TableGroup)
	if err != nil {
		return err
	}
	settings := defaultSettings()
	if err := one(ctx, d.cfg.Store, keySettings, &settings); err != nil {
		return err
	}
	var admin adminRecord
	if err := one(ctx, d.cfg.Store, keyAdmin, &admin); err != nil {
		return err
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.users
	d.users = make(map[string]*person, len(users))
	for key, u := range users {
		d.users[key] = succeed(old[key], u)
	}
	for key, p := range old {
		if d.users[key] == nil {
			close(p.revoked)
		}
	}
	d.domains, d.aliases, d.groups, d.settings, d.admin = domains, aliases, groups, settings, admin
	return nil
}

// records reads a whole table.
func records[T any](ctx context.Context, st Store, t store.Table) (map[string]T, error) {
	m := make(map[string]T)
	err := st.Docs(ctx, t, "", "", func(doc store.Doc) error {
		var r T
		if err := decode(doc, &r); err != nil {
			return err
		}
		m[doc.Key] = r
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("account: read directory: %w", err)
	}
	return m, nil
}

// one reads a document of settings; r stays as it is where there is none.
func one(ctx context.Context, st Store, key string, r any) error {
	doc, err := st.Doc(ctx, store.TableSetting, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("account: read settings: %w", err)
	}
	return decode(doc, r)
}

// succeed is the person that r makes of old (nil: a new one). Sessions go on
// unless the password changed, an app password went or the person was disabled.
func succeed(old *person, r userRecord) *person {
	p := &person{userRecord: r}
	switch {
	case old == nil:
	case old.Credential.Password == r.Credential.Password && old.Disabled == r.Disabled && old.Account == r.Account && !r.lostApp(&old.userRecord):
		p.revoked = old.revoked
		return p
	default:
		close(old.revoked)
	}
	p.revoked = make(chan struct{})
	return p
}

// commit makes ops durable and then visible through apply, which is called
// with mu held. The caller holds changing.
func (d *Directory) commit(ctx context.Context, apply func(), ops ...store.DocOp) error {
	return d.make(ctx, apply, func(ctx context.Context) error { return d.cfg.Store.UpdateDocs(ctx, ops...) })
}

// make is commit for a change that is more than documents.
func (d *Directory) make(ctx context.Context, apply func(), change func(context.Context) error) error {
	ctx = context.WithoutCancel(ctx)
	if err := change(ctx); err != nil {
		if lerr := d.load(ctx); lerr != nil {
			d.cfg.Log.Error("cannot read the directory after a failed change", "error", lerr)
		}
		return fmt.Errorf("account: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	apply()
	return nil
}

// key is the form of an address under which it is kept and compared, "" for
// what is none.
func key(addr string) string {
	a, err := address.Parse(addr)
	if err != nil {
		return ""
	}
	return a.Key()
}

// domainOf is the domain of an address in normal form.
func domainOf(addr string) string {
	a, err := address.Parse(addr)
	if err != nil {
		return ""
	}
	return a.Domain
}
