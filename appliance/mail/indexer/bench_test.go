package indexer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox/appliance/store/search"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// BenchmarkDeliver shows what indexing takes from accepting mail: 16 sessions
// deliver messages of 8 KiB while the indexer is busy all the time, and while
// there is none, by turns, since other work on the machine comes and goes.
// indexed is the watermark at the end: how many messages the index then had,
// not what was read for a segment still being put together.
func BenchmarkDeliver(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	var text strings.Builder
	for text.Len() < 8<<10 {
		for range 10 {
			fmt.Fprintf(&text, "word%d ", int(r.ExpFloat64()*2000))
		}
		text.WriteByte('\n')
	}
	for _, indexed := range []bool{false, true, true, false, false, true} {
		b.Run(fmt.Sprintf("indexed=%v", indexed), func(b *testing.B) {
			st := storetest.New(b)
			id, err := st.CreateAccount(b.Context(), store.Quota{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			var run sync.WaitGroup
			ctx, stop := context.WithCancel(b.Context())
			x := New(Config{Store: st, Settle: time.Millisecond})
			if indexed {
				run.Go(func() { _ = x.Run(ctx) })
			}
			var next atomic.Int64
			b.ResetTimer()
			var sessions sync.WaitGroup
			for range 16 {
				sessions.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						deliver(b, st, id, fmt.Sprintf("Subject: message %d\n\n%s", n, text.String()))
					}
				})
			}
			sessions.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			hits, err := x.Search(b.Context(), id, search.Fold("absent"), search.Body)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(hits.Watermark), "indexed")
			stop()
			run.Wait()
		})
	}
}
