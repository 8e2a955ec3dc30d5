package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ticking returns a clock that gains a second with each look.
func ticking() func() time.Time {
	t := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return func() time.Time { t = t.Add(time.Second); return t }
}

func texts(t *testing.T, b *Book, service string, n int) []string {
	t.Helper()
	lines, ok := b.Lines(service, n)
	if !ok {
		t.Fatalf("no lines of %q", service)
	}
	var out []string
	for _, l := range lines {
		out = append(out, l.Service+":"+l.Text)
	}
	return out
}

func TestWriterCutsLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, tt := range []struct {
		name   string
		writes []string
		want   string
	}{
		{"whole", []string{"a\nb\n"}, "a|b"},
		{"in pieces", []string{"a", "b\nc", "", "d\n"}, "ab|cd"},
		{"no end", []string{"a\nb"}, "a|b"},
		{"CRLF", []string{"a\r\nb\r\n"}, "a|b"},
		{"empty", []string{"\n\na\n"}, "||a"},
		{"escapes", []string{"\x1b[2Jgone\x07\u009b1m\xff\tü\n"}, "?[2Jgone??1m?\tü"},
		{"too long", []string{long + "yy\n"}, long + "|yy"},
		{"too long without end", []string{long, "y", "z"}, long + "|yz"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := New(ticking())
			w := b.Writer("s")
			for _, p := range tt.writes {
				if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
			}
			w.Close()
			got := strings.ReplaceAll(strings.Join(texts(t, b, "s", 0), "|"), "s:", "")
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLines(t *testing.T) {
	b := New(ticking())
	b.Add("a", "1")
	b.Add("b", "2")
	b.Add("a", "3")
	if got := fmt.Sprint(texts(t, b, "", 0)); got != "[a:1 b:2 a:3]" {
		t.Error("merged:", got)
	}
	if got := fmt.Sprint(texts(t, b, "a", 1)); got != "[a:3]" {
		t.Error("last of a:", got)
	}
	if _, ok := b.Lines("c", 0); ok {
		t.Error("lines of a service that said nothing")
	}
}

func TestRingIsBounded(t *testing.T) {
	b := New(ticking())
	line := strings.Repeat("x", 100)
	for i := range 10000 {
		b.Add("talks", fmt.Sprintf("%s%d", line, i))
		b.Add("empty", "")
	}
	for _, service := range []string{"talks", "empty"} {
		lines, _ := b.Lines(service, 0)
		octets := 0
		for _, l := range lines {
			octets += lineCost + len(l.Text)
		}
		if octets > ringOctets || octets < ringOctets*9/10 {
			t.Errorf("%s: %d octets kept", service, octets)
		}
	}
	if last := texts(t, b, "talks", 1)[0]; last != "talks:"+line+"9999" {
		t.Error("last line:", last)
	}
}

func TestFilesGetAllAndRotate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	b := New(ticking())
	b.Add("s", "before")
	if err := b.Persist(dir); err != nil {
		t.Fatal(err)
	}
	b.Add("s", "after")
	b.Add("late", "hello")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.Add("s", "not on disk")
	want := "2026-03-01T12:00:01.000Z before\n2026-03-01T12:00:02.000Z after\n"
	if got, err := os.ReadFile(filepath.Join(dir, "s.log")); err != nil || string(got) != want {
		t.Fatalf("got %q, %v", got, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "late.log")); err != nil || !strings.HasSuffix(string(got), " hello\n") {
		t.Fatalf("got %q, %v", got, err)
	}

	b = New(ticking())
	if err := b.Persist(dir); err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", maxLine)
	for range oldFiles + 2 {
		for range maxFile / maxLine {
			b.Add("s", line)
		}
		if err := b.keeper.settle(); err != nil { // more than may wait
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "s.log*"))
	if err != nil || len(files) != 1+oldFiles {
		t.Fatalf("files: %v, %v", files, err)
	}
	for _, f := range files {
		if fi, err := os.Stat(f); err != nil || fi.Size() > maxFile+maxLine+100 {
			t.Errorf("%s: %d octets, %v", f, fi.Size(), err)
		}
	}
}

// A folder that cannot be written costs the files and nothing else.
func TestFaultyFolder(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := New(ticking())
	b.Add("s", "one")
	if err := b.Persist(filepath.Join(plain, "log")); err == nil {
		t.Fatal("a plain file served as a folder")
	}
	b.Add("s", "two")
	if got := fmt.Sprint(texts(t, b, "s", 0)); got != "[s:one s:two]" {
		t.Error(got)
	}

	dir := t.TempDir()
	if err := b.Persist(dir); err != nil {
		t.Fatal(err)
	}
	// The file goes away under the book: rotation fails, the ring goes on.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", maxLine)
	for range 2 * maxFile / maxLine {
		b.Add("s", line)
	}
	b.Add("s", "last")
	if got := texts(t, b, "s", 1)[0]; got != "s:last" {
		t.Error(got)
	}
	if err := b.Close(); err == nil {
		t.Error("the fault went unreported")
	}
}
