package dsn

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 20, 9, 30, 0, 0, time.FixedZone("", 3600))

func failure() *Notification {
	return &Notification{
		Hostname: "box.example.org", To: "ann@example.org", EnvelopeID: "QQ+2B314", Arrived: now.Add(-5 * 24 * time.Hour), Now: now,
		Recipients: []Recipient{
			{Address: "bob@example.net", Original: "rfc822;robert+2Bx@example.org", Action: Failed, Status: [3]int{5, 1, 1},
				Remote: "mx.example.net", Reply: "550 5.1.1 No such user here; see https://mx.example.net/help?id=12345678901234567890 for more", LastAttempt: now},
			{Address: "carl@example.com", Action: Failed, Status: [3]int{4, 4, 1}, Explanation: "the domain example.com does not exist", LastAttempt: now},
		},
		Returned:   []byte("From: ann@example.org\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?= und mehr\r\nMessage-ID: <1@example.org>\r\nDate: Sun, 15 Nov 2026 09:30:00 +0100\r\n\r\n"),
		HeaderOnly: true,
	}
}

var random = regexp.MustCompile(`report-[A-Z2-7]+|<[a-z2-7]{26}@`)

// TestGolden compares whole notifications with files; UPDATE=1 writes them.
func TestGolden(t *testing.T) {
	whole := failure()
	whole.Recipients, whole.HeaderOnly = whole.Recipients[:1], false
	whole.Returned = append(whole.Returned, "gr\xc3\xbc\xc3\x9fe\r\n"...)
	delayed := failure()
	delayed.Returned = nil
	for i := range delayed.Recipients {
		delayed.Recipients[i].Action = Delayed
		delayed.Recipients[i].Status[0] = 4
		delayed.Recipients[i].RetryUntil = now.Add(24 * time.Hour)
	}
	global := failure()
	global.To = "ännchen@example.org"
	global.Recipients = []Recipient{{Address: "böb@exämple.net", Action: Failed, Status: [3]int{5, 6, 7}, Reply: "550 5.6.7 Umlaute äöü"}}
	global.Returned = []byte("From: ännchen\r\nSubject: grüße\r\n\r\n")
	relayed := failure()
	relayed.Recipients = []Recipient{{Address: "bob@example.net", Action: Relayed, Status: [3]int{2, 0, 0}, Remote: "mx.example.net"}}
	for name, n := range map[string]*Notification{"failed": failure(), "whole": whole, "delayed": delayed, "global": global, "relayed": relayed} {
		got, err := n.Compose()
		if err != nil {
			t.Fatal(err)
		}
		checkForm(t, n, got)
		got = random.ReplaceAllFunc(got, func(b []byte) []byte {
			if b[0] == '<' {
				return []byte("<RANDOM@")
			}
			return []byte("report-RANDOM")
		})
		got = bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))
		file := filepath.Join("testdata", name+".eml")
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

// checkForm reads a notification back with the standard library.
func checkForm(t *testing.T, n *Notification, b []byte) {
	t.Helper()
	ours := b
	if len(n.Returned) > 0 {
		ours = b[:bytes.LastIndex(b, append(bytes.Clone(n.Returned), "\r\n--report-"...))]
	}
	for line := range bytes.Lines(ours) {
		if !bytes.HasSuffix(line, []byte("\r\n")) || bytes.ContainsAny(line[:len(line)-2], "\r\n\x00") {
			t.Fatalf("line end of %q", line)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	typ, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || typ != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatal(typ, params, err)
	}
	if m.Header.Get("Auto-Submitted") != "auto-replied" {
		t.Error("not marked as automatic")
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	count := 0
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		switch count++; count {
		case 2:
			r := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(content, "\r\n\r\n"...))))
			blocks := 0
			for {
				h, err := r.ReadMIMEHeader()
				if err != nil && err != io.EOF {
					t.Fatalf("status block: %v in %q", err, content)
				}
				if len(h) == 0 {
					break
				}
				if blocks > 0 && (h.Get("Final-Recipient") == "" || h.Get("Action") == "" || h.Get("Status") == "") {
					t.Errorf("block %v", h)
				}
				blocks++
			}
			if blocks != len(n.Recipients)+1 {
				t.Errorf("%d blocks for %d recipients", blocks, len(n.Recipients))
			}
		case 3:
			if !bytes.Equal(content, n.Returned) {
				t.Errorf("returned %q, want %q", content, n.Returned)
			}
		}
	}
	want := 3
	if len(n.Returned) == 0 {
		want = 2
	}
	if count != want {
		t.Errorf("%d parts, want %d", count, want)
	}
}

func TestNobody(t *testing.T) {
	if _, err := (&Notification{}).Compose(); err == nil {
		t.Error("a report about nobody was written")
	}
}

func TestXtext(t *testing.T) {
	for in, want := range map[string]string{"a+2Bb": "a+b", "a+": "a+", "+zz": "+zz", "+0D+0Ax": "x", "+3D": "=", "+2": "+2"} {
		if got := fromXtext(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzCompose puts strangers' words everywhere: the form must hold.
func FuzzCompose(f *testing.F) {
	f.Add("550 no\r\n\r\nSubject: x", "bob@example.net", "rfc822;x", "mx", []byte("Subject: x\r\n\r\nbody"), true)
	f.Add(strings.Repeat("x", 3000), "\"a b\"@c", "utf-8;+0D+0A", "\r\n", []byte("no header"), false)
	f.Add("\xff\x00", "böb@x", ";", "", []byte{}, false)
	f.Fuzz(func(t *testing.T, reply, address, original, remote string, returned []byte, headerOnly bool) {
		if strings.TrimSpace(address) == "" || strings.ContainsAny(address, "\x00\r\n") {
			address = "bob@example.net"
		}
		n := failure()
		n.Recipients[0].Reply, n.Recipients[0].Address, n.Recipients[0].Original, n.Recipients[0].Remote = reply, address, original, remote
		n.Returned, n.HeaderOnly = returned, headerOnly
		b, err := n.Compose()
		if err != nil {
			t.Fatal(err)
		}
		checkForm(t, n, b)
	})
}
