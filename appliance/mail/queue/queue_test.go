package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/mail/route"
	"pillarbox/appliance/mail/trace"
	"pillarbox/appliance/store/store"
)

const ann = "ann@example.org"

func TestSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		net := h.w.sink("a.example", 10, &sink{ehlo: "250-PIPELINING\r\n"})
		com := h.w.sink("b.example", 10, &sink{})
		id := trace.NewID(time.Now())
		h.s.put(hello, ann, Record{Trace: id}, "x@a.example", "y@A.example", "z@b.example")
		h.run(t, time.Second)
		got := net.took()
		if len(got) != 1 || fmt.Sprint(got[0].to) != "[x@a.example y@A.example]" || got[0].from != ann {
			t.Errorf("first domain got %+v", got)
		}
		if got := com.took(); len(got) != 1 || fmt.Sprint(got[0].to) != "[z@b.example]" {
			t.Errorf("second domain got %+v", got)
		} else if want := hello[strings.Index(hello, "Received"):]; got[0].body != want {
			t.Errorf("body %q, want %q", got[0].body, want)
		}
		if h.s.len() != 0 || len(h.b.bounces) != 0 {
			t.Errorf("left %d, bounced %d", h.s.len(), len(h.b.bounces))
		}
		if len(h.s.docs) != 2 || h.s.docs[0].Table != store.TableTrace || !strings.HasPrefix(h.s.docs[0].Key, string(id)+"/") {
			t.Errorf("trace %+v", h.s.docs)
		}
		for _, e := range h.events {
			if e.Kind != trace.Sent || e.Reply != "250 2.0.0 taken" || !strings.HasPrefix(e.Host, "mx10.") || e.Trace != id {
				t.Errorf("event %+v", e)
			}
		}
	})
}

// TestSchedule has a server that never takes the message: the attempts follow
// the schedule until one at the age of five days, and one bounce ends it.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		k := h.w.sink("a.example", 10, &sink{rcpt: func(int, string) string { return "450 4.2.0 later" }})
		h.s.put(hello, ann, Record{}, "x@a.example")
		start := time.Now()
		h.run(t, 6*24*time.Hour)
		want := time.Duration(0)
		for i, at := range k.dials[:len(k.dials)-1] {
			if at.Sub(start) != want {
				t.Fatalf("attempt %d after %v, want %v", i+1, at.Sub(start), want)
			}
			want += DefaultSchedule.Delays[min(i, len(DefaultSchedule.Delays)-1)]
		}
		if last := k.dials[len(k.dials)-1].Sub(start); last != DefaultSchedule.Expiry {
			t.Errorf("last attempt after %v", last)
		}
		if len(h.b.bounces) != 1 || h.s.len() != 0 {
			t.Fatalf("%d bounces, %d left", len(h.b.bounces), h.s.len())
		}
		for _, want := range []string{"ann@example.org\n", "\r\nStatus: 4.2.0\r\n", "Diagnostic-Code: smtp; 450 4.2.0 later", "Remote-MTA: dns; mx10.a.example",
			"Final-Recipient: rfc822; x@a.example", "In-Reply-To: <m@example.org>", "text/rfc822-headers", "Received: by box"} {
			if !strings.Contains(h.b.bounces[0], want) {
				t.Errorf("no %q in\n%s", want, h.b.bounces[0])
			}
		}
		if strings.Contains(h.b.bounces[0], "Return-Path") || strings.Contains(h.b.bounces[0], ".dots") {
			t.Errorf("returned too much:\n%s", h.b.bounces[0])
		}
	})
}

// TestClockSetBack has mail from a time when the clock was ten years ahead,
// before the start and after it.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		a := h.w.sink("a.example", 10, &sink{})
		h.w.sink("never.example", 10, &sink{greeting: "refuse"})
		ahead := func(recipient string, rec Record) {
			id := h.s.put(hello, ann, rec, recipient)[0]
			h.s.mu.Lock()
			defer h.s.mu.Unlock()
			e := h.s.entries[id]
			e.Created = e.Created.AddDate(10, 0, 0)
			e.Due = e.Created.Add(5 * time.Minute)
			h.s.entries[id] = e
		}
		ahead("x@a.example", Record{})
		ahead("x@never.example", Record{})
		ahead("held@a.example", Record{Held: true})
		stop := h.start(t)
		synctest.Wait()
		if len(a.took()) != 1 {
			t.Error("it waits for ten years")
		}
		ahead("y@a.example", Record{})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(a.took()) != 2 {
			t.Error("what came later waits for ten years")
		}
		time.Sleep(6 * 24 * time.Hour)
		synctest.Wait()
		if len(h.b.bounces) != 1 || h.s.len() != 1 {
			t.Errorf("%d bounces, %d left", len(h.b.bounces), h.s.len())
		}
		ahead("z@a.example", Record{}) // and nothing else wakes the queue
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(a.took()) != 3 {
			t.Error("what is alone waits for ten years")
		}
		stop()
	})
}

