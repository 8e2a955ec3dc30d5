package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

func TestUsers(t *testing.T) {
	d, st, _ := provisioned(t)
	ctx := t.Context()
	for _, tt := range []struct {
		in          mailapi.NewUser
		code, field string
	}{
		{mailapi.NewUser{Address: "x", Password: "river stone"}, wire.CodeInvalid, "address"},
		{mailapi.NewUser{Address: "x@elsewhere.example", Password: "river stone"}, wire.CodeInvalid, "address"},
		{mailapi.NewUser{Address: "x@example.org"}, wire.CodeInvalid, "password"},
		{mailapi.NewUser{Address: "x@example.org", Password: "short"}, wire.CodeInvalid, "password"},
		{mailapi.NewUser{Address: "x@example.org", Password: "river stone", PasswordHash: "x"}, wire.CodeInvalid, "password"},
		{mailapi.NewUser{Address: "x@example.org", PasswordHash: "x"}, wire.CodeInvalid, "password_hash"},
		{mailapi.NewUser{Address: "x@example.org", Password: "river stone", Quota: -1}, wire.CodeInvalid, "quota"},
		{mailapi.NewUser{Address: "x@example.org", Password: "river stone", Name: "a\x00"}, wire.CodeInvalid, "name"},
		{mailapi.NewUser{Address: "Ann@example.org", Password: "river stone"}, wire.CodeConflict, ""},
		{mailapi.NewUser{Address: "info@example.org", Password: "river stone"}, wire.CodeConflict, ""},
		{mailapi.NewUser{Address: "all@example.org", Password: "river stone"}, wire.CodeConflict, ""},
	} {
		_, err := d.AddUser(ctx, tt.in)
		wantError(t, tt.in.Address, err, tt.code, tt.field)
	}
	u, err := d.AddUser(ctx, mailapi.NewUser{Address: "Eve@Example.net", Name: "Eve", Password: "river stone", Quota: 1 << 20})
	if err != nil || u.Address != "eve@example.net" || u.Quota != 1<<20 || u.Name != "Eve" {
		t.Fatalf("got %+v, %v", u, err)
	}
	if boxes, err := st.Mailboxes(ctx, id(t, d, "eve@example.net")); err != nil || len(boxes) < 2 {
		t.Errorf("mailboxes: %v, %v", boxes, err)
	}
	quota, no := int64(0), false
	if u, err = d.ChangeUser(ctx, "eve@example.net", mailapi.UserChange{Quota: &quota}); err != nil || u.Quota != 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	quota = -1
	limit := int64(1000)
	if u, err = d.ChangeUser(ctx, "eve@example.net", mailapi.UserChange{MessageLimit: &limit}); err != nil || u.MessageLimit != 1000 || u.Quota != 0 {
		t.Errorf("limit of messages: %+v, %v", u, err)
	}
	_, err = d.ChangeUser(ctx, "eve@example.net", mailapi.UserChange{Quota: &quota})
	wantError(t, "negative quota", err, wire.CodeInvalid, "quota")
	_, err = d.ChangeUser(ctx, "ann@example.org", mailapi.UserChange{Admin: &no})
	wantError(t, "no postmaster", err, wire.CodeConflict, "")
	wantError(t, "no postmaster", d.RemoveUser(ctx, "ann@example.org"), wire.CodeConflict, "")
	_, err = d.User(ctx, "nobody@example.org")
	wantError(t, "nobody", err, wire.CodeNotFound, "")
	wantError(t, "nobody", d.RemoveUser(ctx, "info@example.org"), wire.CodeNotFound, "")
}

