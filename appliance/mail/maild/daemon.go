package maild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox/appliance/api/backupapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/transferapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/certs"
	"pillarbox/appliance/config"
	"pillarbox/appliance/mail/account"
	"pillarbox/appliance/mail/backups"
	"pillarbox/appliance/mail/delivery"
	"pillarbox/appliance/mail/guard"
	"pillarbox/appliance/mail/imapd"
	"pillarbox/appliance/mail/indexer"
	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/mail/pop3d"
	"pillarbox/appliance/mail/probe"
	"pillarbox/appliance/mail/queue"
	"pillarbox/appliance/mail/route"
	"pillarbox/appliance/mail/smtpd"
	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/mail/transfers"
	"pillarbox/appliance/store/store"
)

const (
	// goodbye is how long clients get at a shutdown, and grace what mail on its
	// way out gets at the same time: a dead host takes all of it. Both leave the
	// store time to close within what init allows.
	goodbye = 4 * time.Second
	grace   = 3 * time.Second

	// socketMode lets root and maild's own user in.
	socketMode = 0o660

	// defaultHostname is used until the box is set up.
	defaultHostname = "pillarbox"
)

// server is what the protocol servers have in common.
type server interface {
	Serve(ctx context.Context, l net.Listener) error
	Shutdown(ctx context.Context) error
}

// Daemon is a running mail service.
type Daemon struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	events  *events

	key      []byte // of the store, nil: not encrypted
	store    *store.Store
	people   *account.Directory
	certs    *certs.Manager
	pipeline *delivery.Pipeline
	queue    *queue.Queue
	index    *indexer.Indexer
	backups  *backups.Service
	probe    *probe.Probe

	servers   []server
	listeners []*listener
	serving   atomic.Bool
	changed   chan struct{} // settings or domains have changed
}

// listener is an open port and who serves it.
type listener struct {
	name   string
	guard  *guard.Listener
	accept net.Listener // guard, or its TLS
	server server
}

// Open opens the store and everything that needs no network. What it returns
// has to be run or closed.
func Open(ctx context.Context, cfg Config) (d *Daemon, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d = &Daemon{cfg: cfg, log: cfg.Log, started: time.Now(), events: &events{log: cfg.Log}, changed: make(chan struct{}, 1)}
	for _, dir := range []string{cfg.Data, cfg.State} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	restored, err := backups.Finish(cfg.Data)
	if err != nil {
		return nil, fmt.Errorf("put a restored store in place: %w", err)
	}
	if restored {
		d.events.add(mailapi.LevelWarn, "the mail store was restored from a backup")
	}
	options := store.Options{Log: cfg.Log.With("part", "store"), Small: cfg.Small}
	if !cfg.Small {
		options.Reserve = reserve
	}
	if d.key, err = d.storeKey(); err != nil {
		return nil, err
	}
	options.EncryptionKey = d.key
	if d.store, err = store.Open(ctx, cfg.storeDir(), options); err != nil {
		return nil, fmt.Errorf("open the mail store: %w", explainKey(err, cfg.keyFile(), d.key))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.store.Close())
		}
	}()
	d.people, err = account.New(ctx, account.Config{Store: d.store, Changed: d.tellChanged, Event: d.events.add, Log: cfg.Log.With("part", "account")})
	if err != nil {
		return nil, fmt.Errorf("open the directory: %w", err)
	}
	if err := d.provision(ctx); err != nil {
		return nil, err
	}
	d.tellStore()
	d.certs, err = certs.Open(certs.Config{
		Dir: filepath.Join(cfg.State, "certs"), Floor: cfg.BuildTime, Roots: cfg.Roots, Listen: d.listenForChallenges,
		Event: d.certificateEvent, Log: cfg.Log.With("part", "certs"),
	}, d.names())
	if err != nil {
		return nil, err
	}
	d.certs.Choose(d.certificateChoice())
	d.assemble(options)
	return d, nil
}

// assemble makes the parts know each other.
func (d *Daemon) assemble(options store.Options) {
	d.probe = probe.New(d.store, d.dialSMTP)
	d.pipeline = delivery.New(delivery.Config{
		Store: d.store, Directory: people{d.people, d.probe},
		NewIndexer: func() delivery.Indexer { return mimeindex.NewIndexer() },
		Kick:       func() { d.queue.Kick() },
		Hostname:   d.hostname, MaxSize: d.maxSize, Log: d.log.With("part", "delivery"),
	})
	d.index = indexer.New(indexer.Config{Store: d.store, Log: d.log.With("part", "index")})
	d.queue = queue.New(queue.Config{
		Store: d.store, Bouncer: d.pipeline, Hostname: d.hostname, Grace: grace, Events: d.queueEvent, Log: d.log.With("part", "queue"),
		Router: route.New(route.Config{Resolver: route.NewDNS(""), Hostname: d.hostname, SmartHost: d.smartHost, AllowLoopback: d.cfg.AllowLoopback}),
	})
	d.backups = backups.New(backups.Config{
		Store: d.store, People: d.people, Data: d.cfg.Data, Options: options, Program: "maild " + d.cfg.Version,
		Restart: d.cfg.Restart, Log: d.log.With("part", "backups"),
	})
}

