package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

func plain(login, pass string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + login + "\x00" + pass))
}

// load is one run of messages into a server.
type load struct {
	size, conns, messages int
	mode                  smtpMode
	address               string
}

// outcome is what a load gave.
type outcome struct {
	accepted, delivered float64       // messages a second
	cpu                 time.Duration // of the server, a message
}

// deliverTime bounds the wait for the last message to arrive in its mailbox.
const deliverTime = 5 * time.Minute

func (s *server) run(ctx context.Context, c *corpus, l load) (outcome, error) {
	msgs := make([][]byte, min(l.messages, 200))
	for i := range msgs {
		msgs[i] = c.sized(i, l.size)
	}
	before := 0
	if s.delivered != nil {
		var err error
		if before, err = s.delivered(); err != nil {
			return outcome{}, err
		}
	}
	cpu0, err := s.cpu()
	if err != nil {
		return outcome{}, err
	}
	start := time.Now()
	if err := l.send(ctx, msgs); err != nil {
		return outcome{}, err
	}
	accepted := time.Since(start)
	delivered := accepted
	if s.delivered != nil {
		for {
			n, err := s.delivered()
			if err != nil {
				return outcome{}, err
			}
			if delivered = time.Since(start); n-before >= l.messages {
				break
			}
			if delivered > deliverTime {
				return outcome{}, fmt.Errorf("%d of %d messages delivered after %v", n-before, l.messages, delivered)
			}
			select {
			case <-ctx.Done():
				return outcome{}, ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	cpu1, err := s.cpu()
	if err != nil {
		return outcome{}, err
	}
	n := float64(l.messages)
	return outcome{n / accepted.Seconds(), n / delivered.Seconds(), (cpu1 - cpu0) / time.Duration(l.messages)}, nil
}

// send hands all messages in over l.conns workers.
func (l load) send(ctx context.Context, msgs [][]byte) error {
	var (
		next atomic.Int64
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range l.conns {
		wg.Go(func() {
			if err := l.worker(ctx, &next, msgs); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (l load) worker(ctx context.Context, next *atomic.Int64, msgs [][]byte) error {
	var conn *smtpConn
	for ctx.Err() == nil {
		n := int(next.Add(1)) - 1
		if n >= l.messages {
			break
		}
		if conn == nil {
			var err error
			if conn, err = dialSMTP(l.address, l.mode); err != nil {
				return err
			}
		}
		from := "sender@elsewhere.example"
		if l.mode.login != "" {
			from = l.mode.login
		}
		if err := conn.send(from, user(n), msgs[n%len(msgs)]); err != nil {
			return errors.Join(err, conn.Close())
		}
		if !l.mode.keepOpen {
			if err := conn.quit(); err != nil {
				return err
			}
			conn = nil
		}
	}
	if conn != nil {
		return conn.quit()
	}
	return nil
}

// benchSMTP compares deliveries over port 25.
func benchSMTP(ctx context.Context, b *bench) error {
	type key struct {
		size, conns int
		keep        bool
	}
	type side struct {
		start func(context.Context) (*server, error)
		into  map[key]outcome
	}
	ours, theirs := map[key]outcome{}, map[key]outcome{}
	sides := []side{{b.startPeer, theirs}, {b.startPillarbox, ours}}
	if b.alone {
		sides = sides[1:]
	}
	for _, side := range sides {
		s, err := side.start(ctx)
		if err != nil {
			return err
		}
		for _, kib := range b.sizes {
			size := kib << 10
			for _, conns := range b.conns {
				for _, keep := range []bool{false, true} {
					l := load{size: size, conns: conns, messages: b.messages(conns, size), mode: smtpMode{keepOpen: keep}, address: s.smtp}
					o, err := s.run(ctx, b.corpus, l)
					if err != nil {
						return errors.Join(fmt.Errorf("%s, %d bytes, %d connections: %w", s.name, size, conns, err), s.stop())
					}
					side.into[key{size, conns, keep}] = o
				}
			}
		}
		if err := s.stop(); err != nil {
			return err
		}
	}
	b.table.head("message, connections", "theirs accepted/s", "theirs delivered/s", "ours delivered/s", "ratio", "their CPU ms", "our CPU ms", "CPU ratio")
	for _, kib := range b.sizes {
		for _, keep := range []bool{false, true} {
			for _, conns := range b.conns {
				k := key{kib << 10, conns, keep}
				t, o := theirs[k], ours[k]
				how := "one each"
				if keep {
					how = "kept open"
				}
				b.table.row(fmt.Sprintf("%d KiB, %d, %s", kib, conns, how),
					num(t.accepted), num(t.delivered), num(o.delivered), times(o.delivered, t.delivered),
					ms(t.cpu), ms(o.cpu), times(float64(o.cpu), float64(t.cpu)))
			}
		}
	}
	return nil
}

// benchSubmission shows what TLS and AUTH cost on our side.
func benchSubmission(ctx context.Context, b *bench) error {
	s, err := b.startPillarbox(ctx)
	if err != nil {
		return err
	}
	b.table.head("4 KiB, 50 connections", "delivered/s", "CPU ms")
	for _, c := range []struct {
		name string
		addr string
		mode smtpMode
	}{
		{"port 25, one each", s.smtp, smtpMode{}},
		{"port 25, kept open", s.smtp, smtpMode{keepOpen: true}},
		{"465 TLS and AUTH, one each", s.submission, smtpMode{implicitTLS: true, login: user(0)}},
		{"465 TLS and AUTH, kept open", s.submission, smtpMode{implicitTLS: true, login: user(0), keepOpen: true}},
	} {
		o, err := s.run(ctx, b.corpus, load{size: 4 << 10, conns: 50, messages: b.messages(50, 4<<10), mode: c.mode, address: c.addr})
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", c.name, err), s.stop())
		}
		b.table.row(c.name, num(o.delivered), ms(o.cpu))
	}
	return s.stop()
}

// messages is how many a load sends: enough for seconds of work, bounded.
func (b *bench) messages(conns, size int) int {
	n := 3000
	if size > 64<<10 {
		n = 1000
	}
	if conns == 1 {
		n /= 3
	}
	if b.quick {
		n /= 10
	}
	return n
}

func num(v float64) string { return fmt.Sprintf("%.0f", v) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

func times(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fx", a/b)
}
