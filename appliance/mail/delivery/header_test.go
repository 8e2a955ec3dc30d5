package delivery

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// edit runs a message through an editor in pieces of n bytes.
func edit(message string, submission bool, n int) (string, error) {
	var out bytes.Buffer
	h := &headerEditor{out: &out, submission: submission, hostname: "mail.example.org", id: "id", date: time.Unix(0, 0).UTC()}
	for len(message) > 0 {
		piece := message[:min(n, len(message))]
		message = message[len(piece):]
		if _, err := h.Write([]byte(piece)); err != nil {
			return "", err
		}
	}
	err := h.Close()
	return out.String(), err
}

const (
	date = "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
	id   = "Message-ID: <id@mail.example.org>\r\n"
)

func TestHeaderEditor(t *testing.T) {
	for _, c := range []struct {
		name, in   string
		submission bool
		want       string // "" where nothing changes
	}{
		{"complete", "Date: x\r\nMessage-ID: <a@b>\r\nSubject: s\r\n\r\nbody\r\n", true, ""},
		{"nothing there", "Subject: s\r\n\r\nbody\r\n", true, "Subject: s\r\n" + date + id + "\r\nbody\r\n"},
		{"only the body names them", "Subject: s\r\n\r\nDate: x\r\nBcc: y\r\n", true, "Subject: s\r\n" + date + id + "\r\nDate: x\r\nBcc: y\r\n"},
		{"foreign mail stays", "Subject: s\r\nBcc: ann@example.org\r\n\r\nbody\r\n", false, ""},
		{"bcc goes", "DATE: x\r\nmessage-id: <a@b>\r\nBcc: ann@example.org,\r\n\tbob@example.org\r\nbcc : c@example.org\r\nSubject: s\r\n\r\nb\r\n", true,
			"DATE: x\r\nmessage-id: <a@b>\r\nSubject: s\r\n\r\nb\r\n"},
		{"bcc last", "Date: x\r\nMessage-ID: <a@b>\r\nBcc: c@example.org\r\n\r\nb\r\n", true, "Date: x\r\nMessage-ID: <a@b>\r\n\r\nb\r\n"},
		{"bcc-like stays", "Date: x\r\nMessage-ID: <a@b>\r\nBcc-Note: c\r\nX: a\r\n Bcc: b\r\n\r\nb\r\n", true, ""},
		{"old return path", "Return-Path: <x@y>\r\nSubject: s\r\n\r\nb\r\n", false, "Subject: s\r\n\r\nb\r\n"},
		{"no header", "Hello, this is only text\r\nmore\r\n", true, date + id + "\r\nHello, this is only text\r\nmore\r\n"},
		{"no header, short", "Hi\r\n", true, date + id + "\r\nHi\r\n"},
		{"no header, foreign", "Hello, this is only text\r\nmore\r\n", false, ""},
		{"no empty line", "Date: x\r\nMessage-ID: <a@b>\r\nthen the body comes\r\n", true, "Date: x\r\nMessage-ID: <a@b>\r\n\r\nthen the body comes\r\n"},
		{"only a header", "Subject: s\r\n", true, "Subject: s\r\n" + date + id},
		{"only a header, cut", "Subject: a subject that is long", true, "Subject: a subject that is long\r\n" + date + id},
		{"cut within bcc", "Date: x\r\nMessage-ID: <a@b>\r\nBcc: a@example.org, b@example", true, "Date: x\r\nMessage-ID: <a@b>\r\n"},
		{"empty", "", false, ""},
		{"empty line first", "\r\nbody\r\n", true, date + id + "\r\nbody\r\n"},
		{"long line", "Date: x\r\nMessage-ID: <a@b>\r\nX: " + strings.Repeat("y", 100_000) + "\r\n\r\nb\r\n", true, ""},
		{"long name", strings.Repeat("X", 200) + ": v\r\n\r\nb\r\n", false, ""},
		{"dots and nuls", "Subject: \x00\r\n\r\n..\r\n\x00", false, ""},
	} {
		want := c.want
		if want == "" {
			want = c.in
		}
		for _, n := range []int{1, 2, 7, 15, 16, 17, 1 << 20} {
			if got, err := edit(c.in, c.submission, n); err != nil || got != want {
				t.Errorf("%s, in pieces of %d: %q, %v; want %q", c.name, n, got, err, want)
				break
			}
		}
	}
}

func TestLoopIsRefused(t *testing.T) {
	hops := func(n int) string { return strings.Repeat("received: from a\r\n\tby b\r\n", n) + "\r\nb\r\n" }
	if _, err := edit(hops(maxReceived), false, 100); err != nil {
		t.Errorf("%d hops: %v", maxReceived, err)
	}
	_, err := edit(hops(maxReceived+1), false, 100)
	var e *Error
	if !errors.As(err, &e) || e.Code != 554 || e.Enhanced != [3]int{5, 4, 6} {
		t.Errorf("%d hops: %v", maxReceived+1, err)
	}
}

// FuzzHeaderEditor checks that the way a message is cut into pieces does not
// matter, and that foreign mail without Return-Path passes unchanged.
func FuzzHeaderEditor(f *testing.F) {
	f.Add("Subject: s\r\nBcc: a\r\n b\r\n\r\nbody", 3)
	f.Add("Return-Path: <>\r\n\r\n", 1)
	f.Fuzz(func(t *testing.T, message string, n int) {
		if n < 1 || n > 1000 {
			return
		}
		for _, submission := range []bool{false, true} {
			whole, err1 := edit(message, submission, 1<<20)
			cut, err2 := edit(message, submission, n)
			if whole != cut || (err1 == nil) != (err2 == nil) {
				t.Fatalf("%q: %q, %v whole, %q, %v in pieces of %d", message, whole, err1, cut, err2, n)
			}
			if !submission && err1 == nil && whole != message && !strings.Contains(strings.ToLower(message), "return-path") {
				t.Fatalf("%q became %q", message, whole)
			}
		}
	})
}
