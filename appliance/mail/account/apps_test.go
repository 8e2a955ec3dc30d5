package account

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
)

func TestAppPasswords(t *testing.T) {
	d, st, c := provisioned(t)
	const ann = "ann@example.org"
	add := func(name string) string {
		t.Helper()
		a, err := d.AddAppPassword(t.Context(), ann, mailapi.NewAppPassword{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return a.Password
	}
	login := func(d *Directory, pw string) *User {
		t.Helper()
		u, err := d.Authenticate(t.Context(), ann, pw, netip.Addr{})
		if err != nil && !errors.Is(err, ErrBadCredentials) {
			t.Fatal(err)
		}
		return u
	}
	phone, laptop := add(" Phone"), add("Laptop")
	if len(phone) != 24 || phone == laptop {
		t.Errorf("made %q and %q", phone, laptop)
	}
	for _, typed := range []string{phone, strings.ToUpper(phone), strings.ReplaceAll(phone, "-", ""), strings.ReplaceAll(phone, "-", " ")} {
		if u := login(d, typed); u == nil || u.AppPassword != "Phone" || u.Address != ann {
			t.Errorf("%q logs in as %+v", typed, u)
		}
	}
	if u := login(d, "river stone window"); u == nil || u.AppPassword != "" {
		t.Errorf("the own password logs in as %+v", u)
	}
	wrong := phone[:5] + laptop[5:]
	if login(d, wrong) != nil {
		t.Error("a mixture of two is taken")
	}
	if err := d.AuthenticateAdmin(t.Context(), phone, netip.Addr{}); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("for administration: %v", err)
	}

	// Uses are noted to the hour, and all of it is still there after a restart.
	first := c.t
	c.t = c.t.Add(30 * time.Minute)
	login(d, phone)
	list, err := open(t, st, c).AppPasswords(t.Context(), ann)
	if err != nil || len(list) != 2 || list[0].Name != "Laptop" || !list[0].Used.IsZero() || list[1].Name != "Phone" || !list[1].Used.Equal(first) || list[1].Password != "" {
		t.Errorf("listed %+v, %v", list, err)
	}
	c.t = c.t.Add(time.Hour)
	own := login(d, phone)
	if list, _ := d.AppPasswords(t.Context(), ann); !list[1].Used.Equal(c.t) {
		t.Errorf("used last %v, want %v", list[1].Used, c.t)
	}

	// A removed one ends sessions, and is known to nobody.
	select {
	case <-own.Revoked:
		t.Error("notes of uses end sessions")
	default:
	}
	if err := d.RemoveAppPassword(t.Context(), ann, "Phone"); err != nil {
		t.Fatal(err)
	}
	<-own.Revoked
	if login(d, phone) != nil || login(d, laptop) == nil {
		t.Error("not the right one was removed")
	}

	refused := func(what string, err error, code string) {
		t.Helper()
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v, want code %s", what, err, code)
		}
	}
	_, err = d.AddAppPassword(t.Context(), ann, mailapi.NewAppPassword{Name: "Laptop"})
	refused("one more of the name", err, wire.CodeConflict)
	_, err = d.AddAppPassword(t.Context(), ann, mailapi.NewAppPassword{Name: " "})
	refused("without a name", err, wire.CodeInvalid)
	_, err = d.AddAppPassword(t.Context(), "nobody@example.org", mailapi.NewAppPassword{Name: "x"})
	refused("nobody's", err, wire.CodeNotFound)
	_, err = d.AppPasswords(t.Context(), "nobody@example.org")
	refused("nobody's list", err, wire.CodeNotFound)
	refused("removing it again", d.RemoveAppPassword(t.Context(), ann, "Phone"), wire.CodeNotFound)
	refused("as the own password", d.SetPassword(t.Context(), ann, mailapi.Password{Password: laptop}), wire.CodeInvalid)
}

// TestProvisioningKeepsAppPasswords has SCRAM offer all of a person's passwords
// after a provisioning file gave the person another one.
func TestProvisioningKeepsAppPasswords(t *testing.T) {
	d, _, _ := provisioned(t)
	if _, err := d.AddAppPassword(t.Context(), "ann@example.org", mailapi.NewAppPassword{Name: "phone"}); err != nil {
		t.Fatal(err)
	}
	apply(t, d, strings.Replace(file, "river stone window", "quite another one", 1))
	offers, err := d.Scram("ann@example.org", remote)
	if err != nil || len(offers) != 2 {
		t.Errorf("%d passwords are offered: %v", len(offers), err)
	}
}
