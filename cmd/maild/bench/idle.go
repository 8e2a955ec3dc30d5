package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	idleClients = 1000
	idleRounds  = 20
)

// benchIdle holds clients in IDLE over TLS, all of one person, and times how
// long it takes from sending a new message until the last of them knows of it.
// Client and server share the machine, so that the clients' own TLS is in it.
// What memory such clients take is a test of imapd's (TestIdleMemory): from
// outside it is not told from what the logins have left behind.
func benchIdle(ctx context.Context, b *bench) (err error) {
	clients := idleClients
	if b.quick {
		clients /= 10
	}
	s, err := b.startPillarbox(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	sender, err := dialIMAP(s.imap, user(0))
	if err != nil {
		return err
	}
	defer sender.Close()
	told := make(chan error, clients)
	for n := range clients {
		c, err := dialIdle(s.imaps, user(0))
		if err != nil {
			return fmt.Errorf("client %d: %w", n+1, err)
		}
		defer c.Close()
		go c.follow(told)
	}
	var took []time.Duration
	for n := range idleRounds {
		msg := b.corpus.renamed(n)
		start := time.Now()
		if _, err := sender.cmd(fmt.Sprintf("APPEND INBOX {%d}", len(msg)), msg); err != nil {
			return err
		}
		for range clients {
			select {
			case err := <-told:
				if err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.table.head(fmt.Sprintf("%d clients in IDLE, TLS", clients), "ours")
	b.table.row("message known to all, median ms", ms(took[len(took)/2]))
	b.table.row("message known to all, slowest ms", ms(took[len(took)-1]))
	return nil
}

// idleConn is a client in IDLE.
type idleConn struct {
	net.Conn
	r *bufio.Reader
}

func dialIdle(address, login string) (*idleConn, error) {
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // loopback, the server's own certificate
	if err != nil {
		return nil, err
	}
	c := &idleConn{conn, bufio.NewReaderSize(conn, 512)}
	if _, err := fmt.Fprintf(c, "a LOGIN %s %s\r\nb SELECT INBOX\r\nc IDLE\r\n", login, password); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.until("+ "); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// until reads to a line that has the prefix or, after a star, the word.
func (c *idleConn) until(mark string) error {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, mark) || strings.HasPrefix(line, "* ") && strings.HasSuffix(strings.TrimSpace(line), " "+mark) {
			return nil
		}
		if _, status, _ := strings.Cut(line, " "); strings.HasPrefix(status, "NO") || strings.HasPrefix(status, "BAD") || strings.HasPrefix(line, "* BYE") {
			return fmt.Errorf("answer %q", strings.TrimSpace(line))
		}
	}
}

// follow says each time when a new message is announced, and why it ends.
func (c *idleConn) follow(told chan<- error) {
	for {
		err := c.until("EXISTS")
		told <- err
		if err != nil {
			return
		}
	}
}
