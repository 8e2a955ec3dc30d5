package mimeindex

import (
	"encoding/base64"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// textsOf gives all texts of a message.
func textsOf(t testing.TB, s string) []string {
	t.Helper()
	var got []string
	err := parse(t, s).Text(strings.NewReader(s), func(p *Part, text string) error {
		if p == nil || text == "" {
			t.Errorf("part %p, text %q", p, text)
		}
		got = append(got, text)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return got
}

func TestText(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		want          []string
	}{
		{"plain", "Subject: not this\n\nbody\n", []string{"body\n"}},
		{"empty", "Subject: not this\n\n", nil},
		{
			"parts",
			"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain; charset=windows-1251\nContent-Transfer-Encoding: base64\n\nz/Do4uXy\n--x\nContent-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''%C3%A4.pdf\n\n%PDF\n--x--\n",
			[]string{"Привет", "ä.pdf"},
		},
		{
			"message in a message",
			"Subject: out\nContent-Type: message/rfc822\n\nSubject: =?utf-8?q?=C3=A4?=\n in\nno field\nContent-Type: text/html\n\n<i>body</i>",
			[]string{"Subject: ä in\nContent-Type: text/html\n", "body"},
		},
		{
			"attached text",
			"Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment\n\nbody",
			[]string{"a.txt", "body"},
		},
		{"calendar", "Content-Type: text/calendar\n\nSUMMARY:x", []string{"SUMMARY:x"}},
		{"no header", "body\r\nbody", []string{"body\r\nbody"}},
	} {
		if got := textsOf(t, tt.message); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestTextOfLongParts: all of a long part is there, in each encoding, and what
// is near the end of a piece is whole in one of them.
func TestTextOfLongParts(t *testing.T) {
	const lines = 60_000
	var plain strings.Builder
	for i := range lines {
		fmt.Fprintf(&plain, "line %d of a würst case, which goes on for some while\r\n", i)
	}
	var coded strings.Builder
	for s := base64.StdEncoding.EncodeToString([]byte(plain.String())); s != ""; {
		n := min(76, len(s))
		coded.WriteString(s[:n] + "\r\n")
		s = s[n:]
	}
	for encoding, body := range map[string]string{
		"8bit":             plain.String(),
		"base64":           coded.String(),
		"quoted-printable": strings.ReplaceAll(plain.String(), "ü", "=C3=BC"),
	} {
		all := textsOf(t, "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "+encoding+"\n\n"+body)
		if len(all) < 3 {
			t.Errorf("%s: %d pieces", encoding, len(all))
		}
		piece, at := 0, 0
		for i := range lines {
			line := fmt.Sprintf("line %d of a würst case, which goes on for some while\r\n", i)
			found := -1
			for ; piece < len(all); piece, at = piece+1, 0 {
				if found = strings.Index(all[piece][at:], line); found >= 0 {
					at += found
					break
				}
			}
			if found < 0 {
				t.Errorf("%s: line %d is in no piece", encoding, i)
				break
			}
		}
	}
	// Lines without end.
	n := 0
	for _, s := range textsOf(t, "\n"+strings.Repeat("x", 3*textPiece+1)) {
		n += len(s)
	}
	if n != 3*textPiece+1 {
		t.Errorf("%d bytes of one line", n)
	}
}

func TestTextErrors(t *testing.T) {
	for _, s := range []string{
		"Content-Type: message/rfc822\n\nSubject: x\n\nbody",
		"Content-Type: text/plain; name=a\n\nbody",
		"Content-Type: text/html\n\nbody",
	} {
		x := parse(t, s)
		for failing := range 2 {
			n := 0
			err := x.Text(strings.NewReader(s), func(*Part, string) error {
				if n++; n > failing {
					return io.ErrClosedPipe
				}
				return nil
			})
			if n > failing && err != io.ErrClosedPipe {
				t.Errorf("%q: an error of emit gives %v", s, err)
			}
		}
		if err := x.Text(broken{}, func(*Part, string) error { return nil }); err == nil {
			t.Errorf("%q: a message that cannot be read has text", s)
		}
		if err := x.Text(strings.NewReader(s[:len(s)-6]), func(*Part, string) error { return nil }); err != nil {
			t.Errorf("%q: cut: %v", s, err)
		}
	}
}

type broken struct{}

func (broken) ReadAt(p []byte, _ int64) (int, error) {
	return iotest.ErrReader(io.ErrUnexpectedEOF).Read(p)
}