// SetupDone reports whether the box has its name, a domain and an administrator.
func (d *Daemon) SetupDone() bool { return d.people.SetupDone() }

func (d *Daemon) hostname() string {
	if h := d.people.Current().Hostname; h != "" {
		return h
	}
	return defaultHostname
}

func (d *Daemon) maxSize() int64       { return d.people.Current().MaxMessageSize }
func (d *Daemon) allowPlaintext() bool { return d.people.Current().AllowPlaintextLogin }
func (d *Daemon) names() []string      { return certs.Names(d.hostname(), d.people.DomainNames()) }

// tellChanged wakes follow; it must not block.
func (d *Daemon) tellChanged() {
	select {
	case d.changed <- struct{}{}:
	default: // it is about to look anyway
	}
}

// tellStore gives the store the settings that concern it.
func (d *Daemon) tellStore() {
	s := d.people.Current()
	d.store.KeepDeleted(time.Duration(s.UndeleteDays) * 24 * time.Hour)
	zone := time.Local
	if s.Timezone != "" {
		if l, err := time.LoadLocation(s.Timezone); err == nil {
			zone = l
		}
	}
	d.store.SetZone(zone)
}

// follow applies changed settings to what does not ask for them at each use.
func (d *Daemon) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.changed:
			if err := d.certs.SetNames(d.names()); err != nil {
				d.events.add(mailapi.LevelAlert, "the certificate could not be made for the new names: "+err.Error())
			}
			d.certs.Choose(d.certificateChoice())
			d.tellStore()
			d.queue.Kick() // the smart host may be another one
		}
	}
}

// queueEvent tells administrators what the queue gave up. Of a bounce that
// nobody takes there is nothing to be done.
func (d *Daemon) queueEvent(e queue.Event) {
	told := ""
	switch {
	case e.Kind == trace.Bounced:
	case e.Kind == trace.Failed && e.Sender != "":
		told = "; its sender was not told"
	default:
		return
	}
	d.events.add(mailapi.LevelWarn, fmt.Sprintf("mail from <%s> to <%s> could not be delivered: %s%s", e.Sender, e.Recipient, e.Reply, told))
}

// provision applies the provisioning file where there is one, and removes it:
// it holds passwords.
func (d *Daemon) provision(ctx context.Context) error {
	if d.cfg.Provision == "" {
		return nil
	}
	p, err := config.LoadProvision(d.cfg.Provision)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.people.Provision(ctx, p)
	}
	if err != nil {
		// The box goes on without: an administrator has to be able to see why.
		d.events.add(mailapi.LevelAlert, "the provisioning file could not be applied: "+err.Error())
		return nil
	}
	if d.key == nil && p.Mail != nil && p.Mail.EncryptStore {
		d.events.add(mailapi.LevelAlert, "mail.encrypt_store came too late: this box has a mail store, and it is not encrypted")
	}
	if d.cfg.KeepProvision {
		d.events.add(mailapi.LevelInfo, "the provisioning file was applied, and is kept")
		return nil
	}
	if err := os.Remove(d.cfg.Provision); err != nil {
		return fmt.Errorf("the provisioning file is applied and cannot be removed: %w", err)
	}
	d.events.add(mailapi.LevelInfo, "the provisioning file was applied")
	return nil
}

// Run opens the ports and serves until ctx ends or a part fails, then brings
// everything down in order.
func (d *Daemon) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	api, err := wire.Listen(d.cfg.Socket, socketMode)
	if err != nil {
		return errors.Join(err, d.store.Close())
	}
	apiCtx, stopAPI := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAPI()
	var apiDone, work sync.WaitGroup
	apiDone.Go(func() {
		if err := wire.Serve(apiCtx, api, d.Handler(), d.log.With("part", "api")); err != nil {
			stop(fmt.Errorf("api: %w", err))
		}
	})
	queueCtx, stopQueue := context.WithCancel(context.WithoutCancel(ctx))
	defer stopQueue()
	work.Go(func() {
		if err := d.queue.Run(queueCtx); err != nil {
			stop(fmt.Errorf("queue: %w", err))
		}
	})
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	work.Go(func() { d.certs.Run(workCtx) })
	work.Go(func() {
		if err := d.index.Run(workCtx); err != nil {
			stop(fmt.Errorf("index: %w", err))
		}
	})
	work.Go(func() { d.follow(workCtx) })

	err = d.listen()
	if err == nil {
		var ports sync.WaitGroup
		for _, l := range d.listeners {
			ports.Go(func() {
				if err := l.server.Serve(ctx, l.accept); err != nil && ctx.Err() == nil {
					stop(fmt.Errorf("%s: %w", l.name, err))
				}
			})
		}
		d.serving.Store(true)
		d.log.Info("mail is served", "took", time.Since(d.started).Round(time.Millisecond))
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			err = cause
		}
		d.serving.Store(false)
		stopQueue() // what is accepted from here on leaves after the next start
		d.sayGoodbye()
		ports.Wait()
	}
	stopQueue()
	stopWork()
	work.Wait()
	stopAPI()
	apiDone.Wait()
	return errors.Join(err, d.store.Close())
}

