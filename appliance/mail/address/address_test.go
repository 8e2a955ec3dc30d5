package address

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Address
		str  string // String of want where it differs from in
	}{
		{"ann@example.org", Address{"ann", "example.org"}, ""},
		{"Ann.B+x@EXAMPLE.org", Address{"Ann.B+x", "example.org"}, "Ann.B+x@example.org"},
		{`"a@b"@example.org`, Address{"a@b", "example.org"}, ""},
		{`"ann"@example.org`, Address{"ann", "example.org"}, "ann@example.org"},
		{`"a\"b\\c"@example.org`, Address{`a"b\c`, "example.org"}, ""},
		{`"a b"@example.org`, Address{"a b", "example.org"}, ""},
		{`"a..b"@example.org`, Address{"a..b", "example.org"}, ""},
		{`"\a"@example.org`, Address{"a", "example.org"}, "a@example.org"},
		{"ann@bücher.example", Address{"ann", "xn--bcher-kva.example"}, "ann@xn--bcher-kva.example"},
		{"ann@BÜCHER.example", Address{"ann", "xn--bcher-kva.example"}, "ann@xn--bcher-kva.example"},
		{"ann@xn--bcher-kva.example", Address{"ann", "xn--bcher-kva.example"}, ""},
		{"änn@example.org", Address{"änn", "example.org"}, ""},
		{"用户@例子.example", Address{"用户", "xn--fsqu00a.example"}, "用户@xn--fsqu00a.example"},
		{"a@[192.0.2.1]", Address{"a", "[192.0.2.1]"}, ""},
		{"a@[ipv6:2001:DB8::1]", Address{"a", "[IPv6:2001:db8::1]"}, "a@[IPv6:2001:db8::1]"},
		{"!#$%&'*+-/=?^_`{|}~@example.org", Address{"!#$%&'*+-/=?^_`{|}~", "example.org"}, ""},
		{"a@localhost", Address{"a", "localhost"}, ""},
		{strings.Repeat("l", 100) + "@example.org", Address{strings.Repeat("l", 100), "example.org"}, ""},
	} {
		got, err := Parse(c.in)
		if err != nil || got != c.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", c.in, got, err, c.want)
			continue
		}
		want := c.str
		if want == "" {
			want = c.in
		}
		if s := got.String(); s != want {
			t.Errorf("%q: String() = %q, want %q", c.in, s, want)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%q does not survive String: %+v, %v", c.in, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", "@", "ann", "ann@", "@example.org", "ann@@example.org", "ann@b@example.org",
		".ann@example.org", "ann.@example.org", "a..n@example.org", "a b@example.org", "ann @example.org",
		"ann@example.org ", " ann@example.org", "<ann@example.org>", "ann@example.org>",
		`"ann@example.org`, `""@example.org`, `"a"b@example.org`, "\"a\nb\"@example.org", "\"a\x00b\"@example.org", `"a\ä"@example.org`,
		"ann@exa mple.org", "ann@.example.org", "ann@example..org", "ann@example.org.", "ann@-a.org", "ann@a-.org",
		"ann@exam\x01ple.org", "ann@exa_mple.org", "ann@example.org\r\n", "a\r\nb@example.org", "a\u0085b@example.org",
		"ann@xn--.example", "ann@xn--a-ecp.example\x7f", "ann@[192.0.2.256]", "ann@[2001:db8::1]", "ann@[IPv6:192.0.2.1]", "ann@[192.0.2.1", "ann@[IPv6:fe80::1%eth0]",
		"ann\xff@example.org", "ann@example\xff.org",
		strings.Repeat("l", 256) + "@example.org", "a@" + strings.Repeat("d", 64) + ".org", "a@" + strings.Repeat("ab.", 90) + "org",
		"a\u2028b@example.org",
	} {
		if a, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", in, a)
		}
	}
}

