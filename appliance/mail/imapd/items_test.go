package imapd

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestItemsTogether: an item of a FETCH is answered the same whatever else is
// asked for beside it, though then other things of the message are at hand.
func TestItemsTogether(t *testing.T) {
	b := newBench(t, nil)
	c := b.dial()
	c.login("ann@example.org")
	messages := []string{
		readFile(t, "simple.eml"),
		readFile(t, "parts.eml"),
		"no field\r\n",
		"\r\nbody",
		"Subject: no body\r\n",
		"Subject: long\r\nTo: " + strings.Repeat("somebody@example.org,\r\n ", 4000) + "last@example.org\r\n\r\nbody\r\n",
	}
	for _, m := range messages {
		c.append("INBOX", `(\Seen) `, []byte(m))
	}
	c.ok("SELECT INBOX")
	items := []string{
		"FLAGS", "UID", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY", "BODYSTRUCTURE", "PREVIEW",
		"RFC822", "RFC822.HEADER", "RFC822.TEXT", "BODY[]", "BODY[]<3.5>", "BODY[HEADER]", "BODY[HEADER]<2.9>",
		"BODY[TEXT]", "BODY[1]", "BODY[2]", "BODY[1.MIME]", "BODY[2.HEADER]", "BODY[9]",
		"BODY[HEADER.FIELDS (SUBJECT TO)]", "BODY[HEADER.FIELDS.NOT (TO)]", "BODY[HEADER.FIELDS (SUBJECT)]<1.4>",
		"BINARY[]", "BINARY[1]", "BINARY[2]<1.3>", "BINARY[9]", "BINARY.SIZE[]", "BINARY.SIZE[1]", "BINARY.SIZE[9]",
	}
	// fetch gives what is between the parentheses of each message's response.
	fetch := func(set string, items ...string) []string {
		var b strings.Builder
		for _, l := range c.ok(fmt.Sprintf("FETCH %s (%s)", set, strings.Join(items, " "))) {
			b.WriteString(l + "\r\n")
		}
		var out []string
		for i, part := range strings.Split("\r\n"+b.String(), "\r\n* ")[1:] {
			head := strconv.Itoa(i+1) + " FETCH ("
			if set != "1:*" {
				head = set + " FETCH ("
			}
			body, ok := strings.CutPrefix(part, head)
			if !ok {
				t.Fatalf("FETCH %s %q: %q", set, items, part)
			}
			out = append(out, body)
		}
		out[len(out)-1], _, _ = strings.Cut(out[len(out)-1], ")\r\nt")
		for i := range out[:len(out)-1] {
			out[i] = strings.TrimSuffix(out[i], ")")
		}
		return out
	}
	alone := make(map[string][]string)
	for _, item := range items {
		alone[item] = fetch("1:*", item)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		some := make([]string, 0, 4)
		for _, i := range random.Perm(len(items))[:2+random.IntN(3)] {
			some = append(some, items[i])
		}
		set := "1:*"
		if random.IntN(2) == 0 {
			set = strconv.Itoa(1 + random.IntN(len(messages)))
		}
		for i, got := range fetch(set, some...) {
			if set != "1:*" {
				i, _ = strconv.Atoi(set)
				i--
			}
			rest := " " + got + " "
			for _, item := range items {
				if !slices.Contains(some, item) {
					continue
				}
				one := " " + alone[item][i] + " "
				if !strings.Contains(rest, one) {
					t.Fatalf("message %d, %q: %q is not in %q", i+1, some, one, got)
				}
				rest = strings.Replace(rest, one, " ", 1)
			}
			if rest != " " {
				t.Fatalf("message %d, %q: %q is left of %q", i+1, some, rest, got)
			}
		}
	}
}
