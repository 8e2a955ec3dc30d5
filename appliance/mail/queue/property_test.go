package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
)

// TestEachCopyEndsOnce lets servers, the store, the bouncer and administrators
// behave at random, and the box crash, for many days. By what is durable in
// the end, each copy was sent, bounced, dropped or deleted, and just one of
// these; without a crash, what was sent was taken once and what bounced never.
func TestEachCopyEndsOnce(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			endsOnce(t, seed)
		})
		if t.Failed() {
			return
		}
	}
}

// dice is a source of chance for many goroutines.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) of(list ...string) string { return list[d.n(len(list))] }

func endsOnce(t *testing.T, seed uint64) {
	d := &dice{r: rand.New(rand.NewPCG(seed, 1))}
	h := newHouse()
	crashes := seed%2 == 1
	dead := false // the box has no power: nothing becomes durable
	h.s.fail = func(int) error {
		switch {
		case dead:
			return store.ErrClosed
		case d.n(10) == 0:
			return store.ErrNoSpace
		}
		return nil
	}
	for range 200 {
		switch d.n(10) {
		case 0:
			h.b.errs = append(h.b.errs, refusal{true})
		case 1:
			h.b.errs = append(h.b.errs, refusal{false})
		default:
			h.b.errs = append(h.b.errs, nil)
		}
	}
	domains := []string{"a.example", "b.example", "c.example"}
	for _, domain := range domains {
		for pref := range 1 + d.n(2) {
			h.w.sink(domain, uint16(pref), &sink{
				greeting: d.of("", "", "", "refuse", "421 full", "hang"),
				ehlo:     d.of("", "250-PIPELINING\r\n", "250-STARTTLS\r\n", "250-SIZE 10\r\n"),
				mail:     func(string) string { return d.of("250 ok", "250 ok", "250 ok", "451 later", "421 closing") },
				rcpt: func(int, string) string {
					return d.of("250 ok", "250 ok", "250 ok", "450 later", "550 5.1.1 no", "452 too many", "")
				},
				data: func() string { return d.of("354 go", "354 go", "354 go", "451 later", "") },
				// A server that takes a message and does not say so would be
				// sent it again, rightly: here it says so, or has not taken it.
				end: func(taken) string {
					return d.of("250 ok", "250 ok", "250 ok", "250 ok", "451 later", "554 no", "", "hang")
				},
			})
		}
	}
	want := map[string]bool{} // trace ID and recipient
	stop := h.start(t)
	put := func() {
		id := trace.NewID(time.Now())
		var to []string
		for i := range 1 + d.n(5) {
			r := fmt.Sprintf("u%d@%s", i, domains[d.n(len(domains))])
			to = append(to, r)
			want[string(id)+" "+r] = true
		}
		rec := Record{Trace: id, Notify: d.of("", "", "NEVER")}
		h.s.put(hello, d.of(ann, ann, ""), rec, to...)
		h.Kick()
	}
	for range 40 {
		put()
		time.Sleep(time.Duration(d.n(3600)) * time.Second)
		id := store.QueueID(1 + d.n(int(h.s.last)))
		switch d.n(8) {
		case 0:
			_ = h.Delete(context.Background(), id)
		case 1:
			_ = h.Hold(context.Background(), id)
		case 2, 3:
			_ = h.Retry(context.Background(), id)
		case 4:
			if crashes {
				h.s.mu.Lock()
				dead = true
				h.s.mu.Unlock()
			}
			stop()
			h.s.mu.Lock()
			dead = false
			h.s.mu.Unlock()
			stop = h.start(t)
		}
	}
	// An administrator lets the held ones go, and again where the store had no
	// space for that; each then gets the time to come to its end.
	for rounds := 0; rounds < 50 && h.s.len() > 0; rounds++ {
		_ = h.List(context.Background(), 0, func(it Item) error {
			if it.Held {
				_ = h.Retry(context.Background(), it.ID)
			}
			return nil
		})
		time.Sleep(8 * 24 * time.Hour)
	}
	synctest.Wait()
	if n := h.s.len(); n != 0 {
		t.Errorf("%d copies are still queued", n)
	}
	stop()
	h.judge(t, want, crashes)
}

// judge compares what is durable with what each copy was to end in.
func (h *house) judge(t *testing.T, want map[string]bool, crashes bool) {
	ends := map[string][]trace.Kind{}
	for _, op := range h.s.docs {
		var e trace.Event
		if err := json.Unmarshal(op.Value[1:], &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind == trace.Deferred {
			continue
		}
		id, _, _ := strings.Cut(op.Key, "/")
		for _, target := range e.Targets {
			k := id + " " + target.Recipient
			ends[k] = append(ends[k], e.Kind)
		}
	}
	count := map[trace.Kind]int{}
	for k := range want {
		got := fmt.Sprint(ends[k])
		switch got {
		case "[sent]", "[bounced]", "[failed]", "[removed]":
		case "[removed sent]": // deleted while the server thought about it
		default:
			t.Errorf("%s ended as %s", k, got)
		}
		for _, kind := range ends[k] {
			count[kind]++
		}
	}
	if len(ends) != len(want) {
		t.Errorf("%d copies ended, of %d", len(ends), len(want))
	}
	reported := 0
	for _, b := range h.b.bounces {
		reported += strings.Count(b, "\r\nFinal-Recipient:")
	}
	if reported != count[trace.Bounced] {
		t.Errorf("%d copies reported in bounces, %d recorded", reported, count[trace.Bounced])
	}
	took := 0
	for _, k := range h.w.sinks {
		for _, m := range k.took() {
			took += len(m.to)
		}
	}
	if took < count[trace.Sent] || !crashes && took != count[trace.Sent] {
		t.Errorf("servers took %d copies, %d recorded as sent", took, count[trace.Sent])
	}
}