func TestScheduleSparesWhatWasNotTried(t *testing.T) {
	now := time.Now()
	s := DefaultSchedule
	for _, c := range []struct {
		age      time.Duration
		attempts int
		due      time.Duration
		ok       bool
	}{
		{0, 1, 5 * time.Minute, true},
		{time.Hour, 3, 20 * time.Minute, true},
		{2 * s.Expiry, 1, 5 * time.Minute, true}, // the box was off
		{2 * s.Expiry, 7, 4 * time.Hour, true},
		{2 * s.Expiry, 8, 0, false},
		{s.Expiry - time.Hour, 30, time.Hour, true}, // one last attempt
		{s.Expiry - 10*time.Hour, 30, 4 * time.Hour, true},
		{s.Expiry, 30, 0, false},
	} {
		due, ok := s.after(now, now.Add(-c.age), c.attempts)
		if ok != c.ok || ok && due.Sub(now) != c.due {
			t.Errorf("%+v: %v %v", c, due.Sub(now), ok)
		}
	}
}

func TestPermanentFailures(t *testing.T) {
	for name, c := range map[string]struct {
		sender string
		rec    Record
		errs   []error // of the bouncer
		events string
		bounce bool
		tries  int // at the bouncer
	}{
		"bounced":             {sender: ann, events: "sent good@a.example, bounced bad@a.example", bounce: true, tries: 1},
		"null sender":         {sender: "", events: "sent good@a.example, failed bad@a.example"},
		"NOTIFY=NEVER":        {sender: ann, rec: Record{Notify: "NEVER"}, events: "sent good@a.example, failed bad@a.example"},
		"NOTIFY=DELAY":        {sender: ann, rec: Record{Notify: "DELAY,SUCCESS"}, events: "sent good@a.example, failed bad@a.example"},
		"NOTIFY=FAILURE":      {sender: ann, rec: Record{Notify: "delay,failure"}, events: "sent good@a.example, bounced bad@a.example", bounce: true, tries: 1},
		"sender unknown":      {sender: ann, errs: []error{refusal{false}}, events: "sent good@a.example, failed bad@a.example", tries: 1},
		"bounce comes later":  {sender: ann, errs: []error{refusal{true}, errors.New("disk")}, events: "sent good@a.example, deferred bad@a.example, deferred bad@a.example, bounced bad@a.example", bounce: true, tries: 3},
		"bounce never works":  {sender: ann, errs: []error{refusal{true}, refusal{false}}, events: "sent good@a.example, deferred bad@a.example, failed bad@a.example", tries: 2},
		"message not whole":   {sender: ann, rec: Record{Return: "HDRS"}, events: "sent good@a.example, bounced bad@a.example", bounce: true, tries: 1},
		"message to be whole": {sender: ann, rec: Record{Return: "FULL", EnvelopeID: "abc+2B"}, events: "sent good@a.example, bounced bad@a.example", bounce: true, tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse()
				h.b.errs = c.errs
				k := h.w.sink("a.example", 10, &sink{rcpt: func(_ int, to string) string {
					if to == "bad@a.example" {
						return "550 5.1.1 nobody"
					}
					return "250 ok"
				}})
				h.s.put(hello, c.sender, c.rec, "bad@a.example", "good@a.example")
				h.run(t, 2*time.Hour)
				got := h.kinds()
				if a, b, ok := strings.Cut(got, ", "); ok && strings.HasPrefix(b, "sent") { // of one commit, in any order
					got = b + ", " + a
				}
				if got != c.events {
					t.Errorf("events %s, want %s", got, c.events)
				}
				if h.b.calls != c.tries || (len(h.b.bounces) == 1) != c.bounce || h.s.len() != 0 || len(k.dials) != 1 {
					t.Errorf("%d tries, %d bounces, %d left, %d connections", h.b.calls, len(h.b.bounces), h.s.len(), len(k.dials))
				}
				if c.bounce {
					whole := strings.Contains(h.b.bounces[0], "\r\n.dots\r\n")
					if whole != (c.rec.Return == "FULL") || strings.Contains(h.b.bounces[0], "Original-Envelope-Id: abc+\r\n") != (c.rec.EnvelopeID != "") {
						t.Error(h.b.bounces[0])
					}
				}
			})
		})
	}
}

func TestNoRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.w.dns["nowhere.example"] = route.ErrNoDomain
		h.w.dns["broken.example"] = errors.New("SERVFAIL")
		h.s.put(hello, ann, Record{}, "x@nowhere.example", "x@broken.example", "x@noaddress.example")
		h.run(t, time.Minute)
		if len(h.b.bounces) != 2 || h.s.len() != 1 {
			t.Fatalf("%d bounces, %d left: %s", len(h.b.bounces), h.s.len(), h.kinds())
		}
		if !strings.Contains(h.b.bounces[0]+h.b.bounces[1], "The domain nowhere.example does not exist.") {
			t.Error(h.b.bounces)
		}
		if !strings.Contains(h.b.bounces[0]+h.b.bounces[1], "Status: 5.4.4") {
			t.Error(h.b.bounces)
		}
	})
}

// TestOtherHosts goes from the first exchanger to the second where that can help.
func TestOtherHosts(t *testing.T) {
	var cut atomic.Bool
	for name, c := range map[string]struct {
		first  *sink
		second bool // takes the message in the first attempt
		events string
	}{
		"refused connection": {&sink{greeting: "refuse"}, true, "sent x@a.example"},
		"silent":             {&sink{greeting: "hang"}, true, "sent x@a.example"},
		"greeting 554":       {&sink{greeting: "554 go away"}, true, "sent x@a.example"},
		"greeting 521":       {&sink{greeting: "521 no mail here"}, true, "sent x@a.example"},
		"421 to MAIL":        {&sink{mail: func(string) string { return "421 closing" }}, true, "sent x@a.example"},
		"dropped at RCPT":    {&sink{rcpt: func(int, string) string { return "" }}, true, "sent x@a.example"},
		"451 to RCPT":        {&sink{rcpt: func(int, string) string { return "451 greylisted" }}, false, "deferred x@a.example"},
		"451 to DATA":        {&sink{data: func() string { return "451 busy" }}, false, "deferred x@a.example"},
		"550 to MAIL":        {&sink{mail: func(string) string { return "550 not from you" }}, false, "bounced x@a.example"},
		"552 to the body":    {&sink{end: func(taken) string { return "552 5.3.4 too big" }}, false, "bounced x@a.example"},
		"dropped at the end": {&sink{end: func(taken) string { return "" }}, false, "deferred x@a.example"},
		"silent at the end":  {&sink{end: func(taken) string { return "hang" }}, false, "deferred x@a.example"},
		"STARTTLS broken": {&sink{ehlo: "250-STARTTLS\r\n", starttls: func(c net.Conn) {
			cut.Store(true)
		}}, false, "deferred x@a.example"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse()
				h.w.sink("a.example", 10, c.first)
				second := h.w.sink("a.example", 20, &sink{})
				if name == "STARTTLS broken" { // the same host takes it without
					c.first.rcpt = func(int, string) string { return "451 reached in the clear" }
				}
				h.s.put(hello, ann, Record{}, "x@a.example")
				stop := h.start(t)
				time.Sleep(12 * time.Minute) // the longest of SMTP's own deadlines, and less than a second attempt
				synctest.Wait()
				if got := strings.Split(h.kinds(), ", ")[0]; got != c.events || (len(second.took()) == 1) != c.second {
					t.Errorf("%s, second server took %d", h.kinds(), len(second.took()))
				}
				stop()
			})
		})
	}
	if !cut.Load() {
		t.Error("STARTTLS was not tried")
	}
}

func TestRefusedByAllHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.w.sink("a.example", 10, &sink{greeting: "521 no"})
		h.w.sink("a.example", 20, &sink{greeting: "521 no"})
		h.w.sink("b.example", 10, &sink{greeting: "refuse"})
		h.w.sink("b.example", 20, &sink{greeting: "521 no"})
		h.s.put(hello, ann, Record{}, "x@a.example", "x@b.example")
		h.run(t, time.Minute)
		if len(h.b.bounces) != 1 || !strings.Contains(h.b.bounces[0], "x@a.example") || h.s.len() != 1 {
			t.Errorf("%s", h.kinds())
		}
	})
}

func TestTooManyRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.c.Limits.Recipients = 7
		k := h.w.sink("a.example", 10, &sink{ehlo: "250-PIPELINING\r\n", rcpt: func(n int, to string) string {
			switch {
			case to == "full@a.example":
				return "452 4.2.2 mailbox full"
			case n == 2:
				return "452 4.5.3 too many"
			}
			return "250 ok"
		}})
		var to []string
		for i := range 9 {
			to = append(to, fmt.Sprintf("u%d@a.example", i))
		}
		h.s.put(hello, ann, Record{}, append(to, "full@a.example")...)
		h.run(t, time.Minute)
		if h.s.len() != 1 || len(k.dials) != 2 {
			t.Errorf("%d left after %d connections: %s", h.s.len(), len(k.dials), h.kinds())
		}
		n := 0
		for _, m := range k.took() {
			n += len(m.to)
		}
		if n != 9 {
			t.Errorf("%d of 9 copies sent", n)
		}
	})
}

// TestDeadDestination has much mail for hosts that do not answer, and one
// message for a host that does.
func TestDeadDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		dead := h.w.sink("dead.example", 10, &sink{greeting: "hang"})
		good := h.w.sink("good.example", 10, &sink{})
		for i := range 200 {
			h.s.put(hello, ann, Record{}, fmt.Sprintf("u%d@dead.example", i))
		}
		h.s.put(hello, ann, Record{}, "x@good.example")
		stop := h.start(t)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(good.took()) != 1 {
			t.Error("the good host waits for the dead one")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(dead.dials); n > 40 {
			t.Errorf("%d connections to a dead host in an hour", n)
		}
		dead.greeting = "220 alive again"
		if err := h.Retry(context.Background(), 200); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if h.s.len() != 0 || len(dead.took()) != 200 {
			t.Errorf("%d left, %d taken", h.s.len(), len(dead.took()))
		}
		stop()
	})
}

// TestFlood has more mail for a dead host than is looked at first.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.w.sink("dead.example", 10, &sink{greeting: "hang"})
		good := h.w.sink("good.example", 10, &sink{})
		for range scanLimit + 100 {
			h.s.put(hello, ann, Record{}, "u@dead.example")
		}
		h.s.put(hello, ann, Record{}, "x@good.example")
		h.run(t, 2*time.Second)
		if len(good.took()) != 1 {
			t.Error("the good host waits for the dead one")
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.c.Limits = Limits{Total: 5, PerDestination: 2}
		var all gauge
		var each [4]gauge
		for i := range each {
			domain := fmt.Sprintf("d%d.example", i)
			h.w.sink(domain, 10, &sink{end: func(taken) string {
				all.add(1)
				each[i].add(1)
				time.Sleep(time.Second)
				each[i].add(-1)
				all.add(-1)
				return "250 ok"
			}})
			for j := range 10 {
				h.s.put(hello, ann, Record{}, fmt.Sprintf("u%d@%s", j, domain))
			}
		}
		h.run(t, 20*time.Second)
		if h.s.len() != 0 || all.most != 5 {
			t.Errorf("%d left, %d at a time", h.s.len(), all.most)
		}
		for i := range each {
			if each[i].most > 2 {
				t.Errorf("%d at a time for one destination", each[i].most)
			}
		}
	})
}

// gauge remembers the most there was at a time.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
}

// TestCommitFails has a store that fails after the other server took the
// message: the message is not sent again.
func TestCommitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.s.fail = func(n int) error {
			if n <= 8 {
				return store.ErrReadOnly
			}
			return nil
		}
		k := h.w.sink("a.example", 10, &sink{})
		h.s.put(hello, ann, Record{}, "x@a.example")
		h.run(t, time.Hour)
		if len(k.took()) != 1 || h.s.len() != 0 || h.s.commits != 9 {
			t.Errorf("taken %d times, %d left, %d commits", len(k.took()), h.s.len(), h.s.commits)
		}
	})
}

