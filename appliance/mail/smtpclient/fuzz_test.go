package smtpclient

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 no\r\n", "250\n", "250-a\r\n251 b\r\n", "220-\xff\x00\r\n220 \r\n", "999 x\r\n", "354 3.0.0\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readReply(bufio.NewReaderSize(bytes.NewReader(b), maxReplyLine))
		if err != nil {
			return
		}
		if r.Code < 200 || r.Code > 599 || len(r.Lines) == 0 || len(r.Lines) > maxReplyLines {
			t.Errorf("%+v", r)
		}
		if r.Status != (Status{}) && r.Status[0] != r.Code/100 {
			t.Errorf("class of %v is not that of %d", r.Status, r.Code)
		}
		text := r.Text()
		if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00") {
			t.Errorf("text %q", text)
		}
	})
}

// FuzzHostileServer lets a server say anything whatever the client says.
func FuzzHostileServer(f *testing.F) {
	f.Add([]byte("220 mx\r\n250-mx\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n"))
	f.Add([]byte("220 mx\r\n250-mx\r\n250-STARTTLS\r\n250 SIZE 1\r\n220 go\r\n\x16\x03\x01"))
	f.Add([]byte("220 mx\r\n502 \r\n250 mx\r\n250 ok\r\n550 no\r\n552 ok\r\n554 go\r\n250 taken\r\n"))
	f.Add([]byte("220 mx\r\n250-mx\r\n250 AUTH PLAIN\r\n235 ok\r\n421 bye\r\n"))
	f.Fuzz(func(t *testing.T, script []byte) {
		client, server := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, server) }()
		go func() { _, _ = server.Write(script); server.Close() }()
		cl, err := New(context.Background(), client, Options{Hostname: "box.example.org", Host: "mx",
			Auth: &Credentials{User: "u", Password: "p", AllowPlaintext: true}})
		if err != nil {
			return
		}
		defer cl.Close(context.Background())
		for range 2 {
			out := cl.Send(context.Background(), Transaction{
				Sender: "a@example.org", Recipients: []Recipient{{Address: "b@example.net"}, {Address: "c@example.net"}},
				Body: strings.NewReader("x: y\r\n\r\n.\r\n"), Size: 11,
			})
			if len(out.Errors) != 2 {
				t.Fatal(out)
			}
			for _, e := range out.Errors {
				if e == nil && out.Reply.Code/100 != 2 {
					t.Error("taken without a 2xx to the body")
				}
				if e != nil && e.Permanent && e.Code != 0 && e.Code < 500 {
					t.Errorf("permanent by %v", e)
				}
			}
		}
	})
}

func FuzzDotStuffer(f *testing.F) {
	f.Add([]byte(".\r\n..\n.\r.\r\n.\r\n"), 3)
	f.Fuzz(func(t *testing.T, body []byte, cut int) {
		d := newDotStuffer()
		if cut < 0 || cut > len(body) {
			cut = len(body) / 2
		}
		wire := d.end(d.append(d.append(nil, body[:cut]), body[cut:]))
		if end := bytes.Index(append([]byte("\r\n"), wire...), []byte("\r\n.\r\n")); end != len(wire)-3 {
			t.Errorf("%q ends at %d", wire, end)
		}
		if bytes.Count(wire, []byte("\n")) != bytes.Count(wire, []byte("\r\n")) || bytes.Count(wire, []byte("\r")) != bytes.Count(wire, []byte("\r\n")) {
			t.Errorf("stray line end in %q", wire)
		}
	})
}