// TestRemoveUser takes with the person the aliases and the places in groups.
func TestRemoveUser(t *testing.T) {
	d, st, c := provisioned(t)
	ctx := t.Context()
	yes := true
	if _, err := d.ChangeUser(ctx, "bob@example.org", mailapi.UserChange{Admin: &yes}); err != nil {
		t.Fatal(err)
	}
	account := id(t, d, "ann@example.org")
	u, err := d.Authenticate(ctx, "ann@example.org", "river stone window", remote)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveUser(ctx, "ann@example.org"); err != nil {
		t.Fatal(err)
	}
	if !revoked(u) {
		t.Error("the sessions go on")
	}
	for _, d := range []*Directory{d, open(t, st, c)} {
		for _, gone := range []string{"ann@example.org", "info@example.org"} {
			if r, _ := d.Resolve(ctx, gone); r.Known {
				t.Errorf("%s is still there", gone)
			}
		}
		g, err := d.group("all@example.org")
		if err != nil || !slices.Equal(g.Members, []string{"staff@example.org", "Carl@elsewhere.example"}) {
			t.Errorf("group: %+v, %v", g, err)
		}
	}
	if _, err := st.Mailboxes(ctx, account); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the mailboxes are still there: %v", err)
	}
}

func TestDomains(t *testing.T) {
	d, _, _ := provisioned(t)
	ctx := t.Context()
	changed := 0
	d.cfg.Changed = func() { changed++; d.DomainNames() }
	got, err := d.AddDomain(ctx, mailapi.Domain{Name: "B\u00fccher.example"})
	if err != nil || got.Name != "xn--bcher-kva.example" || changed != 1 {
		t.Fatalf("got %+v, %v, changed %d", got, err, changed)
	}
	_, err = d.AddDomain(ctx, mailapi.Domain{Name: "b\u00fccher.example"})
	wantError(t, "twice", err, wire.CodeConflict, "")
	_, err = d.AddDomain(ctx, mailapi.Domain{Name: "x y"})
	wantError(t, "bad name", err, wire.CodeInvalid, "name")
	list, err := d.Domains(ctx)
	if err != nil || len(list) != 3 || list[1].Name != "example.org" || list[1].Users != 2 {
		t.Errorf("got %+v, %v", list, err)
	}
	wantError(t, "in use", d.RemoveDomain(ctx, "example.net"), wire.CodeConflict, "")
	wantError(t, "not there", d.RemoveDomain(ctx, "example.com"), wire.CodeNotFound, "")
	wantError(t, "not a name", d.RemoveDomain(ctx, "a b"), wire.CodeNotFound, "")
	if err := d.RemoveDomain(ctx, "b\u00fccher.example"); err != nil || changed != 2 {
		t.Errorf("got %v, changed %d", err, changed)
	}
}

// TestRenameLargeDomain has more addresses in a domain than one change takes.
func TestRenameLargeDomain(t *testing.T) {
	d, _, _ := provisioned(t)
	for i := range 10_000 {
		a := fmt.Sprintf("alias%d@example.org", i)
		d.aliases[a] = aliasRecord{Address: a, Target: "ann@example.org"}
	}
	_, err := d.ChangeDomain(t.Context(), "example.org", mailapi.DomainChange{Name: "new.example"})
	wantError(t, "a large domain", err, wire.CodeConflict, "")
	if !d.hosted("example.org") || d.hosted("new.example") {
		t.Error("the domain was renamed nonetheless")
	}
	id(t, d, "ann@example.org")
}

