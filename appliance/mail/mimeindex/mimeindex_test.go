package mimeindex

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func parse(t testing.TB, s string) *Index {
	t.Helper()
	x, err := Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	check(t, x, s)
	return x
}

// check holds an index to the invariants of the package comment.
func check(t testing.TB, x *Index, s string) {
	t.Helper()
	if x.Size != int64(len(s)) || x.Lines != int64(strings.Count(s, "\n")) {
		t.Errorf("size %d, lines %d of a message of %d and %d", x.Size, x.Lines, len(s), strings.Count(s, "\n"))
	}
	for depth, p := range x.Root.All() {
		if p.HeaderOffset < 0 || p.BodyOffset < p.HeaderOffset || p.BodySize < 0 || p.end() > x.Size {
			t.Errorf("depth %d: header at %d, body at %d of %d bytes, in a message of %d", depth, p.HeaderOffset, p.BodyOffset, p.BodySize, x.Size)
			continue
		}
		if n := strings.Count(s[p.BodyOffset:p.end()], "\n"); int64(n) != p.Lines {
			t.Errorf("depth %d %s/%s: %d lines, want %d", depth, p.Type, p.Subtype, p.Lines, n)
		}
		if p.Type == "" || p.Subtype == "" || p.Encoding == "" {
			t.Errorf("depth %d: type %q/%q, encoding %q", depth, p.Type, p.Subtype, p.Encoding)
		}
		at := p.BodyOffset
		for _, c := range p.Children {
			if c.HeaderOffset < at || c.end() > p.end() {
				t.Errorf("depth %d: a child of %d to %d within %d to %d", depth, c.HeaderOffset, c.end(), at, p.end())
			}
			at = c.end()
		}
		if p.Embedded != nil && (p.Embedded.HeaderOffset < p.BodyOffset || p.Embedded.end() > p.end()) {
			t.Errorf("depth %d: the message in it goes from %d to %d, the body from %d to %d", depth, p.Embedded.HeaderOffset, p.Embedded.end(), p.BodyOffset, p.end())
		}
		if (len(p.Children) > 0) != p.Is("multipart", "") {
			t.Errorf("depth %d: %s/%s with %d children", depth, p.Type, p.Subtype, len(p.Children))
		}
		if (p.Embedded != nil) != (p.Is("message", "rfc822") || p.Is("message", "global")) {
			t.Errorf("depth %d: %s/%s, a message in it: %v", depth, p.Type, p.Subtype, p.Embedded != nil)
		}
	}
	raw, err := x.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	y, err := Unmarshal(raw)
	if err != nil {
		t.Fatalf("the stored form cannot be read: %v", err)
	}
	want := *x
	want.Header, want.HeaderTruncated, want.References, want.Preview = nil, false, nil, ""
	if !reflect.DeepEqual(y, &want) {
		t.Errorf("stored and read:\n%+v\nwant\n%+v", y, &want)
	}
}

// shape writes the tree in a line.
func shape(p *Part) string {
	s := strings.ToLower(p.Type + "/" + p.Subtype)
	if len(p.Children) > 0 {
		var list []string
		for i := range p.Children {
			list = append(list, shape(&p.Children[i]))
		}
		s += "(" + strings.Join(list, " ") + ")"
	}
	if p.Embedded != nil {
		s += "{" + shape(p.Embedded) + "}"
	}
	return s
}

func body(s string, p *Part) string { return s[p.BodyOffset:p.end()] }

const alternative = "From: a@example.org\r\nSubject: two\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"b 1\"\r\n\r\npreamble\r\n--b 1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nplain\r\ntext\r\n--b 1  \r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n--b 1--\r\nepilogue\r\n"

