package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// memory keeps rows in a map.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func newMemory() *memory { return &memory{rows: map[string][]byte{}} }

func (m *memory) Get(_ context.Context, key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.rows[string(key)]), nil
}

func (m *memory) Put(_ context.Context, rows []Row) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rows {
		m.rows[string(r.Key)] = bytes.Clone(r.Value)
	}
	return nil
}

func (m *memory) Delete(_ context.Context, prefix []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.rows, func(k string, _ []byte) bool { return strings.HasPrefix(k, string(prefix)) })
	return nil
}

func (m *memory) Next(_ context.Context, key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(m.rows)) {
		if k >= string(key) {
			return []byte(k), nil
		}
	}
	return nil, nil
}

func newIndex(t testing.TB, rows Rows) *Index {
	t.Helper()
	x, err := Open(rows)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func one(t *testing.T, texts ...string) *Index {
	t.Helper()
	x := newIndex(t, newMemory())
	b := NewBatch()
	for i, text := range texts {
		b.Begin(uint64(i + 1))
		b.Add(Body, text)
	}
	if err := x.Apply(t.Context(), b, uint64(len(texts))); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestSearchFinds(t *testing.T) {
	x := one(t,
		"The quick brown fox jumps over the lazy dog.",             // 1
		"Quicksilver, and a FOXTROT in the Straße.",                // 2
		"東京都に住んでいます",                                               // 3
		"rock'n'roll @ 20:15 http://example.org/path?a=b",          // 4
		strings.Repeat("ab", 50)+"needle"+strings.Repeat("cd", 50), // 5
		"ﾃｽﾄ が café",                                               // 6
	)
	for _, c := range []struct {
		needle      string
		sure, maybe []uint64
	}{
		{"quick", []uint64{1, 2}, nil},
		{"UICK", []uint64{1, 2}, nil},
		{"fox", []uint64{1, 2}, nil},
		{"strasse", []uint64{2}, nil},
		{"STRASSE.", nil, []uint64{2}},
		{"brown fox", nil, []uint64{1}},
		{"wn fo", nil, []uint64{1}},
		{"dog.", nil, []uint64{1}},
		{"absent", nil, nil},
		{"quick trot", nil, nil},
		{"東京", []uint64{3}, nil},
		{"京", []uint64{3}, nil},
		{"す", []uint64{3}, nil},
		{"京都に", nil, []uint64{3}},
		{"京東", nil, nil},
		{"needle", []uint64{5}, nil},
		{"abneedlecd", []uint64{5}, nil},
		{strings.Repeat("ab", 20) + "needle", nil, []uint64{5}},
		{"テスト", nil, []uint64{6}},
		{"CAFÉ", []uint64{6}, nil},
		{"cafe\u0301", []uint64{6}, nil},
		{"@", nil, []uint64{1, 2, 3, 4, 5, 6}},
		{"", []uint64{1, 2, 3, 4, 5, 6}, nil},
		{"20:15", nil, []uint64{4}},
	} {
		h, err := x.Search(t.Context(), c.needle, AllFields)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(h.Sure, c.sure) || !slices.Equal(h.Maybe, c.maybe) {
			t.Errorf("Search(%q) = sure %v, maybe %v; want %v, %v", c.needle, h.Sure, h.Maybe, c.sure, c.maybe)
		}
	}
}

func TestFieldsAreApart(t *testing.T) {
	x := newIndex(t, newMemory())
	b := NewBatch()
	b.Begin(7)
	b.Add(Subject, "holiday")
	b.Add(From, "Ann <ann@example.org>")
	b.Add(Body, "holiday in Spain")
	if err := x.Apply(t.Context(), b, 9); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		needle string
		in     Fields
		want   int
	}{{"holiday", Subject, 1}, {"holiday", Body, 1}, {"holiday", From, 0}, {"spain", Subject, 0}, {"spain", AllFields, 1}, {"ann", From | To, 1}, {"ann", Body, 0}} {
		h, err := x.Search(t.Context(), c.needle, c.in)
		if err != nil || len(h.Sure) != c.want || h.Watermark != 9 {
			t.Errorf("%q in %b: %+v, %v; want %d", c.needle, c.in, h, err, c.want)
		}
	}
}

func TestOrderIsKept(t *testing.T) {
	x := one(t, "a", "b")
	b := NewBatch()
	b.Begin(2)
	if err := x.Apply(t.Context(), b, 2); !errors.Is(err, ErrOrder) {
		t.Errorf("a document below the watermark: %v", err)
	}
}

func TestTooMuchTextStaysUndecided(t *testing.T) {
	x := one(t, strings.Repeat("filler ", maxText/7+1)+" hidden", "short")
	h, err := x.Search(t.Context(), "hidden", Body)
	if err != nil || !slices.Equal(h.Maybe, []uint64{1}) {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestAgainstText compares the index with a plain search of the texts, over
// batches, merges and deletions.
func TestAgainstText(t *testing.T) {
	alphabet := []rune("abcABC  .-éÉßあがガ漢字ﬁ9\u0301")
	text := rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 120).Draw(t, "runes"))
	})
	rapid.Check(t, func(t *rapid.T) {
		rows := newMemory()
		x, err := Open(rows)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		texts := map[uint64]string{}
		gone := map[uint64]bool{}
		id := uint64(0)
		for range rapid.IntRange(1, 30).Draw(t, "batches") {
			b := NewBatch()
			for range rapid.IntRange(0, 4).Draw(t, "docs") {
				id += uint64(rapid.IntRange(1, 3).Draw(t, "gap"))
				texts[id] = text.Draw(t, "text")
				b.Begin(id)
				b.Add(Body, texts[id])
			}
			if err := x.Apply(ctx, b, id); err != nil {
				t.Fatal(err)
			}
			if id > 0 && rapid.Bool().Draw(t, "delete") {
				gone[uint64(rapid.IntRange(1, int(id)).Draw(t, "which"))] = true
			}
			for more := true; more; {
				if more, err = x.Compact(ctx, func(_ context.Context, ids []uint64) ([]bool, error) {
					live := make([]bool, len(ids))
					for i, id := range ids {
						live[i] = !gone[id]
					}
					return live, nil
				}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if rapid.Bool().Draw(t, "reopen") {
			if x, err = Open(rows); err != nil {
				t.Fatal(err)
			}
		}
		needle := string(rapid.SliceOfN(rapid.SampledFrom(alphabet), 1, 6).Draw(t, "needle"))
		if rapid.Bool().Draw(t, "part of a text") {
			for _, s := range texts {
				if r := []rune(s); len(r) > 5 {
					from := rapid.IntRange(0, len(r)-1).Draw(t, "from")
					needle = string(r[from:min(len(r), from+rapid.IntRange(1, 50).Draw(t, "length"))])
				}
				break
			}
		}
		h, err := x.Search(ctx, needle, Body)
		if err != nil {
			t.Fatal(err)
		}
		for id, s := range texts {
			if gone[id] {
				continue
			}
			has := strings.Contains(Fold(s), Fold(needle))
			sure, maybe := slices.Contains(h.Sure, id), slices.Contains(h.Maybe, id)
			if has && !sure && !maybe || !has && sure || sure && maybe {
				t.Fatalf("%q in %q: %v, but sure %v, maybe %v", needle, s, has, sure, maybe)
			}
		}
	})
}

// stubborn is memory that fails at the nth change.
type stubborn struct {
	*memory
	left int
}

var errStubborn = errors.New("no")

func (m *stubborn) may() error {
	if m.left--; m.left < 0 {
		return errStubborn
	}
	return nil
}

func (m *stubborn) Put(ctx context.Context, rows []Row) error {
	if err := m.may(); err != nil {
		return err
	}
	return m.memory.Put(ctx, rows)
}

func (m *stubborn) Delete(ctx context.Context, prefix []byte) error {
	if err := m.may(); err != nil {
		return err
	}
	return m.memory.Delete(ctx, prefix)
}

// Nothing stays of a change that was cut short, wherever, once there is another.
func TestChangesCutShortLeaveNothing(t *testing.T) {
	ctx := t.Context()
	all := func(_ context.Context, ids []uint64) ([]bool, error) {
		return slices.Repeat([]bool{true}, len(ids)), nil
	}
	// rows fills an index so that batches are merged, with a failure after so many changes.
	rows := func(failAt int) (m *memory, failed bool) {
		s := &stubborn{newMemory(), failAt}
		x := newIndex(t, s)
		for id := uint64(1); id <= 2*mergeAt; id++ {
			for done := false; !done; {
				b := NewBatch()
				b.Begin(id)
				b.Add(Body, fmt.Sprint("word", id))
				err := x.Apply(ctx, b, id)
				for more := err == nil; more && err == nil; {
					more, err = x.Compact(ctx, all)
				}
				if err != nil && !errors.Is(err, ErrOrder) { // the program ends, and starts again
					if !errors.Is(err, errStubborn) {
						t.Fatal(err)
					}
					failed = true
					s.left = 1 << 30
					x = newIndex(t, s)
					continue
				}
				done = true
			}
		}
		return s.memory, failed
	}
	for n := 0; ; n++ {
		got, failed := rows(n)
		if !failed {
			break
		}
		x := newIndex(t, got)
		if _, err := x.Compact(ctx, all); err != nil {
			t.Fatal(err)
		}
		m, err := x.manifest(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := 1 // the manifest
		for _, s := range m.segments {
			head, err := x.meta(ctx, s)
			if err != nil {
				t.Fatal(err)
			}
			want += 2 + 2*int(head.blocks)
		}
		if len(got.rows) != want {
			t.Errorf("failed at change %d: %d rows, want %d", n, len(got.rows), want)
		}
	}
}

func TestDamageIsReported(t *testing.T) {
	rows := newMemory()
	x := newIndex(t, rows)
	b := NewBatch()
	for i := range 50 {
		b.Begin(uint64(i + 1))
		b.Add(Body, fmt.Sprintf("word%d other%d and text that compresses, text that compresses", i, i*7))
	}
	if err := x.Apply(t.Context(), b, 50); err != nil {
		t.Fatal(err)
	}
	if upTo, ids, err := x.Check(t.Context(), true); err != nil || upTo != 50 || len(ids) != 50 || ids[0] != 1 {
		t.Errorf("check: up to %d, %d documents, %v", upTo, len(ids), err)
	}
	for key, row := range rows.rows {
		for _, broken := range [][]byte{nil, {}, {9}, {rowVersion, 7}, row[:len(row)-1], append(bytes.Clone(row[:len(row)/2]), bytes.Repeat([]byte{0xff}, len(row)/2)...)} {
			if broken == nil {
				delete(rows.rows, key)
			} else {
				rows.rows[key] = broken
			}
			y := newIndex(t, rows)
			// Without a manifest an index is a new one.
			upTo, _, err := y.Check(t.Context(), true)
			if isNew := err == nil && upTo == 0 && broken == nil && key == string(manifestKey()); !isNew && !errors.Is(err, ErrDamaged) {
				t.Errorf("check: %x broken to %x: %v", key, broken, err)
			}
			// A wrong answer is not to be had from here; a panic is.
			if h, err := y.Search(t.Context(), "word1", AllFields); err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("%x broken to %x: %+v, %v", key, broken, h, err)
			}
		}
		rows.rows[key] = row
	}
	if err := x.Drop(t.Context()); err != nil || len(rows.rows) != 0 {
		t.Errorf("%d rows left, %v", len(rows.rows), err)
	}
}

func FuzzFold(f *testing.F) {
	f.Add("Straße ﬁ ガ \xff")
	f.Add("A\u0345\u0301b K\u212a\xe2\x82Zé")
	f.Add("x" + strings.Repeat("\u0301\u0323", 40) + "y")
	f.Fuzz(func(t *testing.T, s string) {
		once := Fold(s)
		if want := string([]rune(norm.NFKD.String(cases.Fold().String(norm.NFKD.String(s))))); once != want {
			t.Errorf("%q folds to %q, not to %q", s, once, want)
		}
		words(once, func(w string) {
			if w == "" || len(w) > maxWord || !strings.Contains(once, w) {
				t.Errorf("word %q of %q", w, once)
			}
		})
	})
}

func BenchmarkSearch(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	x := newIndex(b, newMemory())
	vocabulary := make([]string, 150000)
	for i := range vocabulary {
		w := make([]byte, 3+r.IntN(10))
		for j := range w {
			w[j] = byte('a' + r.IntN(26))
		}
		vocabulary[i] = string(w)
	}
	batch := NewBatch()
	for id := range uint64(10000) {
		batch.Begin(id + 1)
		var text strings.Builder
		for range 300 {
			text.WriteString(vocabulary[min(len(vocabulary)-1, int(r.ExpFloat64()*8000))])
			text.WriteByte(' ')
		}
		batch.Add(Body, text.String())
		if batch.Full() || id == 9999 {
			if err := x.Apply(b.Context(), batch, id+1); err != nil {
				b.Fatal(err)
			}
			batch = NewBatch()
		}
	}
	for _, needle := range []string{vocabulary[3], "zzzzzzz", vocabulary[5] + " " + vocabulary[8]} {
		b.Run(needle, func(b *testing.B) {
			for b.Loop() {
				if _, err := x.Search(b.Context(), needle, Body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
