//go:build vm

package vmtest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// imapReader is as much of an IMAP client as a test needs that reads thousands
// of messages and must not depend on what it tests.
type imapReader struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int
}

// dialIMAP logs in over TLS.
func dialIMAP(addr, user, password string) (*imapReader, error) {
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: clientLimit}, Config: &tls.Config{InsecureSkipVerify: true}} // the box made its certificate itself
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &imapReader{conn: conn, r: bufio.NewReader(conn)}
	if err := conn.SetDeadline(time.Now().Add(bootLimit)); err != nil {
		return nil, err
	}
	if _, err := c.r.ReadString('\n'); err != nil {
		return nil, err
	}
	if _, err := c.command(fmt.Sprintf("LOGIN %q %q", user, password)); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// command gives a command and returns the literals of the answer.
func (c *imapReader) command(command string) (literals []string, err error) {
	c.tag++
	tag := fmt.Sprintf("t%d ", c.tag)
	if _, err := io.WriteString(c.conn, tag+command+"\r\n"); err != nil {
		return nil, err
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("%.20s: %w", command, err)
		}
		line = strings.TrimRight(line, "\r\n")
		if open := strings.LastIndexByte(line, '{'); open >= 0 && strings.HasSuffix(line, "}") {
			n, err := strconv.Atoi(line[open+1 : len(line)-1])
			if err != nil {
				return nil, fmt.Errorf("%.20s: %w", command, err)
			}
			b := make([]byte, n)
			if _, err := io.ReadFull(c.r, b); err != nil {
				return nil, fmt.Errorf("%.20s: %w", command, err)
			}
			literals = append(literals, string(b))
			continue
		}
		if answer, ok := strings.CutPrefix(line, tag); ok {
			if !strings.HasPrefix(answer, "OK") {
				return nil, fmt.Errorf("%.20s: %s", command, answer)
			}
			return literals, nil
		}
	}
}

// messages returns all messages of a mailbox.
func (c *imapReader) messages(mailbox string) ([]string, error) {
	if _, err := c.command(fmt.Sprintf("EXAMINE %q", mailbox)); err != nil {
		return nil, err
	}
	return c.command("UID FETCH 1:* BODY.PEEK[]")
}

func (c *imapReader) close() { c.conn.Close() }