func TestTrees(t *testing.T) {
	for _, tt := range []struct{ name, message, shape string }{
		{"empty", "", "text/plain"},
		{"no header", "just text\r\nmore\r\n", "text/plain"},
		{"no body", "Subject: x\r\n", "text/plain"},
		{"header without end", "Subject: x", "text/plain"},
		{"alternative", alternative, "multipart/alternative(text/plain text/html)"},
		{"empty multipart", "Content-Type: multipart/mixed; boundary=x\n\nnothing\n", "text/plain"},
		{"multipart with no parts", "Content-Type: multipart/mixed; boundary=x\n\n--x--\n", "text/plain"},
		{"multipart without boundary", "Content-Type: multipart/mixed\n\n--x\n\na\n--x--\n", "text/plain"},
		{"boundary never closed", "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--x\nContent-Type: image/png\n\nb", "multipart/mixed(text/plain image/png)"},
		{"nested, inner not closed", "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/related; boundary=i\n\n--i\n\na\n--o\n\nb\n--o--\n", "multipart/mixed(multipart/related(text/plain) text/plain)"},
		{"boundary that begins with another", "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=xy\n\n--xy\n\na\n--xy--\n--x--\n", "multipart/mixed(multipart/mixed(text/plain))"},
		{"message in message", "Content-Type: message/rfc822\n\nSubject: in\n\nbody\n", "message/rfc822{text/plain}"},
		{"digest", "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: one\n\na\n--x\n\nSubject: two\n\nb\n--x--\n", "multipart/digest(message/rfc822{text/plain} message/rfc822{text/plain})"},
		{"part of empty header and body", "Content-Type: multipart/mixed; boundary=x\n\n--x\n--x--\n", "multipart/mixed(text/plain)"},
		{"bad content type", "Content-Type: ;;;\n\nx", "text/plain"},
		{"content type without subtype", "Content-Type: text\n\nx", "text/plain"},
		{"bare text type", "Content-Type: image\n\nx", "application/octet-stream"},
		{"NUL and lone CR", "Subject: a\x00b\rc\n\n\x00\r\n\r", "text/plain"},
	} {
		x := parse(t, tt.message)
		if got := shape(&x.Root); got != tt.shape {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.shape)
		}
	}
}

func TestBodies(t *testing.T) {
	x := parse(t, alternative)
	if got := body(alternative, &x.Root.Children[0]); got != "plain\r\ntext" {
		t.Errorf("first part %q", got)
	}
	if got := body(alternative, &x.Root.Children[1]); got != "<p>html</p>" {
		t.Errorf("second part %q", got)
	}
	if x.Preview != "plain text" {
		t.Errorf("preview %q", x.Preview)
	}
	s := "From ann Sat Jan  3\nSubject: x\nnot a field\nTo: b@example.org\n\nbody\n"
	x = parse(t, s)
	if x.Envelope().Subject != "x" || len(x.Envelope().To) != 1 || body(s, &x.Root) != "body\n" {
		t.Errorf("with strays: %+v, body %q", x.Envelope(), body(s, &x.Root))
	}
	s = "no field here\r\nnor here\r\n"
	x = parse(t, s)
	if body(s, &x.Root) != s || x.Preview != "no field here nor here" {
		t.Errorf("without header: %q, preview %q", body(s, &x.Root), x.Preview)
	}
}

func TestDeepNesting(t *testing.T) {
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	b.WriteString("\nat the bottom\n")
	x := parse(t, b.String())
	depth := 0
	for d := range x.Root.All() {
		depth = max(depth, d)
	}
	if depth < 50 || depth > maxDepth+1 {
		t.Errorf("depth %d", depth)
	}
}

