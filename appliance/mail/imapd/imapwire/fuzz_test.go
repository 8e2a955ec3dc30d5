package imapwire

import (
	"bytes"
	"io"
	"testing"
	"unicode/utf8"
)

// FuzzDecoder takes anything apart, by a list of what to expect: nothing
// panics, reading ends, and what is left of a command can be skipped.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("a LOGIN {3}\r\nfoo {3+}\r\nbar\r\n"), []byte{0, 1, 2, 3, 2, 3})
	f.Add([]byte("a STORE 1:*,$ +FLAGS (\\Seen $x)\r\n"), []byte{0, 1, 2, 1, 2, 6, 2, 7})
	f.Add([]byte("a X \"q\\\"\" NIL ~{2+}\r\n\x00\x01 \"07-Feb-1994 21:52:25 -0800\" -1:-5\r\nb"), []byte{0, 1, 2, 4, 2, 5, 2, 12, 2, 9, 2, 10})
	f.Add([]byte("a LIST (SUBSCRIBED) \"\" (% &AOQ-/*)\r\n"), []byte{0, 1, 2, 8, 2, 13, 2, 14})
	f.Fuzz(func(t *testing.T, in, plan []byte) {
		d := NewDecoder(bytes.NewReader(in), 1<<12, func() error { return nil })
		for range 20 {
			if err := d.Begin(); err != nil {
				return
			}
			for _, p := range plan[:min(len(plan), 100)] {
				take(d, p)
			}
			_ = d.End()
			if d.SourceError() != nil || d.Skip() != nil {
				return
			}
		}
	})
}

func take(d *Decoder, what byte) {
	switch what % 16 {
	case 0:
		d.Tag()
	case 1:
		d.Keyword()
	case 2:
		d.SP()
	case 3:
		d.AString()
	case 4:
		d.Str()
	case 5:
		d.NString()
	case 6:
		d.NumSet(what > 127)
	case 7:
		d.List(true, func() { d.Flag() })
	case 8:
		d.List(false, func() { d.Atom() })
	case 9:
		d.DateTime()
	case 10:
		d.Partial()
	case 11:
		d.Date()
	case 12:
		if s := d.Stream(); s != nil {
			_, _ = io.Copy(io.Discard, s)
			d.Resume()
		}
	case 13:
		d.Mailbox()
	case 14:
		d.List(false, func() { d.ListMailbox() })
	case 15:
		d.ItemName()
	}
}

// FuzzMailbox: a name that was read is written so that it reads the same.
func FuzzMailbox(f *testing.F) {
	for _, s := range []string{"INBOX", "inbox/x", "&AOQ-", "a&-b", "&Jjo-!", "&U,BTFw-&ZeVnLIqe-", "ä/ö", "\xff"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, utf8Names bool) {
		name, ok := DecodeMailbox(s, utf8Names)
		if !ok {
			return
		}
		if !utf8.ValidString(name) {
			t.Fatalf("%q is read as %q", s, name)
		}
		for _, utf8On := range []bool{true, false} {
			var b bytes.Buffer
			e := NewEncoder(&b)
			e.UTF8 = utf8On
			e.Raw("a ").Mailbox(name).End()
			if err := e.Flush(); err != nil {
				t.Fatal(err)
			}
			d := NewDecoder(&b, 1<<20, func() error { return nil })
			d.UTF8 = utf8On
			if err := d.Begin(); err != nil {
				t.Fatal(err)
			}
			d.Tag()
			d.SP()
			if again, ok := d.Mailbox(); !ok || again != name || d.End() != nil {
				t.Fatalf("%q is written and read as %q, %v %v", name, again, ok, d.Err())
			}
		}
	})
}
