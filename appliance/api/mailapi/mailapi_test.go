package mailapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pillarbox/appliance/api/wire"
)

// fake keeps what it was asked, as text, and answers with what it was given
// or a sample.
var probed = ProbeResult{Seconds: 0.5, Step: "read the message", Failure: "gone"}

type fake struct{ asked string }

func (f *fake) note(what string, args ...any) { f.asked = fmt.Sprint(append([]any{what}, args...)...) }

var (
	now      = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	status   = Status{Version: "1", Serving: true, Started: now, Queue: QueueState{2, now}, Listeners: []Listener{{"smtp", "127.0.0.1:25", 1}}, LastEvents: []Event{{now, LevelInfo, "x"}}}
	user     = User{Address: "a/b@example.org", Quota: 5, Used: 3, Aliases: []string{"c@example.org"}, Created: now}
	settings = Settings{Hostname: "mail.example.org", MaxMessageSize: 50 << 20}
	report   = CheckReport{Messages: 3, Problems: []Problem{{"blob 3", "is torn", true}}}
)

func (f *fake) Status(context.Context) (*Status, error) { return &status, nil }
func (f *fake) Setup(_ context.Context, s Setup) error  { f.note("setup ", s.Hostname); return nil }
func (f *fake) Domains(context.Context) ([]Domain, error) {
	return []Domain{{Name: "example.org"}}, nil
}
func (f *fake) Users(context.Context) ([]User, error) { return []User{user}, nil }
func (f *fake) Aliases(context.Context) ([]Alias, error) {
	return []Alias{{Address: "a", Target: "b"}}, nil
}
func (f *fake) Groups(context.Context) ([]Group, error)     { return []Group{{Address: "a"}}, nil }
func (f *fake) Settings(context.Context) (*Settings, error) { return &settings, nil }
func (f *fake) Queue(context.Context) ([]QueueEntry, error) {
	return []QueueEntry{{ID: 7, Created: now, Due: now}}, nil
}
func (f *fake) AddDomain(_ context.Context, d Domain) (*Domain, error) {
	f.note("add domain ", d.Name)
	return &d, nil
}
func (f *fake) ChangeDomain(_ context.Context, n string, c DomainChange) (*Domain, error) {
	f.note("change domain ", n, " ", c)
	return &Domain{Name: c.Name}, nil
}
func (f *fake) RemoveDomain(_ context.Context, n string) error {
	f.note("remove domain ", n)
	return nil
}
func (f *fake) User(_ context.Context, a string) (*User, error) {
	if a != user.Address {
		return nil, wire.NotFound("nobody has the address %s", a)
	}
	return &user, nil
}
func (f *fake) AddUser(_ context.Context, u NewUser) (*User, error) {
	f.note("add user ", u.Address)
	return &user, nil
}
func (f *fake) ChangeUser(_ context.Context, a string, c UserChange) (*User, error) {
	f.note("change user ", a, " ", *c.Quota, c.Name)
	return &user, nil
}
func (f *fake) RemoveUser(_ context.Context, a string) error { f.note("remove user ", a); return nil }
func (f *fake) SetPassword(_ context.Context, a string, p Password) error {
	f.note("password ", a, " ", p.Password)
	return nil
}
func (f *fake) AppPasswords(_ context.Context, a string) ([]AppPassword, error) {
	return []AppPassword{{Name: a, Created: now}}, nil
}
func (f *fake) AddAppPassword(_ context.Context, a string, n NewAppPassword) (*AppPassword, error) {
	f.note("add app password ", a, " ", n.Name)
	return &AppPassword{Name: n.Name, Password: "x"}, nil
}
func (f *fake) RemoveAppPassword(_ context.Context, a, name string) error {
	f.note("remove app password ", a, " ", name)
	return nil
}
func (f *fake) AddAlias(_ context.Context, a Alias) (*Alias, error) {
	f.note("add alias")
	return &a, nil
}
func (f *fake) ChangeAlias(_ context.Context, a string, c AliasChange) (*Alias, error) {
	f.note("change alias ", a)
	return &Alias{a, *c.Target, now}, nil
}
func (f *fake) RemoveAlias(_ context.Context, a string) error { f.note("remove alias ", a); return nil }
func (f *fake) AddGroup(_ context.Context, g Group) (*Group, error) {
	f.note("add group")
	return &g, nil
}
func (f *fake) ChangeGroup(_ context.Context, a string, c GroupChange) (*Group, error) {
	f.note("change group ", a)
	return &Group{a, c.Members, now}, nil
}
func (f *fake) RemoveGroup(_ context.Context, a string) error   { f.note("remove group ", a); return nil }
func (f *fake) RetryQueued(_ context.Context, id uint64) error  { f.note("retry ", id); return nil }
func (f *fake) DeleteQueued(_ context.Context, id uint64) error { f.note("delete ", id); return nil }
func (f *fake) ChangeSettings(_ context.Context, c SettingsChange) (*Settings, error) {
	return nil, wire.Invalid("hostname", "must be a full name")
}
func (f *fake) VerifyAdmin(_ context.Context, l AdminLogin) error {
	if l.Password != "right" {
		return &wire.Error{Code: wire.CodeDenied, Message: "the password is wrong"}
	}
	return nil
}
func (f *fake) SetAdminPassword(_ context.Context, p AdminPassword) error {
	f.note("admin ", p.New)
	return nil
}
func (f *fake) Certificate(context.Context) (*Certificate, error) {
	return &Certificate{Names: []string{"x"}, NotAfter: now}, nil
}
func (f *fake) SetCertificate(_ context.Context, c CertificateChoice) (*Certificate, error) {
	f.note("certificate ", c.Mode, c.KeyPEM)
	return &Certificate{Mode: c.Mode}, nil
}
func (f *fake) Events(_ context.Context, limit int) ([]Event, error) {
	f.note("events ", limit)
	return status.LastEvents, nil
}
func (f *fake) Trace(_ context.Context, about string) ([]TracedMessage, error) {
	return []TracedMessage{{ID: about, Steps: []Step{{Kind: "accepted", Time: now}}}}, nil
}
func (f *fake) Probe(context.Context) (*ProbeResult, error) { return &probed, nil }

