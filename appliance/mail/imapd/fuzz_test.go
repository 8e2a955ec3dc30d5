package imapd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox/appliance/store/store"
)

// faults is a log handler that keeps what a client must not be able to cause.
type faults struct {
	mu    sync.Mutex
	found []string
}

func (f *faults) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (f *faults) WithAttrs([]slog.Attr) slog.Handler           { return f }
func (f *faults) WithGroup(string) slog.Handler                { return f }

func (f *faults) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found = append(f.found, text)
	return nil
}

func (f *faults) check(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range f.found {
		t.Error(text)
	}
	f.found = nil
}

// fuzzStates are what a fuzzed client has said before.
var fuzzStates = []string{
	"",
	"0 LOGIN fuzz secret\r\n",
	"0 LOGIN fuzz secret\r\n0 SELECT INBOX\r\n",
	"0 LOGIN fuzz secret\r\n0 ENABLE QRESYNC UTF8=ACCEPT IMAP4rev2\r\n0 SELECT INBOX\r\n",
	"0 LOGIN fuzz secret\r\n0 ENABLE UIDONLY\r\n0 EXAMINE INBOX\r\n",
}

// FuzzServer says anything to the whole server, in several states. Whatever it
// is, the session ends when the client leaves, nothing panics, and no error
// comes from inside.
func FuzzServer(f *testing.F) {
	// The client's lines of the conversations are what a fuzzer would not find.
	files, err := filepath.Glob("testdata/*.imap")
	if err != nil {
		f.Fatal(err)
	}
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var said bytes.Buffer
		for _, m := range regexp.MustCompile(`(?m)^C[0-9]*: ?(.*)$`).FindAllSubmatch(text, -1) {
			said.Write(m[1])
			said.WriteString("\r\n")
		}
		f.Add(uint8(i), said.Bytes())
		f.Add(uint8(2), said.Bytes())
	}
	var log faults
	b := newBench(f, func(c *Config) { c.Log = slog.New(&log) })
	n := 0
	f.Fuzz(func(t *testing.T, state uint8, said []byte) {
		n++
		id, err := b.store.CreateAccount(context.Background(), store.Quota{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		who := fmt.Sprintf("f%d@example.org", n)
		b.setPerson(who, id)
		c := b.dialIn(t)
		c.login(who)
		c.append("INBOX", "", []byte(readFile(t, "simple.eml")))
		c.append("INBOX", `(\Deleted $x) `, []byte(readFile(t, "parts.eml")))
		c.nc.Close()
		begin := strings.ReplaceAll(fuzzStates[int(state)%len(fuzzStates)], "fuzz", who)
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.server.ServeConn(far)
		}()
		go io.Copy(io.Discard, near)
		near.SetWriteDeadline(time.Now().Add(patience))
		// An error means that the server has had enough of it.
		_, _ = near.Write(append([]byte(begin), said...))
		near.Close()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("the session does not end")
		}
		log.check(t)
		if err := b.store.DeleteAccount(context.Background(), id, nil); err != nil {
			t.Fatal(err)
		}
	})
}
