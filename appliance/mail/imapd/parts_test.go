package imapd

import (
	"context"
	"strings"
	"testing"

	"pillarbox/appliance/store/store"
)

// TestParts changes more messages than go into one commit.
func TestParts(t *testing.T) {
	const messages, commit = 1001, 1000
	b := newBench(t, nil)
	bob := b.dial()
	bob.login("bob@example.org")
	bob.ok("CREATE Team")
	bob.ok("SETACL Team ann@example.org lrswipkxte")
	if err := b.store.SetQuota(context.Background(), b.people.ids["bob@example.org"], store.Quota{LimitMessages: commit}); err != nil {
		t.Fatal(err)
	}
	c := b.dial()
	c.login("ann@example.org")
	for n := 0; n < messages; n += 91 {
		c.ok("APPEND INBOX" + strings.Repeat(" {6+}\r\na: b\r\n", 91))
	}
	c.ok("SELECT INBOX")
	count := func(lines []string, part string) (n int) {
		for _, l := range lines {
			if strings.Contains(l, part) {
				n++
			}
		}
		return n
	}
	if n := count(c.ok("STORE 1:* +FLAGS ($Part)"), " FETCH (FLAGS ("); n != messages {
		t.Errorf("STORE told of %d messages, want %d", n, messages)
	}
	// The second part of a MOVE does not fit: what went is told (RFC 6851 section 3.3).
	lines := c.command(`MOVE 1:* "Other Users/bob@example.org/Team"`)
	if last := lines[len(lines)-1]; !strings.Contains(last, " NO [OVERQUOTA]") {
		t.Error(last)
	}
	if first := lines[0]; !strings.Contains(first, "[COPYUID ") || !strings.Contains(first, " 1:1000 1:1000]") {
		t.Error(first)
	}
	if n := count(lines, " EXPUNGE"); n != commit {
		t.Errorf("MOVE told of %d messages that went, want %d", n, commit)
	}
	if l := c.ok("STATUS INBOX (MESSAGES)")[0]; l != "* STATUS INBOX (MESSAGES 1)" {
		t.Error(l)
	}
}