func (f *fake) Check(_ context.Context, r CheckRequest, progress func(Progress)) (*CheckReport, error) {
	progress(Progress{1, 2})
	progress(Progress{2, 2})
	if r.Repair {
		return nil, wire.Conflict("a check is running")
	}
	return &report, nil
}

func TestClientAndHandlerAgree(t *testing.T) {
	f := new(fake)
	path := filepath.Join(t.TempDir(), "s")
	l, err := wire.Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- wire.Serve(ctx, l, Handler(f), slog.New(slog.DiscardHandler)) }()
	c := NewClient(path)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	same := func(what string, want any) func(got any, err error) {
		return func(got any, err error) {
			t.Helper()
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, %v, want %+v", what, got, err, want)
			}
		}
	}
	asked := func(err error, want string) {
		t.Helper()
		if err != nil || f.asked != want {
			t.Errorf("asked %q, %v, want %q", f.asked, err, want)
		}
	}
	second := func(_ any, err error) error { return err }
	quota, target := int64(9), "t@example.org"

	call := func(got any, err error) func(string, any) {
		return func(what string, want any) { t.Helper(); same(what, want)(got, err) }
	}
	call(c.Status(ctx))("status", &status)
	asked(c.Setup(ctx, Setup{Hostname: "h"}), "setup h")
	call(c.Domains(ctx))("domains", []Domain{{Name: "example.org"}})
	asked(second(c.AddDomain(ctx, Domain{Name: "d"})), "add domain d")
	asked(second(c.ChangeDomain(ctx, "d.example", DomainChange{"e.example", true})), "change domain d.example {e.example true}")
	asked(c.RemoveDomain(ctx, "d.example"), "remove domain d.example")
	call(c.Users(ctx))("users", []User{user})
	call(c.User(ctx, user.Address))("user", &user)
	asked(second(c.AddUser(ctx, NewUser{Address: "a"})), "add user a")
	asked(second(c.ChangeUser(ctx, "a", UserChange{Quota: &quota})), "change user a 9 <nil>")
	asked(c.RemoveUser(ctx, "a b/c?d#e%@x"), "remove user a b/c?d#e%@x")
	asked(c.SetPassword(ctx, "a", Password{"p"}), "password a p")
	call(c.AppPasswords(ctx, "a/b"))("app passwords", []AppPassword{{Name: "a/b", Created: now}})
	call(c.AddAppPassword(ctx, "a", NewAppPassword{"n"}))("add app password", &AppPassword{Name: "n", Password: "x"})
	asked(c.RemoveAppPassword(ctx, "a", "Ann's phone / 2"), "remove app password a Ann's phone / 2")
	call(c.Aliases(ctx))("aliases", []Alias{{Address: "a", Target: "b"}})
	call(c.AddAlias(ctx, Alias{"a", "b", now}))("add alias", &Alias{"a", "b", now})
	call(c.ChangeAlias(ctx, "a", AliasChange{&target}))("change alias", &Alias{"a", target, now})
	asked(c.RemoveAlias(ctx, "a"), "remove alias a")
	call(c.Groups(ctx))("groups", []Group{{Address: "a"}})
	call(c.AddGroup(ctx, Group{"a", []string{"b"}, now}))("add group", &Group{"a", []string{"b"}, now})
	call(c.ChangeGroup(ctx, "a", GroupChange{Members: []string{"b"}}))("change group", &Group{"a", []string{"b"}, now})
	asked(c.RemoveGroup(ctx, "a"), "remove group a")
	call(c.Queue(ctx))("queue", []QueueEntry{{ID: 7, Created: now, Due: now}})
	asked(c.RetryQueued(ctx, 7), "retry 7")
	asked(c.DeleteQueued(ctx, 8), "delete 8")
	call(c.Settings(ctx))("settings", &settings)
	asked(c.SetAdminPassword(ctx, AdminPassword{New: "n"}), "admin n")
	call(c.Certificate(ctx))("certificate", &Certificate{Names: []string{"x"}, NotAfter: now})
	call(c.SetCertificate(ctx, CertificateChoice{Mode: "imported", KeyPEM: "k"}))("set certificate", &Certificate{Mode: "imported"})
	asked(nil, "certificate importedk")
	call(c.Events(ctx, 5))("events", status.LastEvents)
	call(c.Probe(ctx))("probe", &probed)
	call(c.Trace(ctx, "ann+x@example.org"))("trace", []TracedMessage{{ID: "ann+x@example.org", Steps: []Step{{Kind: "accepted", Time: now}}}})
	asked(nil, "events 5")
	asked(c.VerifyAdmin(ctx, AdminLogin{Password: "right"}), "events 5")

	var steps []Progress
	call(c.Check(ctx, CheckRequest{}, func(p Progress) { steps = append(steps, p) }))("check", &report)
	call(steps, nil)("progress", []Progress{{1, 2}, {2, 2}})

	for _, tt := range []struct {
		err         error
		code, field string
	}{
		{second(c.User(ctx, "nobody")), wire.CodeNotFound, ""},
		{second(c.ChangeSettings(ctx, SettingsChange{})), wire.CodeInvalid, "hostname"},
		{c.VerifyAdmin(ctx, AdminLogin{Password: "wrong"}), wire.CodeDenied, ""},
		{second(c.Check(ctx, CheckRequest{Repair: true}, nil)), wire.CodeConflict, ""},
		{second(c.Events(ctx, -1)), wire.CodeInvalid, "limit"},
		{c.wire.Post(ctx, "/v1/queue/x/retry", nil, nil), wire.CodeInvalid, "id"},
		{c.wire.Post(ctx, "/v1/users", map[string]int{"adress": 1}, nil), wire.CodeInvalid, ""},
	} {
		var e *wire.Error
		if !errors.As(tt.err, &e) || e.Code != tt.code || e.Field != tt.field {
			t.Errorf("got %v, want code %s field %q", tt.err, tt.code, tt.field)
		}
	}
}

// TestCheckCutShort is a check whose server goes away in the middle.
func TestCheckCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := wire.Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"progress\":{\"done\":1,\"total\":2}}\n")
		conn.Close()
	}()
	defer l.Close()
	c := NewClient(path)
	defer c.Close()
	var e *wire.Error
	if _, err := c.Check(t.Context(), CheckRequest{}, nil); !errors.As(err, &e) || e.Code != wire.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}
