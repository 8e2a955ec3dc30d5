package queue

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/mail/route"
	"pillarbox/appliance/store/store"
)

// memStore is the queue's part of a store, in memory and with failures to order.
type memStore struct {
	mu      sync.Mutex
	entries map[store.QueueID]store.QueueEntry
	bodies  map[store.BlobID]string
	docs    []store.DocOp
	last    store.QueueID
	commits int
	fail    func(commit int) error // of Deliver
}

func newMemStore() *memStore {
	return &memStore{entries: map[store.QueueID]store.QueueEntry{}, bodies: map[store.BlobID]string{}}
}

// put queues a message for recipients.
func (s *memStore) put(body, sender string, rec Record, recipients ...string) (ids []store.QueueID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	blob := store.BlobID(len(s.bodies) + 1)
	s.bodies[blob] = body
	for _, r := range recipients {
		s.last++
		s.entries[s.last] = store.QueueEntry{ID: s.last, Blob: blob, Size: int64(len(body)), Sender: sender, Recipient: r,
			Created: time.Now(), Due: time.Now(), Data: rec.Encode()}
		ids = append(ids, s.last)
	}
	return ids
}

func (s *memStore) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

func (s *memStore) sorted(less func(a, b store.QueueEntry) int) []store.QueueEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []store.QueueEntry
	for _, e := range s.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, less)
	return all
}

func (s *memStore) QueueDue(_ context.Context, now time.Time, limit int, fn func(store.QueueEntry) error) (time.Time, error) {
	for i, e := range s.sorted(func(a, b store.QueueEntry) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
	}) {
		if e.Due.After(now) || i == limit {
			return e.Due, nil
		}
		if err := fn(e); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, nil
}

func (s *memStore) QueueList(_ context.Context, after store.QueueID, fn func(store.QueueEntry) error) error {
	for _, e := range s.sorted(func(a, b store.QueueEntry) int { return cmp.Compare(a.ID, b.ID) }) {
		if e.ID > after {
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *memStore) QueueGet(_ context.Context, id store.QueueID) (store.QueueEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[id]
	if !ok {
		return e, store.ErrNotFound
	}
	return e, nil
}

type memBody struct{ *bytes.Reader }

func (memBody) Close() error { return nil }

func (s *memStore) OpenBody(_ context.Context, id store.BlobID) (store.Body, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.bodies[id]
	if !ok {
		return nil, store.ErrNotFound
	}
	return memBody{bytes.NewReader([]byte(b))}, nil
}

func (s *memStore) Deliver(_ context.Context, d store.Delivery) (store.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits++
	if s.fail != nil {
		if err := s.fail(s.commits); err != nil {
			return store.Receipt{}, err
		}
	}
	for _, c := range d.Changes {
		old, ok := s.entries[c.ID]
		switch {
		case !ok:
		case c.Entry == nil:
			delete(s.entries, c.ID)
		default:
			e := *c.Entry
			e.ID, e.Blob, e.Size, e.Created = c.ID, old.Blob, old.Size, old.Created
			s.entries[c.ID] = e
		}
	}
	s.docs = append(s.docs, d.Docs...)
	return store.Receipt{}, nil
}

// bouncer keeps bounces in the memStore's commits.
type bouncer struct {
	s       *memStore
	mu      sync.Mutex
	errs    []error // of the first calls
	calls   int
	bounces []string // "to\n" and the message
}

func (b *bouncer) Bounce(ctx context.Context, to string, message io.Reader, changes []store.QueueChange, docs []store.DocOp) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls++; b.calls <= len(b.errs) && b.errs[b.calls-1] != nil {
		return b.errs[b.calls-1]
	}
	text, err := io.ReadAll(message)
	if err != nil {
		return err
	}
	if _, err := b.s.Deliver(ctx, store.Delivery{Changes: changes, Docs: docs}); err != nil {
		return err
	}
	b.bounces = append(b.bounces, to+"\n"+string(text))
	return nil
}

type refusal struct{ temporary bool }

func (r refusal) Error() string   { return "refused" }
func (r refusal) Temporary() bool { return r.temporary }

// taken is a message a sink took.
type taken struct {
	at   time.Time
	from string
	to   []string
	body string
}

// sink is a server. Its functions answer with a reply line; "" closes the
// connection, "hang" says nothing more. Nil functions take everything.
type sink struct {
	ehlo     string // lines after the first, each ended by "\r\n"
	greeting string
	starttls func(conn net.Conn)
	mail     func(from string) string
	rcpt     func(n int, to string) string // n recipients taken before
	data     func() string
	end      func(taken) string

	mu    sync.Mutex
	dials []time.Time
	got   []taken
}

func (k *sink) took() []taken {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.got)
}

