package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pillarbox/appliance/api/boxapi"
)

func (f *guardedBox) TryNetwork(_ context.Context, n boxapi.Network) error {
	f.tried = &n
	return nil
}

func (f *guardedBox) KeepNetwork(context.Context) error {
	f.settings.Network, f.tried = *f.tried, nil
	return nil
}

// What is shown can be changed and tried, bonds and VLANs with all they have.
func TestNetwork(t *testing.T) {
	box := &guardedBox{settings: boxapi.Settings{Network: boxapi.Network{
		DNS: []string{"192.0.2.53"}, Search: []string{"example.org"},
		Interfaces: []boxapi.NetworkInterface{
			{Name: "bond0", Mode: "dhcp", Bond: []string{"eth0", "eth1"}, BondMode: boxapi.BondLACP, MTU: 9000},
			{Name: "office", Mode: "static", Address: "198.51.100.5/24", Parent: "bond0", VLAN: 5, Bond: []string{}},
		},
	}}}
	run := func(in string, args ...string) (int, string) {
		var out bytes.Buffer
		c := &ctl{box: box, in: strings.NewReader(in), out: &out, err: &out}
		return c.run(t.Context(), args), out.String()
	}
	code, shown := run("", "network")
	if code != exitOK {
		t.Fatalf("%d %s", code, shown)
	}
	if code, out := run(shown, "network", "try", "-"); code != exitOK || !strings.Contains(out, "two minutes") {
		t.Fatalf("%d %s of\n%s", code, out, shown)
	}
	if !reflect.DeepEqual(*box.tried, box.settings.Network) {
		t.Errorf("tried %+v\nwant %+v\nfrom\n%s", *box.tried, box.settings.Network, shown)
	}
	file := filepath.Join(t.TempDir(), "network.toml")
	if err := os.WriteFile(file, []byte("[network]\nmode = \"static\"\naddress = \"192.0.2.10/24\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := run("", "network", "try", file); code != exitOK || box.tried.Address != "192.0.2.10/24" {
		t.Errorf("%d %s, tried %+v", code, out, box.tried)
	}
	if code, out := run("", "network", "keep"); code != exitOK || box.settings.Network.Address != "192.0.2.10/24" {
		t.Errorf("%d %s, kept %+v", code, out, box.settings.Network)
	}
	for in, want := range map[string]string{
		"[network]\nmode = \"static\"\n":                    "line 1",
		"[box]\nhostname = \"mail.example.org\"\n":          "no [network]",
		"[network]\nmode = \"dhcp\"\nntp = [\"a.example\"]": "time servers",
	} {
		if code, out := run(in, "network", "try", "-"); code != exitFailed || !strings.Contains(out, want) || box.tried != nil {
			t.Errorf("%q: %d %s", in, code, out)
		}
	}
	for _, args := range [][]string{{"network", "try"}, {"network", "keep", "x"}, {"network", "colour"}} {
		if code, out := run("", args...); code != exitUsage {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}
