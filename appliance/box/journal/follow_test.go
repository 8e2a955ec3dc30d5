package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/api/initapi"
)

// stream collects what a query gives.
func stream(t *testing.T, b *Book, q initapi.LogQuery) string {
	t.Helper()
	var got []string
	err := b.Stream(t.Context(), q, func(i initapi.LogItem) error {
		got = append(got, i.Service+":"+i.Text)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, " ")
}

func TestStream(t *testing.T) {
	b := New(ticking())
	for i := range 4 {
		b.Add("a", fmt.Sprint("A", i))
		b.Add("b", fmt.Sprint("B", i))
	}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		q    initapi.LogQuery
		want string
	}{
		{initapi.LogQuery{Lines: 3}, "b:B2 a:A3 b:B3"},
		{initapi.LogQuery{Service: "a"}, "a:A0 a:A1 a:A2 a:A3"},
		{initapi.LogQuery{Contains: "b1"}, "b:B1"},
		{initapi.LogQuery{Contains: "a", Lines: 1}, "a:A3"},
		{initapi.LogQuery{Since: start.Add(7 * time.Second)}, "a:A3 b:B3"},
		{initapi.LogQuery{Service: "c"}, "none"},
		{initapi.LogQuery{Service: "a", Stored: true}, "none"}, // nothing is on disk
	} {
		if got := stream(t, b, tt.q); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.q, got, tt.want)
		}
	}
}

func TestStored(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []struct{ name, text string }{
		{"s.log.2", "2026-02-01T12:00:00.000Z oldest\ncut sho"},
		{"s.log.1", "2026-02-02T12:00:00.000Z older\n"},
		{"s.log", "2026-02-03T12:00:00.000Z old\n"},
	} {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := New(ticking())
	if err := b.Persist(dir); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.Add("s", "new")
	for _, tt := range []struct {
		q    initapi.LogQuery
		want string
	}{
		{initapi.LogQuery{Service: "s", Stored: true}, "s:oldest s:cut sho s:older s:old s:new"},
		{initapi.LogQuery{Service: "s", Stored: true, Lines: 2}, "s:old s:new"},
		{initapi.LogQuery{Service: "s", Stored: true, Lines: 1, Contains: "OLD"}, "s:old"},
		{initapi.LogQuery{Service: "s", Stored: true, Since: time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)}, "s:older s:old s:new"},
		{initapi.LogQuery{Service: "t", Stored: true}, "none"},
		{initapi.LogQuery{Service: "../s", Stored: true}, "none"},
	} {
		if got := stream(t, b, tt.q); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.q, got, tt.want)
		}
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(time.Now)
		b.Add("s", "before")
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		block := make(chan bool)
		done := make(chan error)
		go func() {
			done <- b.Stream(ctx, initapi.LogQuery{Service: "s", Follow: true, Lines: 5}, func(i initapi.LogItem) error {
				<-block
				if i.Missed > 0 {
					got = append(got, fmt.Sprint("missed ", i.Missed))
				} else {
					got = append(got, i.Text)
				}
				return nil
			})
		}()
		synctest.Wait()
		b.Add("other", "not asked for")
		b.Add("s", "after")
		// One who does not read never holds a service up: what is too much goes.
		for i := range followed + 8 {
			b.Add("s", fmt.Sprint(i))
		}
		close(block)
		synctest.Wait()
		b.Add("s", "last")
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		text := strings.Join(got, " ")
		if !strings.HasPrefix(text, "before missed 10 after 0 1 ") || !strings.HasSuffix(text, " last") || len(b.followers) != 0 {
			t.Errorf("%.80s ... %s, %d followers", text, text[max(0, len(text)-40):], len(b.followers))
		}
	})
}
