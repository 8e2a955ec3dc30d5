package imapwire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// script is a source that gives its pieces one Read at a time.
type script struct {
	pieces []string
	asked  int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func decode(limit int, pieces ...string) (*Decoder, *script) {
	s := &script{pieces: pieces}
	return NewDecoder(s, limit, func() error { s.asked++; return nil }), s
}

func TestTokens(t *testing.T) {
	d, s := decode(1000, "a1 LOGIN {3}\r\n", "ann \"se\\\"cret\\\\\"\r\nb2 X (1 (a b) {2+}\r\nhi)\r\n")
	if err := d.Begin(); err != nil {
		t.Fatal(err)
	}
	tag := d.Tag()
	d.SP()
	name := d.Keyword()
	d.SP()
	user := d.AString()
	d.SP()
	pass := d.AString()
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tag, name, user, pass); got != `a1LOGINannse"cret\` {
		t.Errorf("got %q", got)
	}
	if s.asked != 1 {
		t.Errorf("asked for %d literals", s.asked)
	}
	if err := d.Skip(); err != nil {
		t.Fatal(err)
	}
	if err := d.Begin(); err != nil {
		t.Fatal(err)
	}
	var got []string
	got = append(got, d.Tag())
	d.SP()
	got = append(got, d.Atom())
	d.SP()
	d.List(false, func() {
		if d.Peek() == '(' {
			d.List(false, func() { got = append(got, d.Atom()) })
			return
		}
		got = append(got, d.AString())
	})
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	if g := strings.Join(got, ","); g != "b2,X,1,a,b,hi" {
		t.Errorf("got %s", g)
	}
	if s.asked != 1 {
		t.Error("asked for a literal that comes by itself")
	}
	if err := d.Begin(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// A literal is what it was announced as, whatever the next one is.
func TestLiteralsInARow(t *testing.T) {
	d, _ := decode(1000, "~{3+}\r\na\x00b {1+}\r\nc\r\n{3+}\r\na\x00b ~{1+}\r\nc\r\n")
	for _, want := range []string{"a\x00b,c,<nil>", ",,NUL in literal"} {
		if err := d.Begin(); err != nil {
			t.Fatal(err)
		}
		first := d.Str()
		d.SP()
		second := d.Str()
		err := d.End()
		var e *imap.Error
		if errors.As(err, &e) {
			err = errors.New(e.Text)
		}
		if got := fmt.Sprintf("%s,%s,%v", first, second, err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := d.Skip(); err != nil {
			t.Fatal(err)
		}
	}
}

// After a command that is refused at any place the next one is read whole.
func TestSkip(t *testing.T) {
	for _, tc := range []struct{ name, bad string }{
		{"plain", "a BAD\x01 stuff\r\n"},
		{"literal that comes", "a X {5+}\r\nab\r\nc more\r\n"},
		{"two literals", "a X {5+}\r\nab\r\nc {3+}\r\n\r\n\r z\r\n"},
		{"literal8", "a X ~{2+}\r\n\x00\x00\r\n"},
		{"literal to be asked for", "a X {5000000}\r\n"},
		{"huge literal that comes", "a X {5000+}\r\n" + strings.Repeat("x\r\n", 1666) + "xx\r\n"},
		{"long line", "a " + strings.Repeat("x", 5000) + "\r\n"},
		{"long line with literal", "a " + strings.Repeat("x", 5000) + " {4+}\r\n\r\n\r\n\r\n"},
		{"long line that ends in braces", "a " + strings.Repeat("x", 5000) + " {4}\r\n"},
		{"bare LF", "a x\n"},
	} {
		for _, one := range []bool{false, true} {
			text := tc.bad + "b NOOP\r\n"
			pieces := []string{text}
			if one {
				pieces = strings.SplitAfter(text, "")
			}
			d, _ := decode(1000, pieces...)
			if err := d.Begin(); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			d.Tag()
			d.SP()
			d.Fail("no")
			if err := d.Skip(); err != nil {
				t.Fatalf("%s: skip: %v", tc.name, err)
			}
			if err := d.Begin(); err != nil {
				t.Fatalf("%s: begin: %v", tc.name, err)
			}
			if got := d.Tag(); got != "b" {
				t.Errorf("%s (one byte at a time: %v): next command is %q", tc.name, one, got)
			}
		}
	}
}

func TestTooBig(t *testing.T) {
	d, s := decode(100, "a X {200}\r\nb X {50}\r\n", strings.Repeat("y", 50)+" {60}\r\nc "+strings.Repeat("x", 200)+"\r\n")
	for _, tag := range []string{"a", "b", "c"} {
		if err := d.Begin(); err != nil {
			t.Fatal(err)
		}
		if got := d.Tag(); tag != "c" && got != tag {
			t.Fatalf("tag %q, want %q", got, tag)
		}
		d.SP()
		d.Atom()
		d.SP()
		d.AString()
		if tag == "b" {
			d.SP()
			d.AString()
		}
		var e *imap.Error
		if !errors.As(d.End(), &e) || e.Code != imap.ResponseCodeTooBig {
			t.Errorf("%s: %v", tag, d.Err())
		}
		if err := d.Skip(); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked != 1 {
		t.Errorf("asked for %d literals", s.asked)
	}
}

func TestStream(t *testing.T) {
	d, s := decode(100, "a X {300}\r\n", strings.Repeat("y", 300), " {2+}\r\nzz\r\nb NOOP\r\n")
	if err := d.Begin(); err != nil {
		t.Fatal(err)
	}
	d.Tag()
	d.SP()
	d.Atom()
	d.SP()
	st := d.Stream()
	if st == nil || st.Size != 300 || s.asked != 0 {
		t.Fatalf("stream %+v, asked %d", st, s.asked)
	}
	if b, err := io.ReadAll(st); err != nil || len(b) != 300 || s.asked != 1 {
		t.Fatalf("%d bytes, %v, asked %d", len(b), err, s.asked)
	}
	d.Resume()
	d.SP()
	if got := d.Str(); got != "zz" {
		t.Errorf("after the stream: %q", got)
	}
	if err := d.End(); err != nil {
		t.Error(err)
	}
	// One that is refused: not asked for, so not skipped; or skipped where it comes anyway.
	for _, text := range []string{"a X {300}\r\nb NOOP\r\n", "a X {3+}\r\nyyy {2+}\r\nzz\r\nb NOOP\r\n"} {
		d, s := decode(100, text)
		d.Begin()
		d.Tag()
		d.SP()
		d.Atom()
		d.SP()
		d.Stream()
		d.Fail("no")
		if err := d.Skip(); err != nil || s.asked != 0 {
			t.Fatal(err, s.asked)
		}
		d.Begin()
		if got := d.Tag(); got != "b" {
			t.Errorf("%q: next command is %q", text, got)
		}
	}
}

func TestBadTokens(t *testing.T) {
	for _, tc := range []struct {
		text  string
		parse func(*Decoder)
	}{
		{`"abc`, func(d *Decoder) { d.Str() }},
		{`"a\bc"`, func(d *Decoder) { d.Str() }},
		{"\"a\rc\"", func(d *Decoder) { d.Str() }},
		{"\"a\x00c\"", func(d *Decoder) { d.Str() }},
		{"{3+}\r\na\x00b", func(d *Decoder) { d.Str() }},
		{"{99999999999999999999}", func(d *Decoder) { d.Str() }},
		{"{+}", func(d *Decoder) { d.Str() }},
		{"{-1}", func(d *Decoder) { d.Str() }},
		{"(", func(d *Decoder) { d.Atom() }},
		{"é", func(d *Decoder) { d.AString() }},
		{"1:", func(d *Decoder) { d.SeqSet() }},
		{"0", func(d *Decoder) { d.SeqSet() }},
		{"1,,2", func(d *Decoder) { d.SeqSet() }},
		{"4294967296", func(d *Decoder) { d.SeqSet() }},
		{"99999999999999999999", func(d *Decoder) { d.Number64() }},
		{"31-Feb-2020", func(d *Decoder) { d.Date() }},
		{"1-Foo-2020", func(d *Decoder) { d.Date() }},
		{`"01-Jan-2020 25:00:00 +0000"`, func(d *Decoder) { d.DateTime() }},
		{`"01-Jan-2020 12:00:00 0000"`, func(d *Decoder) { d.DateTime() }},
		{"()", func(d *Decoder) { d.List(false, func() { d.Atom() }) }},
		{"(a", func(d *Decoder) { d.List(false, func() { d.Atom() }) }},
		{"(a  )", func(d *Decoder) { d.List(false, func() { d.Atom() }) }},
		{"1:-2", func(d *Decoder) { d.Partial() }},
	} {
		d, _ := decode(1000, tc.text+"\r\n")
		if err := d.Begin(); err != nil {
			t.Fatal(err)
		}
		tc.parse(d)
		var e *imap.Error
		if err := d.End(); !errors.As(err, &e) || e.Type != imap.StatusResponseTypeBad {
			t.Errorf("%q: %v", tc.text, err)
		}
	}
}