// TestCommitFailsAfterALongAttempt has a server that takes a recipient at a
// time and thinks long about each, until the attempt is ended, and a store that
// fails just then: what was taken is not sent again.
func TestCommitFailsAfterALongAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.s.fail = func(n int) error {
			if n == 1 {
				return store.ErrReadOnly
			}
			return nil
		}
		slow := func(reply string) string { time.Sleep(4 * time.Minute); return reply }
		k := h.w.sink("a.example", 10, &sink{
			mail: func(string) string { return slow("250 ok") },
			rcpt: func(n int, _ string) string {
				if n > 0 {
					return "452 4.5.3 one at a time"
				}
				return slow("250 ok")
			},
			end: func(taken) string { return slow(slow("250 ok")) },
		})
		var to []string
		for i := range 20 {
			to = append(to, fmt.Sprintf("u%d@a.example", i))
		}
		h.s.put(hello, ann, Record{}, to...)
		stop := h.start(t)
		time.Sleep(attemptLimit + time.Minute)
		got := k.took()
		if len(got) < 2 || h.s.len() != 20-len(got) {
			t.Errorf("%d taken, %d left", len(got), h.s.len())
		}
		stop()
		time.Sleep(time.Hour) // the server's last thoughts
	})
}

func TestStoreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.s.fail = func(int) error { return store.ErrClosed }
		h.w.sink("a.example", 10, &sink{})
		h.s.put(hello, ann, Record{}, "x@a.example")
		h.c.Store = closedStore{h.s}
		if err := New(h.c).Run(context.Background()); !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	})
}

type closedStore struct{ *memStore }

func (closedStore) QueueDue(context.Context, time.Time, int, func(store.QueueEntry) error) (time.Time, error) {
	return time.Time{}, store.ErrClosed
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		late := h.w.sink("late.example", 10, &sink{end: func(taken) string { time.Sleep(3 * time.Second); return "250 ok" }})
		h.w.sink("never.example", 10, &sink{end: func(taken) string { return "hang" }})
		h.s.put(hello, ann, Record{}, "x@late.example")
		h.s.put(hello, ann, Record{}, "x@never.example")
		stop := h.start(t)
		time.Sleep(time.Second)
		begin := time.Now()
		stop()
		if took := time.Since(begin); took != defaultGrace {
			t.Errorf("shutdown took %v", took)
		}
		if len(late.took()) != 1 || h.s.len() != 1 {
			t.Errorf("taken %d, left %d", len(late.took()), h.s.len())
		}
		left := h.s.entries[2]
		if left.Recipient != "x@never.example" || left.Attempts != 0 || left.Due.After(begin) {
			t.Errorf("what was cut off became %+v", left)
		}
	})
}

func TestUnreachable(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for want, err := range map[string]error{
		"connection refused": dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)),
		"no answer in time":  dial(os.NewSyscallError("connect", syscall.ETIMEDOUT)),
		"no route to host":   dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)),
		"something else":     errors.New("something else"),
	} {
		if got := unreachable(err); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
	if got := unreachable(dial(os.ErrDeadlineExceeded)); got != "no answer in time" {
		t.Error(got)
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.w.sink("a.example", 10, &sink{greeting: "refuse"})
		id := h.s.put(hello, ann, Record{}, "x@a.example")[0]
		h.run(t, time.Second)
		it, err := h.Get(context.Background(), id)
		if err != nil || it.Last == nil || !strings.HasSuffix(it.Last.Text, ": connection refused") {
			t.Errorf("the administrator reads %+v, %v", it.Last, err)
		}
	})
}

func TestTLSIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		named := false
		h.w.sink("a.example", 10, &sink{ehlo: "250-STARTTLS\r\n", starttls: func(c net.Conn) {
			_ = tls.Server(c, &tls.Config{GetCertificate: func(i *tls.ClientHelloInfo) (*tls.Certificate, error) {
				named = i.ServerName == "mx10.a.example"
				return nil, errors.New("no certificate here")
			}}).Handshake()
		}})
		h.s.put(hello, ann, Record{}, "x@a.example")
		h.run(t, 3*time.Minute)
		if !named {
			t.Error("no handshake with the host's name")
		}
		if h.kinds() != "sent x@a.example" {
			t.Error(h.kinds())
		}
	})
}