func TestKey(t *testing.T) {
	for _, c := range [][2]string{
		{"Ann@Example.ORG", "ann@example.org"},
		{"ÄNN@bücher.example", "änn@xn--bcher-kva.example"},
		{"a\u0308nn@example.org", "änn@example.org"}, // decomposed
		{`"A b"@example.org`, `"a b"@example.org`},
	} {
		a, err := Parse(c[0])
		if err != nil {
			t.Fatal(err)
		}
		if k := a.Key(); k != c[1] {
			t.Errorf("Key(%q) = %q, want %q", c[0], k, c[1])
		}
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		in      string
		forward bool
		want    Address
		rest    string
		ok      bool
	}{
		{"<>", false, Address{}, "", true},
		{"<> SIZE=3", false, Address{}, " SIZE=3", true},
		{"<>", true, Address{}, "", false},
		{"<ann@example.org>", false, Address{"ann", "example.org"}, "", true},
		{"<ann@example.org> BODY=8BITMIME", false, Address{"ann", "example.org"}, " BODY=8BITMIME", true},
		{"<@a.example,@b.example:ann@example.org>", true, Address{"ann", "example.org"}, "", true},
		{"<@a.example:ann@example.org>", true, Address{"ann", "example.org"}, "", true},
		{"<@a.example,ann@example.org>", true, Address{}, "", false},
		{"<@:ann@example.org>", true, Address{}, "", false},
		{"<Postmaster>", true, Address{Local: "Postmaster"}, "", true},
		{"<postmaster>", false, Address{}, "", false},
		{"<postmaster>x", true, Address{}, "", false},
		{"ann@example.org", true, Address{}, "", false},
		{"<ann@example.org", true, Address{}, "", false},
		{"<ann@example.org>SIZE=3", true, Address{}, "", false},
		{"< ann@example.org>", true, Address{}, "", false},
		{"<ann@example.org>>", true, Address{}, "", false},
		{`<"a>b"@example.org>`, true, Address{"a>b", "example.org"}, "", true},
	} {
		parse := ParseReversePath
		if c.forward {
			parse = ParseForwardPath
		}
		a, rest, err := parse(c.in)
		if (err == nil) != c.ok || c.ok && (a != c.want || rest != c.rest) {
			t.Errorf("%q: %+v, %q, %v; want %+v, %q, ok %v", c.in, a, rest, err, c.want, c.rest, c.ok)
		}
	}
}

func TestSplitDetail(t *testing.T) {
	for _, c := range [][3]string{
		{"ann+lists@example.org", "ann@example.org", "lists"},
		{"ann+a+b@example.org", "ann@example.org", "a+b"},
		{"ann@example.org", "ann@example.org", ""},
		{"+x@example.org", "+x@example.org", ""},
		{"ann+@example.org", "ann@example.org", ""},
	} {
		a, err := Parse(c[0])
		if err != nil {
			t.Fatal(err)
		}
		base, detail := a.SplitDetail('+')
		if base.String() != c[1] || detail != c[2] {
			t.Errorf("%s: %s, %q", c[0], base, detail)
		}
	}
}

func TestDomains(t *testing.T) {
	if _, err := ParseDomain("[192.0.2.1]"); err == nil {
		t.Error("an address literal is no domain")
	}
	if !(Address{Local: "PostMaster"}).IsBarePostmaster() || !(Address{}).IsNull() || !(Address{"ä", "b"}).NeedsUTF8() {
		t.Error("the predicates are wrong")
	}
}

// FuzzParse holds the parser to its promises: what it accepts survives
// writing and reading, has no control characters and one key.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"ann@example.org", `"a@b\""@example.org`, "用户@例子.example", "a@[IPv6:::1]", "<@a,@b:c@d>", "a@xn--bcher-kva.example", "postmaster"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, path := range []func(string) (Address, string, error){ParseForwardPath, ParseReversePath} {
			if a, rest, err := path(s); err == nil && !strings.HasSuffix(s, rest) {
				t.Errorf("%q: %+v leaves %q", s, a, rest)
			}
		}
		a, err := Parse(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(a.String(), "\r\n\x00") {
			t.Fatalf("%q: control characters in %q", s, a.String())
		}
		again, err := Parse(a.String())
		if err != nil || again != a {
			t.Fatalf("%q: %q reads as %+v, %v", s, a.String(), again, err)
		}
		k, err := Parse(a.Key())
		if err != nil || k.Key() != a.Key() {
			t.Fatalf("%q: key %q has the key %q, %v", s, a.Key(), k.Key(), err)
		}
	})
}
