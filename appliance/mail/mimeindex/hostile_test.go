package mimeindex

import (
	"strconv"
	"strings"
	"testing"
)

// TestHostileHeaders parses fields that are made to be slow to read. Code that
// takes time by the square of a field's length would be at it for hours.
func TestHostileHeaders(t *testing.T) {
	const size = 1 << 20
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, message := range map[string]string{
		"brackets that do not close":       "To: " + fill("<,") + "\n\nx",
		"brackets and quotes":              "To: " + fill(`<",`) + "\n\nx",
		"brackets and escapes":             "To: " + fill(`<"\",`) + "\n\nx",
		"brackets closed in quotes":        "To: " + fill(`<",`) + ">\n\nx",
		"routes that do not end":           "To: " + fill("<@a,") + "\n\nx",
		"comments that do not close":       "To: " + fill("(") + "\n\nx",
		"comments in addresses":            "To: " + fill("<a@(b") + "\n\nx",
		"groups":                           "To: " + fill("a:") + "\n\nx",
		"groups that end":                  "To: " + fill("a:;") + "\n\nx",
		"quotes":                           "To: " + fill(`"`) + "\n\nx",
		"at signs":                         "To: " + fill("@") + "\n\nx",
		"fields without end":               fill("To: a\n") + "\n\nx",
		"lines that are no fields":         fill("a\n") + "\n\nx",
		"replies":                          "Subject: " + fill("re:") + "\n\nx",
		"marks":                            "Subject: " + fill("[a]") + "\n\nx",
		"marks and a reply":                "Subject: " + fill("[a]") + "re: x\n\nx",
		"replies with marks":               "Subject: " + fill("re[a]:") + "\n\nx",
		"marks that do not close":          "Subject: " + fill("re:[") + "\n\nx",
		"forwards":                         "Subject: " + fill("[fwd:") + fill("]") + "\n\nx",
		"forwards at the end":              "Subject: " + fill("(fwd)") + "\n\nx",
		"encoded words":                    "Subject: " + fill("=?utf-8?q?a?= ") + "\n\nx",
		"encoded words that do not end":    "Subject: " + fill("=?utf-8?q?a ") + "\n\nx",
		"beginnings of encoded words":      "Subject: " + fill("=?") + "\n\nx",
		"references":                       "References: " + fill("<") + "\n\nx",
		"parameters":                       "Content-Type: a/b; " + fill("name*0=b;") + "\n\nx",
		"parameters without value":         "Content-Type: a/b; " + fill("a;") + "\n\nx",
		"dates":                            "Date: " + fill("1 (") + "\n\nx",
		"languages":                        "Content-Language: " + fill("a,") + "\n\nx",
		"boundaries, each begins the next": nestedBoundaries() + fill("--bbbb\n"),
		"tags that do not end":             "Content-Type: text/html\n\n" + fill("<a b="),
		"comments that do not end":         "Content-Type: text/html\n\n" + fill("<!--"),
		"characters by name":               "Content-Type: text/html\n\n" + fill("&amp"),
		"scripts":                          "Content-Type: text/html\n\n<script>" + fill("<!--<script>"),
	} {
		t.Run(name, func(t *testing.T) {
			x, err := Parse(strings.NewReader(message))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x.Facts(); err != nil {
				t.Error(err)
			}
			if err := x.Text(strings.NewReader(message), func(*Part, string) error { return nil }); err != nil {
				t.Error(err)
			}
			x.Root.Filename()
		})
	}
}

// nestedBoundaries opens as many multiparts as are looked into.
func nestedBoundaries() string {
	var b strings.Builder
	for i := range maxDepth {
		boundary := strings.Repeat("b", i+1)
		b.WriteString("Content-Type: multipart/mixed; boundary=" + boundary + "\n\n--" + boundary + "\n")
	}
	return b.String()
}

// TestManyAddressesInAll bounds the addresses of a message as a whole: short
// ones take many times their length in memory.
func TestManyAddressesInAll(t *testing.T) {
	var b strings.Builder
	for range 20 {
		for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc", "Bcc"} {
			b.WriteString(name + ": " + strings.Repeat("a,", 20_000) + "\n")
		}
		b.WriteString("Content-Type: message/rfc822\n\n")
	}
	x := parse(t, b.String())
	n := 0
	for _, p := range x.Root.All() {
		if e := p.Envelope; e != nil {
			for _, l := range [][]Address{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
				n += len(l)
			}
		}
	}
	if n != maxList {
		t.Errorf("%d addresses, want %d", n, maxList)
	}
}

// TestNesting: whatever nests, however deep, gives a tree that can be served,
// and what is not looked into is in the part around it.
func TestNesting(t *testing.T) {
	for name, level := range map[string]string{
		"messages":             "Subject: x\nContent-Type: message/rfc822\n\n",
		"international":        "Content-Type: message/global\n\n",
		"multiparts":           "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n",
		"the same boundary":    "Content-Type: multipart/mixed; boundary=b\n\n--b\n",
		"digests":              "Content-Type: multipart/digest; boundary=b%d\n\n--b%d\n\n",
		"messages in parts":    "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\nContent-Type: message/rfc822\n\n",
		"without boundary":     "Content-Type: multipart/mixed\n\n",
		"without anything":     "Content-Type: multipart/mixed; boundary=b%d\n\n",
		"header cut by a part": "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\nSubject: x\n",
	} {
		var b strings.Builder
		for i := range 500 {
			b.WriteString(strings.ReplaceAll(level, "%d", strconv.Itoa(i)))
		}
		b.WriteString("Content-Type: text/plain\n\nat the bottom\n")
		x := parse(t, b.String())
		depth := 0
		for d := range x.Root.All() {
			depth = max(depth, d)
		}
		if depth > maxDepth+1 {
			t.Errorf("%s: depth %d", name, depth)
		}
	}
}

// TestManyParts: there is an end to parts; the rest is left in the multipart.
func TestManyParts(t *testing.T) {
	s := "Content-Type: multipart/mixed; boundary=b\n" + strings.Repeat("\n--b\n\nx", 3*maxParts) + "\n--b--\n"
	x := parse(t, s)
	if n := len(x.Root.Children); n != maxParts-1 {
		t.Errorf("%d parts", n)
	}
}