// TestRenameDomain checks what goes with a domain's name, in memory and after a
// restart.
func TestRenameDomain(t *testing.T) {
	for _, keep := range []bool{false, true} {
		d, st, c := provisioned(t)
		ctx := t.Context()
		_, err := d.ChangeDomain(ctx, "example.org", mailapi.DomainChange{Name: "no name"})
		wantError(t, "bad name", err, wire.CodeInvalid, "name")
		_, err = d.ChangeDomain(ctx, "example.org", mailapi.DomainChange{Name: "Example.NET"})
		wantError(t, "name in use", err, wire.CodeConflict, "")
		_, err = d.ChangeDomain(ctx, "example.com", mailapi.DomainChange{Name: "new.example"})
		wantError(t, "not there", err, wire.CodeNotFound, "")
		if _, err := d.AddAlias(ctx, mailapi.Alias{Address: "boss@example.org", Target: "boss@new.example"}); err != nil {
			t.Fatal(err)
		}
		_, err = d.ChangeDomain(ctx, "example.org", mailapi.DomainChange{Name: "new.example", Keep: keep})
		wantError(t, "an alias to itself", err, wire.CodeConflict, "")
		if err := d.RemoveAlias(ctx, "boss@example.org"); err != nil {
			t.Fatal(err)
		}

		ann, bob := id(t, d, "ann@example.org"), id(t, d, "bob@example.org")
		u, err := d.Authenticate(ctx, "ann@example.org", "river stone window", remote)
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		d.cfg.Changed = func() { changed++ }
		got, err := d.ChangeDomain(ctx, "Example.org", mailapi.DomainChange{Name: "New.example", Keep: keep})
		if err != nil || got.Name != "new.example" || changed != 1 {
			t.Fatalf("got %+v, %v, changed %d", got, err, changed)
		}
		if !revoked(u) {
			t.Error("the sessions go on")
		}
		for _, d := range []*Directory{d, open(t, st, c)} {
			if u, err := d.Authenticate(ctx, "ann@new.example", "river stone window", remote); err != nil || u.Account != ann || u.Address != "ann@new.example" {
				t.Errorf("login: %+v, %v", u, err)
			}
			if _, err := d.Authenticate(ctx, "ann@example.org", "river stone window", remote); !errors.Is(err, ErrBadCredentials) {
				t.Errorf("login by the old address: %v", err)
			}
			for _, tt := range []struct {
				addr string
				want []store.AccountID
			}{
				{"ann@new.example", []store.AccountID{ann}},
				{"info@new.example", []store.AccountID{ann}},
				{"ann@example.net", []store.AccountID{ann}}, // an alias in another domain
				{"all@new.example", []store.AccountID{ann, bob}},
				{"staff@new.example", []store.AccountID{ann, bob}},
				{"postmaster@new.example", []store.AccountID{ann}},
			} {
				if r, err := d.Resolve(ctx, tt.addr); err != nil || !slices.Equal(slices.Sorted(slices.Values(r.Mailboxes)), tt.want) {
					t.Errorf("%s: %+v, %v", tt.addr, r, err)
				}
				name, domain, _ := strings.Cut(tt.addr, "@")
				if r, err := d.Resolve(ctx, name+"@example.org"); err != nil || r.Hosted != keep ||
					keep && domain == "new.example" && !slices.Equal(slices.Sorted(slices.Values(r.Mailboxes)), tt.want) {
					t.Errorf("%s@example.org: %+v, %v", name, r, err)
				}
			}
			want := []string{"example.net", "example.org", "new.example"}
			if !keep {
				want = slices.Delete(want, 1, 2)
			}
			if got := d.DomainNames(); !slices.Equal(got, want) {
				t.Errorf("domains: %q", got)
			}
			if n := d.addressesIn("example.org"); !keep && n != 0 || keep && n != 5 {
				t.Errorf("%d addresses have the old name", n)
			}
		}
	}
}