// sayGoodbye ends the sessions of all servers at once.
func (d *Daemon) sayGoodbye() {
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(d.cfg.goodbye, goodbye))
	defer cancel()
	var all sync.WaitGroup
	for _, s := range d.servers {
		all.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				d.log.Warn("sessions were cut off", "error", err)
			}
		})
	}
	all.Wait()
}

// Bounds of what IMAP keeps of messages in memory: enough for one large mailbox,
// and no more than serves those that are in use at the same time.
const (
	leastFacts = 16 << 20
	mostFacts  = 256 << 20
	factsShare = 32 // of the limit of the heap: 32 MiB on a box of 2 GiB
)

// factsMemory follows the limit of the heap, and so the memory of the machine.
func factsMemory() int {
	return int(min(max(debug.SetMemoryLimit(-1)/factsShare, leastFacts), mostFacts)) // -1 only asks
}

// listen opens all ports or none.
func (d *Daemon) listen() (err error) {
	tlsConfig := d.certs.TLSConfig()
	exchange := smtpd.New(smtpd.Config{Mode: smtpd.Exchange, Pipeline: d.pipeline, TLS: tlsConfig, Hostname: d.hostname, Log: d.log.With("part", "smtp")})
	submission := smtpd.New(smtpd.Config{
		Mode: smtpd.Submission, Pipeline: d.pipeline, Authenticate: logins(d.people.Authenticate), TLS: tlsConfig,
		AllowPlaintext: d.allowPlaintext, Hostname: d.hostname, Log: d.log.With("part", "submission"),
	})
	imap := imapd.New(imapd.Config{
		Store: d.store, Accounts: d.people, Sharing: d.people, Index: d.index, TLS: tlsConfig, AllowPlaintext: d.allowPlaintext,
		AppendLimit: d.maxSize, FactsMemory: factsMemory(), Version: d.cfg.Version, Log: d.log.With("part", "imap"),
	})
	pop3 := pop3d.New(pop3d.Config{Store: d.store, Accounts: d.people, TLS: tlsConfig, AllowPlaintext: d.allowPlaintext, Log: d.log.With("part", "pop3")})
	d.servers = []server{exchange, submission, imap, pop3}
	by := map[string]server{
		"smtp": exchange, "submission": submission, "submissions": submission,
		"imap": imap, "imaps": imap, "pop3": pop3, "pop3s": pop3,
	}
	refusals := map[server]string{
		exchange: "421 4.7.0 Too many connections\r\n", submission: "421 4.7.0 Too many connections\r\n",
		imap: "* BYE [UNAVAILABLE] Too many connections\r\n", pop3: "-ERR [SYS/TEMP] Too many connections\r\n",
	}
	defer func() {
		if err != nil {
			for _, l := range d.listeners {
				_ = l.guard.Close() // nothing was served on it
			}
			d.listeners = nil
		}
	}()
	for _, p := range ports() {
		raw, err := net.Listen("tcp", d.cfg.address(p))
		if err != nil {
			return fmt.Errorf("port of %s: %w", p.name, err)
		}
		s := by[p.name]
		g := guard.Listen(raw, guard.Limits{Refusal: refusals[s]}, d.log.With("part", p.name))
		l := &listener{name: p.name, guard: g, accept: g, server: s}
		if p.tls {
			l.accept = g.TLS(tlsConfig)
		}
		d.listeners = append(d.listeners, l)
	}
	return nil
}

// Handler is the API of the daemon.
func (d *Daemon) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/", mailapi.Handler(&service{Directory: d.people, d: d}))
	b := backupapi.Handler(d.backups)
	for _, path := range []string{"/v1/backups", "/v1/backups/", "/v1/restore", "/v1/restore/part"} {
		mux.Handle(path, b)
	}
	t := transferapi.Handler(transfers.New(transfers.Config{Store: d.store, People: d.people, Index: d.index, MaxSize: d.maxSize}))
	for _, pattern := range []string{
		"POST /v1/users/{address}/import", "GET /v1/users/{address}/export", "GET /v1/users/{address}/expunged",
		"POST /v1/users/{address}/undelete", "POST /v1/users/{address}/reindex",
	} {
		mux.Handle(pattern, t)
	}
	return mux
}
