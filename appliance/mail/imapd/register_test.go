package imapd

import (
	"bufio"
	"crypto/tls"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pillarbox/appliance/mail/conntest"
)

// offered collects the capabilities a client sees on its way in: in the clear,
// before and after STARTTLS, and logged in.
func offered(t *testing.T) []string {
	b := newBench(t, func(c *Config) {
		c.TLS = conntest.ServerTLS(t)
		c.AllowPlaintext = func() bool { return false }
		c.AppendLimit = func() int64 { return 1 << 20 }
	})
	c := b.dial()
	c.line()
	seen := map[string]bool{}
	look := func() {
		for _, word := range strings.Fields(c.ok("CAPABILITY")[0])[2:] {
			if strings.HasPrefix(word, "APPENDLIMIT=") {
				word = "APPENDLIMIT"
			}
			seen[word] = true
		}
	}
	look()
	c.ok("STARTTLS")
	c.nc = tls.Client(c.nc, conntest.ClientTLS())
	c.r = bufio.NewReader(c.nc)
	look()
	c.ok("LOGIN ann@example.org secret")
	look()
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// TestRegister holds RFCS.md against the server: it lists what is offered, no
// more and no less, and the files it points to are there.
func TestRegister(t *testing.T) {
	text, err := os.ReadFile("RFCS.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	var listed []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 || strings.HasPrefix(cells[0], "-") || strings.TrimSpace(cells[0]) == "RFC" {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[2], -1) {
			listed = append(listed, m[1])
		}
		for where := range strings.SplitSeq(cells[4], ",") {
			where = strings.TrimSpace(where)
			if where == "the package" {
				continue
			}
			if _, err := os.Stat(filepath.FromSlash(where)); err != nil {
				t.Errorf("RFC %s: %v", strings.TrimSpace(cells[0]), err)
			}
		}
	}
	slices.Sort(listed)
	if got := offered(t); !slices.Equal(got, listed) {
		t.Errorf("offered: %v\nlisted:  %v", got, listed)
	}
}
