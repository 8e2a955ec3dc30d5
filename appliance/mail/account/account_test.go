package account

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/config"
	"pillarbox/appliance/config/password"
	"pillarbox/appliance/mail/address"
	"pillarbox/appliance/mail/guard"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

const file = `
[box]
hostname = "mail.example.org"
timezone = "Europe/Berlin"
admin_password = "the red lighthouse"
[mail]
allow_plaintext_login = true
[[domain]]
name = "example.org"
[[domain]]
name = "example.net"
[[user]]
address = "ann@example.org"
name = "Ann"
password = "river stone window"
quota = "5GiB"
aliases = ["info@example.org", "ann@example.net"]
[[user]]
address = "bob@example.org"
password = "window stone river"
[[group]]
address = "all@example.org"
members = ["staff@example.org", "Carl@Elsewhere.example", "ann@example.org"]
[[group]]
address = "staff@example.org"
members = ["info@example.org", "bob+staff@example.org"]
`

// clock is a clock that tests set forward.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func open(t *testing.T, st *store.Store, c *clock) *Directory {
	t.Helper()
	d, err := New(t.Context(), Config{Store: st, Now: c.now, Logins: guard.NewLogins(c.now)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func provisioned(t *testing.T) (*Directory, *store.Store, *clock) {
	t.Helper()
	st, c := storetest.New(t), &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	d := open(t, st, c)
	apply(t, d, file)
	return d, st, c
}

func apply(t *testing.T, d *Directory, text string) {
	t.Helper()
	p, err := config.ParseProvision([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Provision(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, what string, err error, code, field string) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != code || e.Field != field {
		t.Errorf("%s: got %v, want code %s field %q", what, err, code, field)
	}
}

func id(t *testing.T, d *Directory, addr string) store.AccountID {
	t.Helper()
	id, err := d.Account(addr)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var remote = netip.MustParseAddr("203.0.113.9")

func TestAuthenticate(t *testing.T) {
	d, _, c := provisioned(t)
	ctx := t.Context()
	u, err := d.Authenticate(ctx, "Ann@Example.org", "river stone window", remote)
	if err != nil || u.Address != "ann@example.org" || u.Account != id(t, d, "ann@example.org") || !u.Admin {
		t.Fatalf("got %+v, %v", u, err)
	}
	for _, tt := range []struct{ login, password string }{
		{"ann@example.org", "wrong"}, {"ann@example.org", ""}, {"info@example.org", "river stone window"},
		{"nobody@example.org", "river stone window"}, {"ann", "river stone window"}, {"", ""},
	} {
		if u, err := d.Authenticate(ctx, tt.login, tt.password, netip.Addr{}); !errors.Is(err, ErrBadCredentials) || u != nil {
			t.Errorf("%+v: got %+v, %v", tt, u, err)
		}
	}
	// Once the failures are many, even the right password waits, unread.
	for err = nil; !errors.Is(err, ErrThrottled); {
		if _, err = d.Authenticate(ctx, "bob@example.org", "wrong", remote); err == nil {
			t.Fatal("logged in with a wrong password")
		}
	}
	var te *ThrottledError
	if _, err = d.Authenticate(ctx, "bob@example.org", "window stone river", remote); !errors.As(err, &te) || te.Wait <= 0 {
		t.Fatalf("got %v, want to be throttled", err)
	}
	c.t = c.t.Add(te.Wait)
	if _, err = d.Authenticate(ctx, "bob@example.org", "window stone river", remote); err != nil {
		t.Fatal(err)
	}
}

func TestAuthenticateAdmin(t *testing.T) {
	st, c := storetest.New(t), &clock{time.Unix(1e9, 0)}
	d := open(t, st, c)
	if err := d.AuthenticateAdmin(t.Context(), "", remote); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("before the setup: %v", err)
	}
	apply(t, d, file)
	if err := d.VerifyAdmin(t.Context(), mailapi.AdminLogin{Password: "the red lighthouse"}); err != nil {
		t.Error(err)
	}
	wantError(t, "wrong", d.VerifyAdmin(t.Context(), mailapi.AdminLogin{Password: "x", Remote: "203.0.113.1"}), wire.CodeDenied, "password")
	wantError(t, "weak", d.SetAdminPassword(t.Context(), mailapi.AdminPassword{New: "admin123"}), wire.CodeInvalid, "new")
	wantError(t, "old", d.SetAdminPassword(t.Context(), mailapi.AdminPassword{Old: "x", New: "the blue lighthouse"}), wire.CodeDenied, "password")
	if err := d.SetAdminPassword(t.Context(), mailapi.AdminPassword{Old: "the red lighthouse", New: "the blue lighthouse"}); err != nil {
		t.Error(err)
	}
	if err := d.AuthenticateAdmin(t.Context(), "the red lighthouse", netip.Addr{}); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("old password: %v", err)
	}
	if err := open(t, st, c).AuthenticateAdmin(t.Context(), "the blue lighthouse", netip.Addr{}); err != nil {
		t.Error(err)
	}
}

// TestPasswordChange ends what the old password opened: sessions and the
// memory of having verified it.
func TestPasswordChange(t *testing.T) {
	d, st, c := provisioned(t)
	ctx := t.Context()
	login := func(pw string) (*User, error) { return d.Authenticate(ctx, "bob@example.org", pw, netip.Addr{}) }
	u, err := login("window stone river")
	if err != nil {
		t.Fatal(err)
	}
	again, err := login("window stone river") // from memory
	if err != nil || again.Revoked != u.Revoked {
		t.Fatalf("got %v", err)
	}
	name := "Robert"
	if _, err := d.ChangeUser(ctx, "bob@example.org", mailapi.UserChange{Name: &name}); err != nil {
		t.Fatal(err)
	}
	if revoked(u) {
		t.Error("a new name ended the sessions")
	}
	wantError(t, "weak password", d.SetPassword(ctx, "bob@example.org", mailapi.Password{Password: "bob-2024"}), wire.CodeInvalid, "password")
	wantError(t, "nobody's password", d.SetPassword(ctx, "x@example.org", mailapi.Password{Password: "river of no return"}), wire.CodeNotFound, "")
	if err := d.SetPassword(ctx, "bob@example.org", mailapi.Password{Password: "river of no return"}); err != nil {
		t.Fatal(err)
	}
	if !revoked(u) {
		t.Error("the old sessions go on")
	}
	if _, err := login("window stone river"); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("old password: %v", err)
	}
	if u, err = login("river of no return"); err != nil || revoked(u) {
		t.Fatalf("new password: %v", err)
	}
	on := true
	if _, err := d.ChangeUser(ctx, "bob@example.org", mailapi.UserChange{Disabled: &on}); err != nil {
		t.Fatal(err)
	}
	if _, err := login("river of no return"); !errors.Is(err, ErrBadCredentials) || !revoked(u) {
		t.Errorf("disabled: %v", err)
	}
	if got, err := open(t, st, c).User(ctx, "bob@example.org"); err != nil || got.Name != "Robert" || !got.Disabled {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
}

func revoked(u *User) bool {
	select {
	case <-u.Revoked:
		return true
	default:
		return false
	}
}

// TestRenew is a person of whom only an old hash is known: the first login
// makes the credential whole and ends nothing.
func TestRenew(t *testing.T) {
	d, st, c := provisioned(t)
	ctx := t.Context()
	const old = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$Ja6zscPjU+/AG2XAq0ifI/NYcZyMIrkSGuwrrRtM5E4" // river stone
	if _, err := d.AddUser(ctx, mailapi.NewUser{Address: "eve@example.org", PasswordHash: old}); err != nil {
		t.Fatal(err)
	}
	if offers, err := d.Scram("eve@example.org", netip.Addr{}); err != nil || offers[0].User != nil {
		t.Errorf("SCRAM before the first login: %v, %v", offers[0].User, err)
	}
	u, err := d.Authenticate(ctx, "eve@example.org", "river stone", netip.Addr{})
	if err != nil || revoked(u) {
		t.Fatal(err)
	}
	d = open(t, st, c)
	if _, err := d.Authenticate(ctx, "eve@example.org", "river stone", netip.Addr{}); err != nil {
		t.Error(err)
	}
	h, err := password.Parse(d.person("eve@example.org").Credential.Password)
	if err != nil || h.Outdated() || d.person("eve@example.org").Credential.SCRAM == nil {
		t.Errorf("not renewed: %v, %v", h, err)
	}
}

// TestScram runs a whole exchange with another implementation's client and
// server on the keys that are kept.
func TestScram(t *testing.T) {
	d, _, _ := provisioned(t)
	var who *User // of the last password that is offered
	exchange := func(login, pw string) error {
		t.Helper()
		client, err := scram.SHA256.NewClient(login, pw, "")
		if err != nil {
			t.Fatal(err)
		}
		server, err := scram.SHA256.NewServer(func(name string) (scram.StoredCredentials, error) {
			offers, err := d.Scram(name, remote)
			k := offers[len(offers)-1]
			who = k.User
			return scram.StoredCredentials{
				KeyFactors: scram.KeyFactors{Salt: string(k.Salt), Iters: k.Iterations}, StoredKey: k.StoredKey, ServerKey: k.ServerKey,
			}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		cc, sc := client.NewConversation(), server.NewConversation()
		msg, err := cc.Step("")
		for err == nil && !(cc.Done() && sc.Done()) {
			if msg, err = sc.Step(msg); err == nil {
				msg, err = cc.Step(msg)
			}
		}
		if err != nil {
			who = nil
		}
		d.ScramResult(t.Context(), login, remote, who)
		return err
	}
	if err := exchange("ann@example.org", "river stone window"); err != nil {
		t.Error(err)
	}
	if err := exchange("ann@example.org", "wrong"); err == nil {
		t.Error("a wrong password was taken")
	}
	for range 2 {
		if err := exchange("nobody@example.org", "river stone window"); err == nil {
			t.Error("nobody logged in")
		}
	}
	a, _ := d.Scram("nobody@example.org", remote)
	b, _ := d.Scram("nobody@example.org", remote)
	if string(a[0].Salt) != string(b[0].Salt) || len(a[0].Salt) != 16 {
		t.Error("the salt of a login that does not exist changes")
	}

	app, err := d.AddAppPassword(t.Context(), "ann@example.org", mailapi.NewAppPassword{Name: "Phone"})
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange("ann@example.org", app.Password); err != nil || who.AppPassword != "Phone" {
		t.Errorf("with an app password: %v, %+v", err, who)
	}
	if list, err := d.AppPasswords(t.Context(), "ann@example.org"); err != nil || list[0].Used.IsZero() {
		t.Errorf("the use is not noted: %+v, %v", list, err)
	}
	if err := d.SetPassword(t.Context(), "ann@example.org", mailapi.Password{Password: "stone window river"}); err != nil {
		t.Fatal(err)
	}
	if offers, _ := d.Scram("ann@example.org", remote); len(offers) != 2 {
		t.Errorf("%d passwords are offered after a change of the own one", len(offers))
	}
}

func TestBusy(t *testing.T) {
	d, _, _ := provisioned(t)
	for range cap(d.hasher.running) {
		d.hasher.running <- struct{}{}
	}
	for range maxWaiting {
		d.hasher.waiting <- struct{}{}
	}
	if _, err := d.Authenticate(t.Context(), "ann@example.org", "x", netip.Addr{}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	<-d.hasher.waiting
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Authenticate(ctx, "ann@example.org", "x", netip.Addr{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestProvisionAgain applies a file twice, then a changed one.
func TestProvisionAgain(t *testing.T) {
	d, st, c := provisioned(t)
	before, err := d.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.Authenticate(t.Context(), "ann@example.org", "river stone window", remote)
	if err != nil {
		t.Fatal(err)
	}
	rev := func() uint64 {
		doc, err := st.Doc(t.Context(), store.TableUser, "ann@example.org")
		if err != nil {
			t.Fatal(err)
		}
		return doc.Rev
	}
	r := rev()
	apply(t, d, file)
	d = open(t, st, c)
	apply(t, d, file)
	if rev() != r || revoked(u) {
		t.Error("the same file again changed a person")
	}
	after, err := d.Users(t.Context())
	if err != nil || len(after) != 2 || after[0].Address != before[0].Address || after[0].Quota != 5<<30 {
		t.Errorf("got %+v, %v", after, err)
	}
	if !d.SetupDone() || d.Current().Hostname != "mail.example.org" || !d.Current().AllowPlaintextLogin {
		t.Errorf("settings: %+v", d.Current())
	}
	changed := strings.NewReplacer("river stone window", "a new bridge here", "5GiB", "6GiB", `name = "Ann"`, `name = "Anna"`,
		"bob+staff@example.org", "ann@example.org", `, "ann@example.net"`, "", "[mail]\nallow_plaintext_login = true", "").Replace(file)
	apply(t, d, changed)
	got, err := d.User(t.Context(), "ann@example.org")
	if err != nil || got.Name != "Anna" || got.Quota != 6<<30 || !got.Admin || len(got.Aliases) != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := d.Authenticate(t.Context(), "ann@example.org", "a new bridge here", remote); err != nil {
		t.Error(err)
	}
	if res, _ := d.Resolve(t.Context(), "staff@example.org"); len(res.Mailboxes) != 1 || !d.Current().AllowPlaintextLogin {
		t.Errorf("got %+v", res)
	}
	p, err := config.ParseProvision([]byte("[[domain]]\nname='example.org'\n[[group]]\naddress='ann@example.org'\nmembers=['bob@example.org']"))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "a group where a person is", d.Provision(t.Context(), p), wire.CodeConflict, "")
	p, err = config.ParseProvision([]byte("[[domain]]\nname='example.org'\n[[group]]\naddress='g@example.org'\nmembers=['h@example.org']\n[[group]]\naddress='h@example.org'\nmembers=['g@example.org']"))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "groups in a loop", d.Provision(t.Context(), p), wire.CodeInvalid, "members")
}

func TestSetup(t *testing.T) {
	good := mailapi.Setup{
		Hostname: "mail.example.org", Domain: "Example.org", AdminAddress: "boss@example.org", AdminPassword: "the red lighthouse",
		FirstUser: &mailapi.FirstUser{Address: "ann@example.org", Name: "Ann", Password: "river stone window"}, Timezone: "Europe/Paris",
	}
	for field, change := range map[string]func(*mailapi.Setup){
		"hostname":            func(s *mailapi.Setup) { s.Hostname = "mail" },
		"domain":              func(s *mailapi.Setup) { s.Domain = "" },
		"admin_address":       func(s *mailapi.Setup) { s.AdminAddress = "boss@example.com" },
		"admin_password":      func(s *mailapi.Setup) { s.AdminPassword = "short" },
		"timezone":            func(s *mailapi.Setup) { s.Timezone = "Moon" },
		"first_user.address":  func(s *mailapi.Setup) { s.FirstUser.Address = "ann" },
		"first_user.password": func(s *mailapi.Setup) { s.FirstUser.Password = "" },
		"first_user.name":     func(s *mailapi.Setup) { s.FirstUser.Name = "a\nb" },
	} {
		bad, first := good, *good.FirstUser
		bad.FirstUser = &first
		change(&bad)
		_, err := setupProvision(bad)
		wantError(t, field, err, wire.CodeInvalid, field)
	}
	d := open(t, storetest.New(t), &clock{time.Unix(1e9, 0)})
	if d.SetupDone() {
		t.Fatal("set up before the setup")
	}
	if err := d.Setup(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	wantError(t, "setup twice", d.Setup(t.Context(), good), wire.CodeConflict, "")
	if res, _ := d.Resolve(t.Context(), "postmaster@example.org"); !slices.Equal(res.Mailboxes, []store.AccountID{id(t, d, "boss@example.org")}) {
		t.Errorf("postmaster: %+v", res)
	}
	for login, pw := range map[string]string{"boss@example.org": "the red lighthouse", "ann@example.org": "river stone window"} {
		if _, err := d.Authenticate(t.Context(), login, pw, netip.Addr{}); err != nil {
			t.Errorf("%s: %v", login, err)
		}
	}
}

// TestAddresses holds what an administrator may enter to what the mail path
// understands: the same normal form on both sides.
func TestAddresses(t *testing.T) {
	for _, in := range []string{"Ann.Lee@Example.Org", "o'neil/x@example.org", "JOSE\u0301@b\u00fccher.example", "{a}@example.org"} {
		normal, err := config.Address(in)
		if err != nil {
			t.Fatal(err)
		}
		a, err := address.Parse(in)
		if err != nil || a.Key() != normal {
			t.Errorf("%s: entered as %q, mail has %q, %v", in, normal, a.Key(), err)
		}
	}
}

func FuzzResolve(f *testing.F) {
	for _, s := range []string{"ann@example.org", "postmaster", "a+b+c@example.org", `"@"@example.org`, "@", "+@example.org"} {
		f.Add(s)
	}
	d := &Directory{
		domains: map[string]domainRecord{"example.org": {}},
		users:   map[string]*person{"ann@example.org": {userRecord: userRecord{Address: "ann@example.org", Account: 1, Admin: true}}},
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := d.Resolve(t.Context(), s)
		if err != nil || r.Known && (!r.Hosted || len(r.Mailboxes) != 1) || len(r.Forward) > 0 {
			t.Fatalf("%q: %+v, %v", s, r, err)
		}
	})
}

// The way back in for who lost the administrator's password: a file with a new
// one, which changes nothing else.
func TestNewAdministratorsPasswordByFile(t *testing.T) {
	d, _, _ := provisioned(t)
	before, users := d.Current(), len(d.users)
	apply(t, d, "[box]\nadmin_password = 'a green lighthouse'\n")
	if err := d.VerifyAdmin(t.Context(), mailapi.AdminLogin{Password: "a green lighthouse"}); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if d.VerifyAdmin(t.Context(), mailapi.AdminLogin{Password: "the red lighthouse"}) == nil {
		t.Error("the old password still opens")
	}
	if after := d.Current(); after != before || len(d.users) != users {
		t.Errorf("the settings are %+v, want %+v; %d users, want %d", after, before, len(d.users), users)
	}
}

// A power cut after any step of the set-up: the box asks again, and what it is
// answered then holds.
func TestPowerCutInTheSetup(t *testing.T) {
	setup := mailapi.Setup{
		Hostname: "mail.example.org", Domain: "example.org", AdminAddress: "ann@example.org", AdminPassword: "the red lighthouse",
		FirstUser: &mailapi.FirstUser{Address: "ann@example.org", Name: "Ann", Password: "river stone window"},
	}
	again := setup
	again.AdminPassword, again.FirstUser = "the blue lighthouse", &mailapi.FirstUser{Address: "ann@example.org", Name: "Ann Lee", Password: "window stone river"}
	type powerCut struct{}
	for cut, whole := 1, false; !whole; cut++ {
		st, c := storetest.New(t), &clock{time.Unix(1e9, 0)}
		left := cut
		d, err := New(t.Context(), Config{Store: st, Now: c.now, Logins: guard.NewLogins(c.now), Event: func(string, string) {
			if left--; left == 0 {
				panic(powerCut{})
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if r := recover(); r != nil && r != (powerCut{}) {
					panic(r)
				}
			}()
			err = d.Setup(t.Context(), setup)
			whole = true
		}()
		if whole {
			if err != nil || cut < 4 {
				t.Fatalf("set up in %d steps, %v", cut, err)
			}
			return
		}
		d = open(t, st, c)
		if d.SetupDone() {
			// All was written but for the last word in the journal.
			if err := d.VerifyAdmin(t.Context(), mailapi.AdminLogin{Password: "the red lighthouse"}); err != nil {
				t.Errorf("cut %d: %v", cut, err)
			}
			continue
		}
		if err := d.Setup(t.Context(), again); err != nil {
			t.Fatalf("cut %d: again: %v", cut, err)
		}
		if err := d.VerifyAdmin(t.Context(), mailapi.AdminLogin{Password: "the blue lighthouse"}); err != nil {
			t.Errorf("cut %d: the administrator: %v", cut, err)
		}
		if _, err := d.Authenticate(t.Context(), "ann@example.org", "window stone river", netip.Addr{}); err != nil {
			t.Errorf("cut %d: the mailbox: %v", cut, err)
		}
		if users, err := d.Users(t.Context()); err != nil || len(users) != 1 || !users[0].Admin {
			t.Errorf("cut %d: %+v, %v", cut, users, err)
		}
	}
}