func TestSets(t *testing.T) {
	for text, want := range map[string]string{
		"1":         "[{1 1}]",
		"*":         "[{0 0}]",
		"1:*":       "[{1 0}]",
		"*:1":       "[{1 0}]",
		"5:2,9,1:3": "[{2 5} {9 9} {1 3}]",
	} {
		d, _ := decode(1000, text+"\r\n")
		d.Begin()
		if got := fmt.Sprint([]imap.SeqRange(d.SeqSet())); d.End() != nil || got != want {
			t.Errorf("%s: %s %v", text, got, d.Err())
		}
	}
	d, _ := decode(1000, "$\r\n")
	d.Begin()
	if set, ok := d.NumSet(false).(imap.UIDSet); !ok || !imap.IsSearchRes(set) {
		t.Error("$ is not the search result")
	}
}

func TestMailboxNames(t *testing.T) {
	for _, tc := range []struct {
		wire, name string
		ok         bool
	}{
		{"inbox", "INBOX", true},
		{"Inbox/a", "INBOX/a", true},
		{"inboxes", "inboxes", true},
		{"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語", true},
		{"a&-b", "a&b", true},
		{"&2D3eAA-", "😀", true},
		{"a&b", "", false},
		{"&AGE-", "", false},  // a letter that needs no shift
		{"&2D0-", "", false},  // half a character
		{"&AOQA-", "", false}, // odd bytes
		{"&AOQ-&APY-", "", false},
		{"&AAo-", "", false}, // a control character
		{"a&AOQ-b&APY-", "aäbö", true},
	} {
		got, ok := DecodeMailbox(tc.wire, false)
		if got != tc.name && tc.ok || ok != tc.ok {
			t.Errorf("%s: %q %v", tc.wire, got, ok)
		}
		if tc.ok && strings.Contains(tc.wire, "&") {
			if back := string(AppendUTF7(nil, got)); back != tc.wire {
				t.Errorf("%s: back as %s", tc.wire, back)
			}
		}
	}
	if _, ok := DecodeMailbox("\xff", true); ok {
		t.Error("bytes that are no text became a name")
	}
	if s, ok := DecodeMailbox("a&b", true); s != "a&b" || !ok {
		t.Error("& has no meaning with UTF8=ACCEPT")
	}
}

