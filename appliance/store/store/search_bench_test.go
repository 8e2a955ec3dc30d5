package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/store/search"
)

// BenchmarkSearch asks the full-text index, as it lies in the store, for a
// word that stands in nearly every message, in one of a thousand, in none, and
// for two words after each other. Messages have 150 words, drawn as in speech:
// few are common, most are rare.
func BenchmarkSearch(b *testing.B) {
	for _, messages := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("messages=%d", messages), func(b *testing.B) { benchSearch(b, messages) })
	}
}

func benchSearch(b *testing.B, messages int) {
	ctx := context.Background()
	s, err := Open(ctx, b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	x, err := search.Open(s.IndexRows(newAccount(b, s)))
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	words := rand.NewZipf(r, 1.1, 4, 200_000)
	start := time.Now()
	batch := search.NewBatch()
	alive := func(_ context.Context, ids []uint64) ([]bool, error) {
		out := make([]bool, len(ids))
		for i := range out {
			out[i] = true
		}
		return out, nil
	}
	var text strings.Builder
	for id := 1; id <= messages; id++ {
		text.Reset()
		for range 150 {
			fmt.Fprintf(&text, "w%dx ", words.Uint64())
		}
		if id%1000 == 0 {
			text.WriteString("Nadelöhr")
		}
		batch.Begin(uint64(id))
		batch.Add(search.Body, text.String())
		// As when mail arrives: a segment for some hundred messages at most.
		if batch.Len() < 500 && !batch.Full() && id < messages {
			continue
		}
		if err := x.Apply(ctx, batch, uint64(id)); err != nil {
			b.Fatal(err)
		}
		batch = search.NewBatch()
		for again := true; again; {
			if again, err = x.Compact(ctx, alive); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Logf("indexed %d messages at %.0f/s", messages, float64(messages)/time.Since(start).Seconds())
	for _, q := range []struct{ name, text string }{
		{"common", "w1x"}, {"rare", "nadelöhr"}, {"absent", "heuhaufen"}, {"within", "adelö"}, {"two", "w1x w2x"},
	} {
		b.Run(q.name, func(b *testing.B) {
			var h search.Hits
			for b.Loop() {
				if h, err = x.Search(ctx, search.Fold(q.text), search.AllFields); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(h.Sure)), "sure")
			b.ReportMetric(float64(len(h.Maybe)), "maybe")
		})
	}
}