func TestAliasesAndGroups(t *testing.T) {
	d, st, c := provisioned(t)
	ctx := t.Context()
	a, err := d.AddAlias(ctx, mailapi.Alias{Address: "Sales@example.org", Target: "info@example.org"})
	if err != nil || a.Address != "sales@example.org" {
		t.Fatalf("got %+v, %v", a, err)
	}
	if _, err := d.AddAlias(ctx, mailapi.Alias{Address: "away@example.org", Target: "Eve@Elsewhere.example"}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		address, target string
		code, field     string
	}{
		{"a b@example.org", "ann@example.org", wire.CodeInvalid, "address"},
		{"x@elsewhere.example", "ann@example.org", wire.CodeInvalid, "address"},
		{"ann@example.org", "bob@example.org", wire.CodeConflict, ""},
		{"new@example.org", "", wire.CodeInvalid, "target"},
		{"new@example.org", "nobody@example.org", wire.CodeInvalid, "target"},
		{"new@example.org", "new@example.org", wire.CodeInvalid, "target"},
	} {
		_, err := d.AddAlias(ctx, mailapi.Alias{Address: tt.address, Target: tt.target})
		wantError(t, tt.address+" to "+tt.target, err, tt.code, tt.field)
	}
	change := func(addr, target string) error {
		_, err := d.ChangeAlias(ctx, addr, mailapi.AliasChange{Target: &target})
		return err
	}
	wantError(t, "loop", change("info@example.org", "sales@example.org"), wire.CodeInvalid, "target")
	wantError(t, "loop by a group", change("info@example.org", "all@example.org"), wire.CodeInvalid, "target")
	wantError(t, "not an alias", change("ann@example.org", "bob@example.org"), wire.CodeNotFound, "")
	if err := change("sales@example.org", "bob+sales@example.org"); err != nil {
		t.Error(err)
	}
	wantError(t, "not an alias", d.RemoveAlias(ctx, "bob@example.org"), wire.CodeNotFound, "")
	if err := d.RemoveAlias(ctx, "away@example.org"); err != nil {
		t.Error(err)
	}

	_, err = d.AddGroup(ctx, mailapi.Group{Address: "g@example.org"})
	wantError(t, "no members", err, wire.CodeInvalid, "members")
	_, err = d.AddGroup(ctx, mailapi.Group{Address: "g@example.org", Members: []string{"nobody@example.org"}})
	wantError(t, "unknown member", err, wire.CodeInvalid, "members")
	g, err := d.AddGroup(ctx, mailapi.Group{Address: "g@example.org", Members: []string{"ann@example.org", "ANN@example.org", "bob@example.org"}})
	if err != nil || !slices.Equal(g.Members, []string{"ann@example.org", "bob@example.org"}) {
		t.Fatalf("got %+v, %v", g, err)
	}
	g, err = d.ChangeGroup(ctx, "g@example.org", mailapi.GroupChange{Add: []string{"x@elsewhere.example"}, Remove: []string{"Bob@example.org"}})
	if err != nil || !slices.Equal(g.Members, []string{"ann@example.org", "x@elsewhere.example"}) {
		t.Errorf("got %+v, %v", g, err)
	}
	_, err = d.ChangeGroup(ctx, "g@example.org", mailapi.GroupChange{Remove: g.Members})
	wantError(t, "empty", err, wire.CodeInvalid, "members")
	_, err = d.ChangeGroup(ctx, "staff@example.org", mailapi.GroupChange{Members: []string{"all@example.org"}})
	wantError(t, "loop", err, wire.CodeInvalid, "members")
	if err := d.RemoveGroup(ctx, "g@example.org"); err != nil {
		t.Error(err)
	}
	wantError(t, "not a group", d.RemoveGroup(ctx, "g@example.org"), wire.CodeNotFound, "")

	d = open(t, st, c)
	aliases, _ := d.Aliases(ctx)
	groups, _ := d.Groups(ctx)
	if len(aliases) != 3 || len(groups) != 2 || aliases[2].Target != "bob+sales@example.org" {
		t.Errorf("after a restart: %+v, %+v", aliases, groups)
	}
	if ok, _ := d.SenderAllowed(ctx, "bob@example.org", "sales@example.org"); !ok {
		t.Error("an alias that leads to a detail does not let its owner send")
	}
}

