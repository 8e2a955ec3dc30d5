package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pillarbox/appliance/config/password"
)

const whole = `
[box]
hostname = "Mail.Example.ORG."
timezone = "Europe/Berlin"
admin_password = "correct horse battery"
[network]
mode = "static"
address = "192.0.2.5/24"
gateway = "192.0.2.1"
dns = ["192.0.2.53", "2001:DB8::53"]
ntp = ["ntp.example.org"]
[mail]
smart_host = "Relay.example.net:587"
smart_host_user = "box"
smart_host_password = "x"
allow_plaintext_login = true
max_message_size = "50MiB"
undelete_days = 0
[[domain]]
name = "example.org"
[[domain]]
name = "Bücher.example"
[[user]]
address = "Ann@Example.org"
name = "Ann"
password = "river stone window"
quota = "5GiB"
admin = true
aliases = ["info@example.org", "büro@bücher.example"]
[[user]]
address = "bob@example.org"
password = "window stone river"
quota = 1048576
[[group]]
address = "all@example.org"
members = ["ann@example.org", "Carl@Elsewhere.example"]
`

func TestParseProvision(t *testing.T) {
	got, err := ParseProvision([]byte("\xef\xbb\xbf" + whole))
	if err != nil {
		t.Fatal(err)
	}
	want := &Provision{
		Box: Box{Hostname: "mail.example.org", Timezone: "Europe/Berlin", AdminPassword: "correct horse battery"},
		Network: NetworkAndTime{
			Network: Network{Mode: ModeStatic, Address: "192.0.2.5/24", Gateway: "192.0.2.1", DNS: []string{"192.0.2.53", "2001:db8::53"}},
			NTP:     []string{"ntp.example.org"},
		},
		Mail:    &Mail{SmartHost: "relay.example.net:587", SmartHostUser: "box", SmartHostPassword: "x", AllowPlaintextLogin: true, MaxMessageSize: 50 << 20, UndeleteDays: new(int)},
		Domains: []Domain{{"example.org"}, {"xn--bcher-kva.example"}},
		Users: []User{
			{Address: "ann@example.org", Name: "Ann", Password: "river stone window", Quota: 5 << 30, Admin: true,
				Aliases: []string{"info@example.org", "büro@xn--bcher-kva.example"}},
			{Address: "bob@example.org", Password: "window stone river", Quota: 1 << 20},
		},
		Groups: []Group{{"all@example.org", []string{"ann@example.org", "Carl@elsewhere.example"}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if p, err := ParseProvision(nil); err != nil || p.Network.Mode != "" {
		t.Errorf("empty file: %+v, %v", p, err)
	}
}

// TestProblems holds every way to be wrong to a line and a sentence.
func TestProblems(t *testing.T) {
	const domain = "[[domain]]\nname = 'example.org'\n"
	for _, tt := range []struct {
		name, in string
		want     []string // one a problem
	}{
		{"syntax", "[box]\nhostname = ", []string{"line 2"}},
		{"unknown keys", "[box]\nhost = 'a'\n[[user]]\nadress = 'x'\n", []string{"line 2: box.host is not a setting", "line 4: user.adress is not a setting"}},
		{"unknown table", "[boxes]\nx = 1\n", []string{"line 1: boxes"}},
		{"wrong type", "[box]\n\nhostname = 5\n", []string{"line 3: "}},
		{"hostname", "[box]\nhostname = 'mail'\n", []string{"line 2: box.hostname must be a full name such as mail.example.org"}},
		{"hostname is an address", "[box]\nhostname = '192.0.2.1'\n", []string{"box.hostname"}},
		{"time zone", "[box]\ntimezone = 'Mars/Olympus'\n", []string{"line 2: box.timezone must be a time zone such as Europe/Berlin"}},
		{"language", "[box]\nlanguage = 'tlh'\n", []string{"line 2: box.language must be one of en, de, fr, es"}},
		{"keyboard", "[box]\nkeyboard = 'de_DE'\n", []string{"line 2: box.keyboard must be one of us, uk, de, fr, es, ch"}},
		{"administration", "[box]\nadministration = ['192.0.2.0/24', 'office']\n", []string{"line 2: box.administration[2] must be a network such as 192.0.2.0/24, or an IP address"}},
		{"admin password", "[box]\nadmin_password = 'short'\n", []string{"line 2: box.admin_password must have at least 8 characters"}},
		{"both passwords", "[box]\nadmin_password = 'correct horse'\nadmin_password_hash='x'", []string{"line 2: box.admin_password and box.admin_password_hash must not both"}},
		{"bad hash", "[box]\nadmin_password_hash = '$2b$x'\n", []string{"line 2: box.admin_password_hash must be an argon2id hash"}},
		{"mode", "[network]\nmode = 'wifi'\n", []string{`line 2: network.mode must be "dhcp" or "static"`}},
		{"static without address", "[network]\nmode = 'static'\n", []string{"line 1: network.address is missing"}},
		{"static", "[network]\nmode = 'static'\naddress = '192.0.2.5'\ndns = ['192.0.2.1',\n'x']", []string{"line 3: network.address must be an IP address with", "line 5: network.dns[2] must be an IP"}},
		{"gateway outside", "[network]\nmode = 'static'\naddress = '192.0.2.5/24'\ngateway = '198.51.100.1'", []string{"line 4: network.gateway must be an address in the network 192.0.2.0/24"}},
		{"address with DHCP", "[network]\naddress = '192.0.2.5/24'\n", []string{`line 2: network.address is for mode = "static" alone`}},
		{"an interface", "[[network.interfaces]]\nname = 'eth0'\n[[network.interfaces]]\nname = 'office'\nvlan = 5\nparent = 'eth0'\nmtu = 5", []string{"line 7: network.interfaces[2].mtu must be between"}},
		{"smart host", "[mail]\nsmart_host = 'relay.example.net'\n", []string{"line 2: mail.smart_host must be a host and a port"}},
		{"smart host login", "[mail]\nsmart_host = 'relay.example.net:25'\nsmart_host_user = 'x'\n", []string{"line 3: mail.smart_host_user and smart_host_password"}},
		{"message size", "[mail]\nmax_message_size = '10KB'\n", []string{"line 2: mail.max_message_size must be between 1MiB and 1GiB"}},
		{"undelete", "[mail]\nundelete_days = 400\n", []string{"line 2: mail.undelete_days must be a number of days between 0 and 365"}},
		{"size", "[mail]\nmax_message_size = 'much'\n", []string{`line 2: mail.max_message_size must be a size such as "5GiB"`}},
		{"domain", "[[domain]]\nname = 'example'\n[[domain]]\n", []string{"line 2: domain[1].name must be a domain", "line 3: domain[2].name is missing"}},
		{"domain twice", domain + domain, []string{"line 4: domain[2].name is there twice"}},
		{"user", domain + "[[user]]\naddress = 'ann'\n", []string{"line 3: user[1] needs password or password_hash", "line 4: user[1].address must be an address such as ann@example.org"}},
		{"user's password", domain + "[[user]]\naddress = 'ann@example.org'\npassword='ann2024!'\nquota=-1", []string{"line 5: user[1].password must not be made of the name", "line 6: user[1].quota must not be negative"}},
		{"user elsewhere", domain + "[[user]]\naddress = 'ann@example.net'\npassword='river stone'\n", []string{"line 4: user[1].address is in example.net, which is not one of the [[domain]] entries"}},
		{"detail", domain + "[[user]]\naddress = 'ann+x@example.org'\npassword='river stone'\n", []string{`line 4: user[1].address must not contain "+"`}},
		{"address taken", domain + "[[user]]\naddress = 'ann@example.org'\npassword='river stone'\naliases=['Ann@example.org']\n", []string{"line 6: user[1].aliases[1] is taken already by user[1].address"}},
		{"group", domain + "[[group]]\naddress = 'all@example.org'\n", []string{"line 3: group[1].members must name at least one"}},
		{"group member", domain + "[[group]]\naddress = 'all@example.org'\nmembers = ['a b@example.org', 'ok@example.net', '']", []string{"line 5: group[1].members[1] must be an address", "line 5: group[1].members[3] is missing"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseProvision([]byte(tt.in))
			var pe *ProvisionError
			if !errors.As(err, &pe) {
				t.Fatalf("got %v, want a ProvisionError", err)
			}
			if len(pe.Problems) != len(tt.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(pe.Problems), len(tt.want), err)
			}
			for i, p := range pe.Problems {
				if !strings.Contains(p.String(), tt.want[i]) {
					t.Errorf("got %q, want %q in it", p, tt.want[i])
				}
			}
		})
	}
}

func TestLoadProvision(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pillarbox.toml")
	if _, err := LoadProvision(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("[box]\nhostname='x'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var pe *ProvisionError
	if _, err := LoadProvision(path); !errors.As(err, &pe) || !strings.HasPrefix(err.Error(), path+": line 2: box.hostname ") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("#", maxProvision+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadProvision(path); !errors.As(err, &pe) {
		t.Errorf("too large: %v", err)
	}
	if err := os.WriteFile(path, []byte("[box]\nadmin_password_hash='"+password.New("x").String()+"'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadProvision(path); err != nil {
		t.Error(err)
	}
}

func FuzzParseProvision(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("a.b.c = [{x = 1}, {y = [[2]]}]\n[[user]]\n[user.x]\n[[user.y]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProvision(data)
		var pe *ProvisionError
		if err != nil && (!errors.As(err, &pe) || len(pe.Problems) == 0 || p != nil) {
			t.Fatalf("got %v, %v", p, err)
		}
	})
}