func (k *sink) serve(conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	say := func(s string) bool {
		switch s {
		case "":
			return false
		case "hang":
			_, _ = io.Copy(io.Discard, br)
			return false
		}
		_, err := io.WriteString(conn, s+"\r\n")
		return err == nil
	}
	if !say(cmp.Or(k.greeting, "220 sink")) {
		return
	}
	var t taken
	open := false // a MAIL was taken
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, _, _ := strings.Cut(line, " ")
		reply := "250 ok"
		switch verb {
		case "EHLO":
			if k.ehlo != "" {
				reply = "250-sink\r\n" + k.ehlo + "250 HELP"
			}
		case "STARTTLS":
			say("220 go")
			if k.starttls != nil {
				k.starttls(conn)
			}
			return
		case "MAIL":
			t = taken{from: path(line)}
			if k.mail != nil {
				reply = k.mail(t.from)
			}
			open = strings.HasPrefix(reply, "250")
		case "RCPT":
			switch {
			case !open:
				reply = "503 5.5.1 MAIL first"
			case k.rcpt != nil:
				reply = k.rcpt(len(t.to), path(line))
			}
			if strings.HasPrefix(reply, "250") {
				t.to = append(t.to, path(line))
			}
		case "DATA":
			reply = "354 go"
			switch {
			case len(t.to) == 0:
				reply = "554 5.5.1 nobody to take it for"
			case k.data != nil:
				reply = k.data()
			}
			if !say(reply) {
				return
			}
			if reply != "354 go" {
				continue
			}
			var b strings.Builder
			for {
				l, err := br.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(l, "."))
			}
			t.body, t.at = b.String(), time.Now()
			reply = "250 2.0.0 taken"
			if k.end != nil {
				reply = k.end(t)
			}
			if strings.HasPrefix(reply, "250") {
				k.mu.Lock()
				k.got = append(k.got, t)
				k.mu.Unlock()
			}
		case "QUIT":
			say("221 bye")
			return
		}
		if !say(reply) {
			return
		}
	}
}

func path(line string) string {
	return line[strings.IndexByte(line, '<')+1 : strings.IndexByte(line, '>')]
}

// world is a network of sinks: the host mx.DOMAIN has the address of the
// sink of that name, and is the exchanger of DOMAIN.
type world struct {
	mu    sync.Mutex
	sinks map[string]*sink // by host
	mx    map[string][]route.MX
	dns   map[string]error
}

func newWorld() *world {
	return &world{sinks: map[string]*sink{}, mx: map[string][]route.MX{}, dns: map[string]error{}}
}

// sink adds a server that is the exchanger of a domain, with a preference.
func (w *world) sink(domain string, preference uint16, k *sink) *sink {
	host := fmt.Sprintf("mx%d.%s", preference, domain)
	w.sinks[host] = k
	w.mx[domain] = append(w.mx[domain], route.MX{Preference: preference, Host: host})
	return k
}

func (w *world) LookupMX(_ context.Context, domain string) ([]route.MX, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.dns[domain]; err != nil {
		return nil, err
	}
	return w.mx[domain], nil
}

// LookupAddr gives each host the address whose last bytes are its place in the alphabet.
func (w *world) LookupAddr(_ context.Context, host string) ([]netip.Addr, error) {
	i := slices.Index(w.hosts(), host)
	if i < 0 {
		return nil, route.ErrNoDomain
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}, nil
}

func (w *world) hosts() []string {
	var hosts []string
	for h := range w.sinks {
		hosts = append(hosts, h)
	}
	slices.Sort(hosts)
	return hosts
}

func (w *world) dial(_ context.Context, _, address string) (net.Conn, error) {
	ap := netip.MustParseAddrPort(address)
	k := w.sinks[w.hosts()[ap.Addr().As4()[3]]]
	k.mu.Lock()
	k.dials = append(k.dials, time.Now())
	k.mu.Unlock()
	if k.greeting == "refuse" {
		return nil, errors.New("connection refused")
	}
	client, server := net.Pipe()
	go k.serve(server)
	return client, nil
}

// house is a queue in its world, for one test.
type house struct {
	*Queue
	s      *memStore
	b      *bouncer
	w      *world
	mu     sync.Mutex
	events []Event
	c      Config
}

func newHouse() *house {
	h := &house{s: newMemStore(), w: newWorld()}
	h.b = &bouncer{s: h.s}
	h.c = Config{
		Store: h.s, Bouncer: h.b, Dial: h.w.dial,
		Router:   route.New(route.Config{Resolver: h.w, Hostname: func() string { return "box.example.org" }}),
		Hostname: func() string { return "box.example.org" },
		Events: func(e Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		},
	}
	return h
}

// start runs the queue until the function it gives is called.
func (h *house) start(t *testing.T) (stop func()) {
	t.Helper()
	h.Queue = New(h.c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error("Run:", err)
		}
		h.Queue.mu.Lock()
		defer h.Queue.mu.Unlock()
		if len(h.busy) != 0 || h.running != 0 {
			t.Errorf("%d entries busy, %d attempts running after the end", len(h.busy), h.running)
		}
	}
}

// run runs the queue for a time.
func (h *house) run(t *testing.T, d time.Duration) {
	t.Helper()
	stop := h.start(t)
	time.Sleep(d)
	synctest.Wait()
	stop()
}

func (h *house) kinds() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var s []string
	for _, e := range h.events {
		s = append(s, fmt.Sprintf("%s %s", e.Kind, e.Recipient))
	}
	return strings.Join(s, ", ")
}

const hello = "Return-Path: <ann@example.org>\r\nReceived: by box\r\nSubject: hello\r\nMessage-ID: <m@example.org>\r\n\r\n.dots\r\n"