func TestManyRecipients(t *testing.T) {
	var b strings.Builder
	b.WriteString("To: ")
	for i := range 100_000 {
		fmt.Fprintf(&b, "Person %d <person%d@example.org>,\r\n ", i, i)
	}
	b.WriteString("last@example.org\r\n\r\nx\r\n")
	x := parse(t, b.String())
	if n := len(x.Envelope().To); n != 100_001 {
		t.Errorf("%d recipients", n)
	}
	if !x.HeaderTruncated || len(x.Header) != maxHeader {
		t.Errorf("a header of %d octets is kept, truncated: %v", len(x.Header), x.HeaderTruncated)
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []Address
	}{
		{"ann@example.org", []Address{{Mailbox: "ann", Host: "example.org"}}},
		{"Ann B <ann@example.org>", []Address{{Name: "Ann B", Mailbox: "ann", Host: "example.org"}}},
		{`"B, Ann" <ann@example.org>, bob@example.com (Bob)`, []Address{{Name: "B, Ann", Mailbox: "ann", Host: "example.org"}, {Name: "Bob", Mailbox: "bob", Host: "example.com"}}},
		{"undisclosed-recipients:;", []Address{{Kind: GroupStart, Mailbox: "undisclosed-recipients"}, {Kind: GroupEnd}}},
		{"team: a@x.org, B <b@x.org>; c@x.org", []Address{{Kind: GroupStart, Mailbox: "team"}, {Mailbox: "a", Host: "x.org"}, {Name: "B", Mailbox: "b", Host: "x.org"}, {Kind: GroupEnd}, {Mailbox: "c", Host: "x.org"}}},
		{"open group: a@x.org", []Address{{Kind: GroupStart, Mailbox: "open group"}, {Mailbox: "a", Host: "x.org"}, {Kind: GroupEnd}}},
		{"<@a.org,@b.org:ann@c.org>", []Address{{Route: "@a.org,@b.org", Mailbox: "ann", Host: "c.org"}}},
		{`"ann b"@example.org`, []Address{{Mailbox: "ann b", Host: "example.org"}}},
		{`X <"a b"@example.org>`, []Address{{Name: "X", Mailbox: "a b", Host: "example.org"}}},
		{"Ann@Home <ann@example.org>", []Address{{Name: "Ann@Home", Mailbox: "ann", Host: "example.org"}}},
		{"just words", []Address{{Mailbox: "just words"}}},
		{"Broken <ann@example.org", []Address{{Name: "Broken", Mailbox: "ann", Host: "example.org"}}},
		{"Broken <ann@example.org, Bob <bob@x.org>", []Address{{Name: "Broken", Mailbox: "ann", Host: "example.org"}, {Name: "Bob", Mailbox: "bob", Host: "x.org"}}},
		{"A <a@x.org, B <b@x.org, c@x.org, D <d@x.org>", []Address{{Name: "A", Mailbox: "a", Host: "x.org"}, {Name: "B", Mailbox: "b", Host: "x.org"}, {Mailbox: "c", Host: "x.org"}, {Name: "D", Mailbox: "d", Host: "x.org"}}},
		{`Odd <"a@x.org>, b@x.org, C <c@x.org>`, []Address{{Name: "Odd", Mailbox: `"a`, Host: "x.org"}, {Mailbox: "b", Host: "x.org"}, {Name: "C", Mailbox: "c", Host: "x.org"}}},
		{", ,a@x.org,", []Address{{Mailbox: "a", Host: "x.org"}}},
		{"=?utf-8?q?J=C3=BCrgen?= <j@x.org>", []Address{{Name: "=?utf-8?q?J=C3=BCrgen?=", Mailbox: "j", Host: "x.org"}}},
		{"<>", nil},
		{"", nil},
	} {
		if got := ParseAddresses([]byte(tt.in)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q:\n%+v\nwant\n%+v", tt.in, got, tt.want)
		}
	}
}

