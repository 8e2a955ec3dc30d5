//go:build vm

package vmtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox/cmd/qemu/nbd"
)

const (
	// cuts is how many power cuts are made unless PILLARBOX_SEEDS says more;
	// PILLARBOX_SEED is the first seed.
	cuts = 5

	// senders submit at a time, so that the committer packs several messages
	// into one transaction.
	senders = 4

	// warmUp is how many messages are through before the power may go.
	warmUp = 8

	// cutWithin bounds the disk operations from there to the cut: a few commits.
	cutWithin = 120

	// largestMail in bytes; most are much smaller.
	largestMail = 300 << 10
)

// TestPowerCut cuts the power of a box again and again while mail is being
// submitted. Each cut leaves on the disk what a drive may leave (package nbd).
// After each boot every message that was answered with 250 must be there, whole
// and once, nothing else but whole messages, and the store must check clean.
func TestPowerCut(t *testing.T) {
	first, n := number(t, "PILLARBOX_SEED", 1), number(t, "PILLARBOX_SEEDS", cuts)
	path := newDisk(t, provision)
	sent := &ledger{taken: make(map[string][32]byte), offered: make(map[string][32]byte)}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			b, disk := bootNBD(t, path)
			if seed > first {
				sent.compare(t, b)
				b.storeInOrder()
			}
			cutPower(t, b, disk, sent, uint64(seed))
		})
		if t.Failed() {
			return
		}
	}
	t.Run("in the end", func(t *testing.T) {
		b, _ := bootNBD(t, path)
		sent.compare(t, b)
		b.storeInOrder()
		// The box goes off in time and in order however busy it is.
		busy := submit(b, sent, uint64(first+n))
		busy.wait(t, warmUp)
		busy.ignore()
		b.pressButton()
		busy.end()
	})
}

func number(t *testing.T, env string, otherwise int) int {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}

// bootNBD boots from the disk in the file at path, with a write cache that a
// power cut loses.
func bootNBD(t *testing.T, path string) (*box, *nbd.Disk) {
	t.Helper()
	drive, disk := serveNBD(t, path)
	return boot(t, drive), disk
}

// serveNBD serves the disk in the file at path, and returns what vm.Config.Drive
// is to say of it.
func serveNBD(t *testing.T, path string) (drive string, disk *nbd.Disk) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	disk = nbd.NewDisk(f, st.Size())
	dir, err := os.MkdirTemp("", "nbd") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- nbd.Serve(ctx, l, disk, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return "file.driver=nbd,file.server.type=unix,file.server.path=" + socket + ",format=raw,cache=writeback", disk
}

// submission is people who submit mail without a pause.
type submission struct {
	taken chan struct{} // one for each message answered with 250; has to be received
	over  chan struct{}
	all   sync.WaitGroup
}

// submit begins a submission, of messages that seed picks.
func submit(b *box, sent *ledger, seed uint64) *submission {
	s := &submission{taken: make(chan struct{}), over: make(chan struct{})}
	for i := range senders {
		rng := rand.New(rand.NewPCG(seed, uint64(i)+1))
		s.all.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("s%d-%d-%d@cut.example", seed, i, n)
				text := letter(id, rng)
				sent.offer(id, text)
				// Errors are the point: a box that is going down does not answer.
				err := send(b.Addr(25), text)
				if err == nil {
					sent.take(id)
				}
				select {
				case <-s.over:
					return
				default:
				}
				if err == nil {
					s.taken <- struct{}{}
				}
			}
		})
	}
	return s
}

// wait waits until n more messages are taken.
func (s *submission) wait(t *testing.T, n int) {
	t.Helper()
	limit := time.After(bootLimit)
	for range n {
		select {
		case <-s.taken:
		case <-limit:
			t.Fatal("no message is taken any more")
		}
	}
}

// ignore lets the submission go on by itself.
func (s *submission) ignore() {
	go func() {
		for range s.taken { // until end
		}
	}()
}

// end ends a submission that is ignored, and waits for the messages under way.
func (s *submission) end() {
	close(s.over)
	s.all.Wait()
	close(s.taken)
}

// cutPower submits mail until the power goes at a moment that the seed picks.
func cutPower(t *testing.T, b *box, disk *nbd.Disk, sent *ledger, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	s := submit(b, sent, seed)
	s.wait(t, warmUp)
	gone := disk.Arm(1 + rng.IntN(cutWithin))
	s.ignore()
	select {
	case <-gone:
	case <-time.After(bootLimit):
		t.Error("the cut did not come")
	}
	// The box may still answer what it had committed, and it is dead then.
	if err := b.Kill(); err != nil {
		t.Error(err)
	}
	s.end()
	cut, err := disk.Settle(rng)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("power cut: %v; %d messages answered with 250 so far", cut, sent.count())
}

// letter makes a message of a size and content that rng picks.
func letter(id string, rng *rand.Rand) []byte {
	size := rng.IntN(4 << 10)
	if rng.IntN(5) == 0 {
		size = rng.IntN(largestMail)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Message-ID: <%s>\r\nFrom: cut@elsewhere.example\r\nTo: ann@example.org\r\nSubject: %s\r\n\r\n", id, id)
	for b.Len() < size {
		fmt.Fprintf(&b, "%016x%016x%016x\r\n", rng.Uint64(), rng.Uint64(), rng.Uint64())
	}
	b.WriteString("end\r\n")
	return b.Bytes()
}

// send submits a message; no error means 250.
func send(addr string, text []byte) error {
	conn, err := net.DialTimeout("tcp", addr, clientLimit)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(clientLimit)); err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		return err
	}
	if err := c.Mail("cut@elsewhere.example"); err != nil {
		return err
	}
	if err := c.Rcpt("ann@example.org"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.Close()
}

// ledger keeps what was offered to the box and what it took.
type ledger struct {
	mu             sync.Mutex
	offered, taken map[string][32]byte
}

func (l *ledger) offer(id string, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offered[id] = sha256.Sum256(text)
}

func (l *ledger) take(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken[id] = l.offered[id]
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.taken)
}

// compare reads ann's mailbox and holds it against the ledger.
func (l *ledger) compare(t *testing.T, b *box) {
	t.Helper()
	c, err := dialIMAP(b.Addr(993), "ann@example.org", annPassword)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	list, err := c.messages("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for _, text := range list {
		// What the box puts on top ends where the message begins.
		_, body, found := strings.Cut(text, "Message-ID: <")
		id, _, _ := strings.Cut(body, ">")
		want, known := l.offered[id]
		switch {
		case !found || !known:
			t.Errorf("a message that nobody sent: %.200q", text)
		case sha256.Sum256([]byte("Message-ID: <"+body)) != want:
			t.Errorf("%s is not whole", id)
		}
		seen[id]++
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
	lost := 0
	for id := range l.taken {
		if seen[id] == 0 {
			t.Errorf("%s was answered with 250 and is lost", id)
			lost++
		}
	}
	t.Logf("%d messages there, %d answered with 250, %d of them lost", len(list), len(l.taken), lost)
}
