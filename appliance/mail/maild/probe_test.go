package maild

import (
	"strings"
	"testing"

	"pillarbox/appliance/store/store"
)

// A test message comes through and leaves nothing behind: no account, no
// message, no trace record.
func TestProbe(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, "")
	for _, what := range []string{"before the setup", "after it"} {
		p, err := r.Probe(t.Context())
		if err != nil || p.Failure != "" || p.Seconds <= 0 {
			t.Fatalf("%s: %+v, %v", what, p, err)
		}
		if what == "before the setup" {
			r.setUp()
		}
	}
	s, err := r.Status(t.Context())
	if err != nil || s.Messages != 0 || s.Users != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	r.stop()
	kept, err := store.Open(t.Context(), dir+"/data/store", store.Options{Small: true})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	accounts := 0
	if err := kept.Accounts(t.Context(), func(store.AccountID, store.Quota) error { accounts++; return nil }); err != nil || accounts != 1 {
		t.Errorf("%d accounts, %v; ann's alone was wanted", accounts, err)
	}
	if err := kept.Docs(t.Context(), store.TableTrace, "", "", func(d store.Doc) error {
		t.Errorf("a trace record %s: %s", d.Key, d.Value)
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// Nobody but a running test can write to its address.
func TestProbeAddressLeadsNowhere(t *testing.T) {
	r := start(t, t.TempDir(), "")
	r.setUp()
	err := r.exchange("someone@probe.invalid", "hello")
	if err == nil || !strings.Contains(err.Error(), "550") {
		t.Errorf("%v", err)
	}
}