func TestParams(t *testing.T) {
	for _, tt := range []struct{ in, name, raw, text string }{
		{`text/plain; charset="utf-8"`, "charset", "utf-8", "utf-8"},
		{`a/b; name=a b.txt; x=y`, "name", "a b.txt", "a b.txt"},
		{`a/b; name="not closed`, "name", "not closed", "not closed"},
		{`a/b; name="C:\dir\\f \"q\".txt"`, "name", `C:\dir\f "q".txt`, `C:\dir\f "q".txt`},
		{`a/b; filename*=utf-8'de'%C3%A4.txt`, "filename", "", "ä.txt"},
		{`a/b; filename*0="long "; filename*1="name.txt"`, "filename", "long name.txt", "long name.txt"},
		{`a/b; filename*0*=iso-8859-1''%E4; filename*1="100%.txt"`, "filename", "iso-8859-1''%E4100%25.txt", "ä100%.txt"},
		{`a/b; name="=?utf-8?B?w6Q=?="`, "name", "=?utf-8?B?w6Q=?=", "ä"},
		{`a/b (comment; name=no); name=yes`, "name", "yes", "yes"},
		{`a/b;;; ; name = x`, "name", "x", "x"},
		{`a/b; flag; name=x`, "name", "x", "x"},
	} {
		_, p := valueAndParams(tt.in)
		if got := p.Get(tt.name); got != tt.raw {
			t.Errorf("%s: raw %q, want %q", tt.in, got, tt.raw)
		}
		if got := p.Text(tt.name); got != tt.text {
			t.Errorf("%s: text %q, want %q", tt.in, got, tt.text)
		}
	}
}

func TestParseDate(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"Tue, 3 Mar 2026 10:20:30 +0100", "2026-03-03T10:20:30+01:00"},
		{"3 Mar 26 10:20 GMT", "2026-03-03T10:20:00Z"},
		{"Fri, 21 Nov 97 09:55:06 -0600 (CST)", "1997-11-21T09:55:06-06:00"},
		{"Tue Mar  3 10:20:30 2026", "2026-03-03T10:20:30Z"},
		{"Tue, 03-Mar-2026 10:20:30 EST", "2026-03-03T10:20:30-05:00"},
		{"2026/03/03 Tue 10:20:30 CDT", "2026-03-03T10:20:30-05:00"},
		{"2026-03-03 10:20:30 +0100", "2026-03-03T10:20:30+01:00"},
		{"2026-03-03T10:20:30+01:00", "2026-03-03T10:20:30+01:00"},
		{"2026-13-03 10:20:30 +0100", ""},
		{"03/03/2026 10:20:30", ""}, // or is it the other one
		{"Tue, 3 Mar 2026 23:59:60 +0000", "2026-03-03T23:59:59Z"},
		{"Mon, 30 Feb 2026 10:00:00 +0000", ""},
		{"Mon, 3 Mar 2026 25:00:00 +0000", ""},
		{"yesterday", ""},
		{"", ""},
		{"1 2 3 4 5 6", ""},
	} {
		got, ok := ParseDate(tt.in)
		if s := got.Format(time.RFC3339); ok != (tt.want != "") || ok && s != tt.want {
			t.Errorf("%q: %s %v, want %s", tt.in, s, ok, tt.want)
		}
	}
}

