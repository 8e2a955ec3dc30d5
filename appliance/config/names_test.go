package config

import (
	"encoding/json"
	"testing"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		what  string
		check func(string) (string, error)
		in    string
		want  string // "" refused
	}{
		{"hostname", Hostname, "mail.example.org", "mail.example.org"},
		{"hostname", Hostname, " MAIL.example.org. ", "mail.example.org"},
		{"hostname", Hostname, "mail_1.example.org", ""},
		{"hostname", Hostname, "-mail.example.org", ""},
		{"hostname", Hostname, "mail..org", ""},
		{"hostname", Hostname, "", ""},
		{"domain", DomainName, "例え.jp", "xn--r8jz45g.jp"},
		{"domain", DomainName, "xn--a.example", ""},
		{"domain", DomainName, "[192.0.2.1]", ""},
		{"address", Address, "Ann.Lee@Example.Org", "ann.lee@example.org"},
		{"address", Address, "o'neil/x@example.org", "o'neil/x@example.org"},
		{"address", Address, "JOSE\u0301@example.org", "jos\u00e9@example.org"},
		{"address", Address, `"a b"@example.org`, ""},
		{"address", Address, ".a@example.org", ""},
		{"address", Address, "a@b@example.org", ""},
		{"address", Address, "a\u00a0b@example.org", ""},
		{"address", Address, "a@", ""},
		{"address", Address, "@example.org", ""},
		{"address", Address, "a\xff@example.org", ""},
		{"member", Member, "Ann+x@Example.net", "Ann+x@example.net"},
		{"zone", Timezone, "UTC", "UTC"},
		{"zone", Timezone, "", ""},
		{"zone", Timezone, "Local", ""},
		{"zone", Timezone, "../etc/passwd", ""},
		{"host and port", HostPort, "[2001:DB8::1]:25", "[2001:db8::1]:25"},
		{"host and port", HostPort, "relay:0587", "relay:587"},
		{"host and port", HostPort, "relay:0", ""},
		{"host and port", HostPort, "relay:65536", ""},
		{"host and port", HostPort, "1.2.3:25", ""},
		{"host and port", HostPort, ":25", ""},
		{"IP", IP, "::ffff:192.0.2.1", "192.0.2.1"},
		{"IP", IP, "fe80::1%eth0", ""},
		{"IP", IP, "0.0.0.0", ""},
		{"interface address", InterfaceAddress, "2001:db8::5/64", "2001:db8::5/64"},
		{"interface address", InterfaceAddress, "192.0.2.5/33", ""},
		{"time server", TimeServer, "2001:db8::123", "2001:db8::123"},
		{"time server", TimeServer, "NTP.example.org:1123", "ntp.example.org:1123"},
		{"time server", TimeServer, "[2001:db8::123]:1123", "[2001:db8::123]:1123"},
		{"time server", TimeServer, "a b", ""},
		{"time server", TimeServer, "nts://NTP.example.org", "nts://ntp.example.org"},
		{"time server", TimeServer, "nts://ntp.example.org:4461", "nts://ntp.example.org:4461"},
		{"time server", TimeServer, "nts://", ""},
		{"time server", TimeServer, "nts://nts://ntp.example.org", ""},
		{"time server", TimeServer, "nts://ntp.example.org/path", ""},
		{"network", Subnet, " 192.0.2.7/24 ", "192.0.2.0/24"},
		{"network", Subnet, "192.0.2.7", "192.0.2.7/32"},
		{"network", Subnet, "2001:DB8::1/48", "2001:db8::/48"},
		{"network", Subnet, "0.0.0.0/0", "0.0.0.0/0"},
		{"network", Subnet, "192.0.2.0/33", ""},
		{"network", Subnet, "::ffff:192.0.2.0/120", ""},
		{"network", Subnet, "office", ""},
		{"time server", TimeServer, "ntp.example.org:0", ""},
		{"time server", TimeServer, "[ntp.example.org:1]:2", ""},
		{"name", PersonName, " Ann Lee ", "Ann Lee"},
		{"name", PersonName, "Ann\r\nBcc: x", ""},
	} {
		got, err := tt.check(tt.in)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s %q: got %q, %v, want %q", tt.what, tt.in, got, err, tt.want)
		}
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"xn--bcher-kva.example":      "bücher.example",
		"büro@xn--bcher-kva.example": "büro@bücher.example",
		"xn--bcher-kva@example.org":  "xn--bcher-kva@example.org", // a local part is not a name
		"example.org":                "example.org",
		"xn--a.example":              "xn--a.example",
		"":                           "",
	} {
		if got := Shown(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for in, want := range map[string]Size{
		"0": 0, "1048576": 1 << 20, "5GiB": 5 << 30, "5 gib": 5 << 30, "500MB": 5e8, "1.5KiB": 1536, "7B": 7, "2TiB": 2 << 40,
	} {
		got, err := ParseSize(in)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
		if back, err := ParseSize(got.String()); err != nil || back != got {
			t.Errorf("%q: written as %q, read as %d, %v", in, got, back, err)
		}
	}
	for _, in := range []string{"", "GiB", "-1", "1e3", "inf", "5 XB", "9000000TiB", "99999999999999999999", "1.2.3MB", "0x10"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q: got %d, want an error", in, got)
		}
	}
	var s Size
	if err := json.Unmarshal([]byte(`"2MiB"`), &s); err != nil || s != 2<<20 {
		t.Errorf("JSON: %d, %v", s, err)
	}
}