func TestDates(t *testing.T) {
	for _, s := range []string{" 1-Feb-1994 21:52:25 -0830", "17-Jul-1996 02:44:25 +0000"} {
		tm, ok := ParseDateTime(s)
		if !ok {
			t.Fatalf("%q", s)
		}
		if got := string(AppendDateTime(nil, tm)); got != `"`+s+`"` {
			t.Errorf("%s became %s", s, got)
		}
	}
	if got := string(AppendDateTime(nil, time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC))); len(got) != 28 {
		t.Errorf("impossible year: %s", got)
	}
}

func TestEncoder(t *testing.T) {
	var b bytes.Buffer
	e := NewEncoder(&b)
	e.String("a").SP().String(`q"\`).SP().String("x\r\ny").SP().String("é").SP().NString("").SP().AString("a]b").SP().AString("nil").SP().Mailbox("é&")
	e.SP().Set(7, func(i int) uint32 { return []uint32{1, 2, 3, 5, 7, 8, 4294967295}[i] })
	e.End()
	e.UTF8 = true
	e.String("é").SP().Mailbox("é").SP().String("\xff").SP().String("a\x00b")
	e.End()
	if b.Len() > 0 {
		t.Error("written before the flush")
	}
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "\"a\" \"q\\\"\\\\\" {4}\r\nx\r\ny {2}\r\n\xc3\xa9 NIL a]b \"nil\" &AOk-&- 1:3,5,7:8,4294967295\r\n" +
		"\"é\" \"é\" {1}\r\n\xff {3}\r\na\x80b\r\n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
}

// A literal is as long as announced, whatever its reader does.
func TestReadChunks(t *testing.T) {
	for _, have := range []int{0, 10, 40_000, 100_000} {
		var b bytes.Buffer
		e := NewEncoder(&b)
		err := e.ReadChunks(strings.NewReader(strings.Repeat("x", have)), 100_000, false)
		e.Flush()
		if (err != nil) != (have < 100_000) || b.Len() != 100_000 {
			t.Errorf("%d of 100000: %v, %d bytes", have, err, b.Len())
		}
		if strings.Count(b.String(), "x") != have {
			t.Errorf("%d of 100000: %d x", have, strings.Count(b.String(), "x"))
		}
	}
}

// Waiting connections hold little.
func TestShrink(t *testing.T) {
	d, _ := decode(1<<20, "a "+strings.Repeat("x", 100_000)+"\r\n", "b NOOP\r\n")
	d.Begin()
	d.Skip()
	if err := d.Wait(); err != nil {
		t.Fatal(err)
	}
	if d.pooled || cap(d.cmd) > keepCommand {
		t.Errorf("pooled %v, command buffer %d", d.pooled, cap(d.cmd))
	}
}
