package imapd

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// hostile are messages that break mail programs.
func hostile() map[string]string {
	nested := "text"
	forwarded := "Subject: deep\r\n\r\nx"
	for i := range 500 {
		nested = fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%[1]d\r\n%s\r\n--b%[1]d--\r\n", i, nested)
		forwarded = "Content-Type: message/rfc822\r\n\r\n" + forwarded
	}
	recipients := make([]string, 100_000)
	for i := range recipients {
		recipients[i] = fmt.Sprintf("u%d@example.org", i)
	}
	return map[string]string{
		"one byte":              "x",
		"one line break":        "\r\n",
		"no header":             "\r\nbody only\r\n",
		"no structure":          "neither header\nnor body\n",
		"empty multipart":       "Content-Type: multipart/mixed; boundary=x\r\n\r\n",
		"no boundary":           "Content-Type: multipart/mixed\r\n\r\nfoo\r\n",
		"missing end":           "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n",
		"boundary of itself":    "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x--\r\n",
		"lines without colon":   "From: a@b\r\nthis is no header\r\n : nor this\r\nSubject: y\r\n\r\nz\r\n",
		"8 bit":                 "From: \xe4\xf6 <a@b>\r\nSubject: \xff\xfe\x00nul\r\nX-\xe4: 1\r\n\r\n\x00\x80\r\n",
		"lone CR":               "From: a@b\rSubject: x\rTo: b\r\n\r\nlone\rcr\nlone lf\r\n",
		"groups":                "From: g: a@b, c@d;\r\nTo: undisclosed-recipients:;\r\nCc: a: b: c;;,\r\nSubject: g\r\n\r\nx",
		"bad dates":             "Date: Mon, 99 Foo 20222 99:99:99 +9999\r\n\r\nx",
		"bad parameters":        "Content-Type: text/plain; charset; =x; name*0*=utf-8''%zz; name*1=\"\\\r\nContent-Disposition: ;;;\r\nContent-Transfer-Encoding: \r\n\r\nx",
		"no base64":             "Content-Type: text/plain; charset=foo\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!=a=\r\n",
		"long lines":            "Subject: " + strings.Repeat("a", 2_000_000) + "\r\n\r\n" + strings.Repeat("b", 2_000_000),
		"many fields":           strings.Repeat("X: y\r\n", 100_000) + "\r\nx",
		"100,000 recipients":    "To: " + strings.Join(recipients, ", ") + "\r\nSubject: many\r\n\r\nx",
		"nested 500 deep":       nested,
		"forwarded 500 times":   forwarded,
		"quotes in the subject": "Subject: \"\\\r\n {5}\r\n\r\nx",
	}
}

// TestHostileMessages has another author's client fetch what is hardest to
// put in words of IMAP. One such message must not hide another.
func TestHostileMessages(t *testing.T) {
	b := newBench(t, func(c *Config) { c.AppendLimit = func() int64 { return 64 << 20 } })
	put := b.dial()
	put.login("ann@example.org")
	byName := map[string]string{}
	for name, msg := range hostile() {
		put.append("INBOX", "", []byte(msg))
		byName[name] = msg
	}
	n := len(byName)
	nc := b.dial().nc
	c := imapclient.New(nc, nil)
	defer c.Close()
	if err := c.Login("ann@example.org", "secret").Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	whole := &imap.FetchItemBodySection{Peek: true}
	header := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, Peek: true}
	text := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierText, Peek: true}
	some := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject", "To"}, Peek: true}
	part := &imap.FetchItemBodySection{Part: []int{1}, Peek: true}
	msgs, err := c.Fetch(imap.SeqSetNum(seqs(n)...), &imap.FetchOptions{
		Flags: true, Envelope: true, InternalDate: true, RFC822Size: true, UID: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection:   []*imap.FetchItemBodySection{whole, header, text, some, part},
	}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	if len(msgs) != n {
		t.Fatalf("%d messages, want %d", len(msgs), n)
	}
	left := map[string]bool{}
	for _, m := range byName {
		left[m] = true
	}
	for _, m := range msgs {
		got := m.FindBodySection(whole)
		// RFC 9051 section 4.3.1: a literal has no NUL; it comes as 0x80.
		plain := string(bytes.ReplaceAll(got, []byte{0x80}, []byte{0}))
		found := false
		for want := range left {
			if plain == strings.ReplaceAll(want, "\x80", "\x00") {
				found = true
				delete(left, want)
			}
		}
		if !found {
			t.Errorf("message %d is none that was appended: %.60q", m.SeqNum, got)
		}
		if m.RFC822Size != int64(len(got)) || m.Envelope == nil || m.BodyStructure == nil {
			t.Errorf("message %d: size %d, %d bytes, envelope %v, structure %v", m.SeqNum, m.RFC822Size, len(got), m.Envelope, m.BodyStructure)
		}
		if both := string(m.FindBodySection(header)) + string(m.FindBodySection(text)); both != string(got) {
			t.Errorf("message %d: header and text are not the whole", m.SeqNum)
		}
	}
	for _, search := range []string{"TEXT x", "BODY deep", "SUBJECT a", "FROM a", "TO u99999", `HEADER X ""`, "SENTBEFORE 1-Jan-2020", "NOT TEXT nowhere"} {
		put.ok("EXAMINE INBOX")
		put.ok("SEARCH " + search)
	}
	put.ok("SORT (SUBJECT FROM TO CC DATE SIZE DISPLAYFROM) UTF-8 ALL")
	put.ok("THREAD REFERENCES UTF-8 ALL")
	put.ok("FETCH 1:* (PREVIEW BINARY.SIZE[1] BODY.PEEK[1.MIME] BODY.PEEK[1.1.1.1.TEXT])")
}

func seqs(n int) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = uint32(i + 1)
	}
	return out
}