func TestSettings(t *testing.T) {
	d, st, c := provisioned(t)
	ctx := t.Context()
	changed := 0
	d.cfg.Changed = func() { changed++ }
	p := func(s string) *string { return &s }
	small, yes, below := int64(1), true, -1
	for field, ch := range map[string]mailapi.SettingsChange{
		"hostname":            {Hostname: p("")},
		"timezone":            {Timezone: p("Moon")},
		"smart_host":          {SmartHost: p("relay")},
		"smart_host_user":     {SmartHostUser: p("box")},
		"smart_host_password": {SmartHost: p("relay.example.net:587"), SmartHostUser: p("box")},
		"max_message_size":    {MaxMessageSize: &small},
		"undelete_days":       {UndeleteDays: &below},
	} {
		_, err := d.ChangeSettings(ctx, ch)
		wantError(t, field, err, wire.CodeInvalid, field)
	}
	s, err := d.ChangeSettings(ctx, mailapi.SettingsChange{SmartHost: p("Relay.example.net:587"), SmartHostUser: p("box"), SmartHostPassword: p("x"), SmartHostAnyCertificate: &yes})
	if err != nil || s.SmartHost != "relay.example.net:587" || !s.SmartHostPasswordSet || changed != 1 {
		t.Fatalf("got %+v, %v, changed %d", s, err, changed)
	}
	if got := open(t, st, c).Current(); got.SmartHostPassword != "x" || got.MaxMessageSize != defaultMaxMessage {
		t.Errorf("after a restart: %+v", got)
	}
	if s, err = d.ChangeSettings(ctx, mailapi.SettingsChange{SmartHost: p("")}); err != nil || s.SmartHostPasswordSet || s.SmartHostUser != "" {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err = d.ChangeSettings(ctx, mailapi.SettingsChange{Hostname: p("Mail.example.org")}); err != nil || changed != 2 {
		t.Errorf("nothing new: %v, changed %d", err, changed)
	}
}

// failing is a store whose commits fail on demand.
type failing struct {
	*store.Store
	err error
}

func (f *failing) UpdateDocs(ctx context.Context, ops ...store.DocOp) error {
	if f.err != nil {
		return f.err
	}
	return f.Store.UpdateDocs(ctx, ops...)
}

func (f *failing) CreateAccount(ctx context.Context, q store.Quota, docs func(store.AccountID) []store.DocOp) (store.AccountID, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Store.CreateAccount(ctx, q, docs)
}

// TestFailedCommit leaves memory as the store is.
func TestFailedCommit(t *testing.T) {
	st := &failing{Store: storetest.New(t)}
	d, err := New(t.Context(), Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, d, file)
	u, err := d.Authenticate(t.Context(), "bob@example.org", "window stone river", remote)
	if err != nil {
		t.Fatal(err)
	}
	st.err = store.ErrNoSpace
	ctx := t.Context()
	_, addErr := d.AddUser(ctx, mailapi.NewUser{Address: "new@example.org", Password: "river stone"})
	_, aliasErr := d.AddAlias(ctx, mailapi.Alias{Address: "alias@example.org", Target: "bob@example.org"})
	_, domainErr := d.AddDomain(ctx, mailapi.Domain{Name: "example.com"})
	for _, err := range []error{addErr, aliasErr, domainErr,
		d.SetPassword(ctx, "bob@example.org", mailapi.Password{Password: "another one"}),
		d.SetAdminPassword(ctx, mailapi.AdminPassword{New: "another one"}), d.RemoveAlias(ctx, "info@example.org"), d.RemoveGroup(ctx, "all@example.org"),
	} {
		if !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("got %v", err)
		}
	}
	for addr, want := range map[string]bool{"new@example.org": false, "alias@example.org": false, "info@example.org": true, "all@example.org": true} {
		if r, _ := d.Resolve(ctx, addr); r.Known != want {
			t.Errorf("%s: %+v", addr, r)
		}
	}
	if revoked(u) {
		t.Error("the sessions ended without a change")
	}
	if _, err := d.Authenticate(ctx, "bob@example.org", "window stone river", remote); err != nil {
		t.Error(err)
	}
}

// TestRemovedMeanwhile lists people of whom one is removed at that moment.
func TestRemovedMeanwhile(t *testing.T) {
	st := &leaving{Store: storetest.New(t)}
	d, err := New(t.Context(), Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, d, file)
	st.leave = func() {
		if err := d.RemoveUser(t.Context(), "bob@example.org"); err != nil {
			t.Error(err)
		}
	}
	if list, err := d.Users(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}

// leaving is a store of which somebody leaves while its quotas are read.
type leaving struct {
	*store.Store
	leave func()
}

func (l *leaving) Quota(ctx context.Context, id store.AccountID) (store.Quota, error) {
	if l.leave != nil {
		leave := l.leave
		l.leave = nil
		leave()
	}
	return l.Store.Quota(ctx, id)
}

// TestNewerRecord is a directory that a later program wrote.
func TestNewerRecord(t *testing.T) {
	st := storetest.New(t)
	if err := st.UpdateDocs(t.Context(), store.DocOp{Table: store.TableUser, Key: "a@example.org", Value: []byte("\x02{}")}); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), Config{Store: st}); !errors.Is(err, store.ErrNewerStore) {
		t.Errorf("got %v", err)
	}
}