func TestBaseSubject(t *testing.T) {
	for in, want := range map[string]string{
		"Re: hello":                       "hello",
		"RE: re:  Fwd: [list] hello":      "hello",
		"[list] Re: hello (fwd) (FWD)":    "hello",
		"[fwd: [fwd: hello]]":             "hello",
		"Re[2]: hello":                    "hello",
		"[only]":                          "[only]",
		"[a][b] [c]":                      "[c]",
		"[a][b] hello [c]":                "hello [c]",
		"Fwd: [a] [b] re[1] : [c] fw:x":   "x",
		"[fwd: [a] Re: x]":                "x",
		"[open Re: x":                     "[open Re: x",
		"report: x":                       "report: x",
		"=?utf-8?q?Re:_gr=C3=BC=C3=9Fe?=": "grüße",
		"hello\t  world":                  "hello world",
		"":                                "",
		"Re:":                             "",
	} {
		if got := BaseSubject(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFacts(t *testing.T) {
	x := parse(t, "Message-ID: <1@x>\r\nReferences: <0@x> cut <a b@x>\r\nSubject: Re: y\r\nDate: Tue, 3 Mar 2026 10:20:30 +0100\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<head><style>x{}</style></head><body>gr=FC=DFe</body>\r\n")
	f, err := x.Facts()
	if err != nil {
		t.Fatal(err)
	}
	if f.MessageID != "1@x" || strings.Join(f.References, " ") != "0@x ab@x" || f.Subject != "y" || f.Sent.Unix() != 1772529630 || f.Preview != "grüße" {
		t.Errorf("%+v", f)
	}
	x = parse(t, "In-Reply-To: Ann's message of <9@x> and <8@x>\n\nx")
	if strings.Join(x.References, " ") != "9@x" {
		t.Errorf("references %v", x.References)
	}
}

func TestReadErrorsAreErrors(t *testing.T) {
	if _, err := Parse(io.MultiReader(strings.NewReader("Subject: x\n"), iotest.ErrReader(io.ErrUnexpectedEOF))); err == nil {
		t.Error("a message that could not be read was taken")
	}
	p := NewParser()
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("x")); err == nil {
		t.Error("written to after Finish")
	}
}

func TestUnmarshalOfDamage(t *testing.T) {
	raw, err := parse(t, alternative).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		if _, err := Unmarshal(raw[:i]); err == nil {
			t.Errorf("a form cut to %d of %d octets was taken", i, len(raw))
		}
	}
	if _, err := Unmarshal(append([]byte{2}, raw[1:]...)); err == nil {
		t.Error("a newer version was taken")
	}
}

// chunked parses a message in random pieces.
func chunked(t testing.TB, s string, seed uint64) *Index {
	r := rand.New(rand.NewPCG(seed, 1))
	p := NewParser()
	for s != "" {
		n := min(len(s), 1+r.IntN(1+r.IntN(40)))
		if _, err := p.Write([]byte(s[:n])); err != nil {
			t.Fatal(err)
		}
		s = s[n:]
	}
	x, err := p.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func FuzzParse(f *testing.F) {
	f.Add(alternative, uint64(1))
	f.Add("Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: one\n\na\n--x--\nb", uint64(2))
	f.Add("Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\n\n", uint64(3))
	f.Add("stray\nSubject: x\nstray\n--\n", uint64(4))
	f.Add("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nstray\r\n\r\n--x\r\nno end", uint64(5))
	f.Fuzz(func(t *testing.T, s string, seed uint64) {
		x := parse(t, s)
		if y := chunked(t, s, seed); !reflect.DeepEqual(x, y) {
			t.Errorf("in pieces:\n%+v\nwhole:\n%+v", y, x)
		}
		if _, err := x.Facts(); err != nil {
			t.Error(err)
		}
		if err := x.Text(strings.NewReader(s), func(*Part, string) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{
		alternative,
		"Content-Type: message/rfc822\n\nTo: g: a@b (c), <@x:y@z>;\n\nx",
		"Content-Type: a/b; c=d\nContent-Disposition: e; f=g\nContent-ID: <h>\nContent-Description: i\nContent-Transfer-Encoding: j\nContent-MD5: k\nContent-Language: l, m\nContent-Location: n\n\no",
	} {
		raw, err := parse(f, s).MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := Unmarshal(b)
		if err != nil {
			return
		}
		for _, p := range x.Root.All() {
			if p.HeaderOffset < 0 || p.BodyOffset < p.HeaderOffset || p.BodySize < 0 || p.end() > x.Size {
				t.Errorf("header at %d, body at %d of %d bytes, in a message of %d", p.HeaderOffset, p.BodyOffset, p.BodySize, x.Size)
			}
		}
		again, err := x.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		y, err := Unmarshal(again)
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if third, err := y.MarshalBinary(); err != nil || !bytes.Equal(third, again) {
			t.Errorf("written twice again: %v\n%x\nwant\n%x", err, third, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	s := []byte(strings.Replace(alternative, "text\r\n", strings.Repeat("a line of some text in a mail\r\n", 3000), 1))
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(bytes.NewReader(s)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	raw, err := parse(b, alternative).MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Unmarshal(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkText(b *testing.B) {
	s := strings.Replace(alternative, "<p>html</p>\r\n", strings.Repeat("<p>some <b>words</b> in a paragraph\r\n", 3000), 1)
	x := parse(b, s)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		if err := x.Text(strings.NewReader(s), func(*Part, string) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
