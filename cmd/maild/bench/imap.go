package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// imapConn is the plainest IMAP client: it sends a command and reads to its
// tagged answer without looking at what comes between, so that the time is the server's.
type imapConn struct {
	net.Conn
	r   *bufio.Reader
	tag int
}

func dialIMAP(address, login string) (*imapConn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &imapConn{Conn: conn, r: bufio.NewReaderSize(conn, 256<<10)}
	if _, err := c.r.ReadString('\n'); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if _, err := c.cmd(fmt.Sprintf("LOGIN %s %s", login, password)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// cmd runs a command and tells how many bytes came back; literals follow its lines.
func (c *imapConn) cmd(line string, literals ...[]byte) (int, error) {
	c.tag++
	tag := "b" + strconv.Itoa(c.tag)
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	if _, err := fmt.Fprintf(c, "%s %s\r\n", tag, line); err != nil {
		return 0, err
	}
	for _, lit := range literals {
		if first, err := c.r.Peek(1); err != nil || first[0] != '+' {
			break // refused: the tagged answer says why
		}
		if _, err := c.r.ReadString('\n'); err != nil {
			return 0, err
		}
		if _, err := (&net.Buffers{lit, []byte("\r\n")}).WriteTo(c.Conn); err != nil {
			return 0, err
		}
	}
	total := 0
	for {
		line, err := c.r.ReadSlice('\n')
		total += len(line)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return total, err
		}
		if n := literalSize(line); n > 0 {
			if _, err := c.r.Discard(n); err != nil {
				return total, err
			}
			total += n
			continue
		}
		if rest, ok := bytes.CutPrefix(line, []byte(tag+" ")); ok {
			if !bytes.HasPrefix(rest, []byte("OK")) {
				return total, fmt.Errorf("answer %q", bytes.TrimSpace(rest))
			}
			return total, nil
		}
	}
}

// literalSize is n where the line ends in {n}.
func literalSize(line []byte) int {
	line = bytes.TrimRight(line, "\r\n")
	if len(line) == 0 || line[len(line)-1] != '}' {
		return 0
	}
	i := bytes.LastIndexByte(line, '{')
	if i < 0 {
		return 0
	}
	n, err := strconv.Atoi(string(line[i+1 : len(line)-1]))
	if err != nil {
		return 0
	}
	return n
}

// imapStep is a command to be timed. Steps of a group run in order, so that
// each finds what the one before has left.
type imapStep struct {
	name string // "" is not timed
	line string
}

const thunderbirdHeaders = "BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)]"

func imapGroups() [][]imapStep {
	return [][]imapStep{
		{{name: "SELECT", line: "SELECT INBOX"}},
		{{name: "FETCH 1:* FLAGS", line: "FETCH 1:* FLAGS"}},
		{{name: "FETCH envelope, structure, size", line: "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE)"}},
		{{name: "FETCH Thunderbird's headers", line: "UID FETCH 1:* (UID RFC822.SIZE FLAGS " + thunderbirdHeaders + ")"}},
		{{name: "FETCH BODY.PEEK[] of all", line: "FETCH 1:* BODY.PEEK[]"}},
		{{name: "STORE on 1,000", line: `STORE 1:1000 +FLAGS.SILENT (\Flagged)`}, {line: `STORE 1:1000 -FLAGS.SILENT (\Flagged)`}},
		{{name: "SEARCH UNSEEN", line: "SEARCH UNSEEN"}},
		{{name: "SEARCH FROM", line: `SEARCH FROM "linux"`}},
		{{name: "SEARCH SUBJECT", line: `SEARCH SUBJECT "linux"`}},
		{{name: "SEARCH BODY", line: `SEARCH BODY "kernel"`}},
		{{name: "SEARCH TEXT", line: `SEARCH TEXT "kernel"`}},
		{{name: "SEARCH BODY, absent word", line: `SEARCH BODY "zyxqvwj"`}},
		{{name: "SORT (REVERSE DATE)", line: "SORT (REVERSE DATE) UTF-8 ALL"}},
		{{name: "SORT (SUBJECT)", line: "SORT (SUBJECT) UTF-8 ALL"}},
		{{name: "THREAD REFERENCES", line: "THREAD REFERENCES UTF-8 ALL"}},
		{
			{name: "COPY of 1,000", line: "COPY 1:1000 copied"},
			{line: "SELECT copied"},
			{name: "MOVE of 1,000", line: "MOVE 1:1000 moved"},
			{line: "SELECT moved"},
			{line: `STORE 1:1000 +FLAGS.SILENT (\Deleted)`},
			{name: "EXPUNGE of 1,000", line: "EXPUNGE"},
			{line: "SELECT INBOX"},
		},
	}
}

const imapRuns = 9 // of which the first warms up and is not counted

// imapSubject is a server in the comparison: its connection and what was measured of it.
type imapSubject struct {
	*imapConn
	server  *server
	appends float64 // a second
	times   map[string][]time.Duration
	failed  map[string]error
}

// benchIMAP compares one client's commands on a mailbox of real mail. Both
// servers run throughout and take turns with each command, so that what else
// the machine does hits them alike.
func benchIMAP(ctx context.Context, b *bench) (err error) {
	size := 10000
	if b.quick {
		size = 2000
	}
	subjects := make([]*imapSubject, 2)
	// Ours is filled first: what it does in the background it can do while
	// theirs is filled.
	for _, i := range []int{1, 0} {
		start := []func(context.Context) (*server, error){b.startPeer, b.startPillarbox}[i]
		s, e := start(ctx)
		if e != nil {
			return e
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		subjects[i], err = fillIMAP(ctx, b, s, size)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		defer subjects[i].Close()
	}
	// What is timed here is a mailbox at rest.
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settleTime):
	}
	theirs, ours := subjects[0], subjects[1]
	b.table.head(fmt.Sprintf("%d messages", size), "theirs ms", "ours ms", "theirs/ours")
	b.table.row("APPEND of all, messages/s", num(theirs.appends), num(ours.appends), times(ours.appends, theirs.appends))
	for _, g := range imapGroups() {
		for run := range imapRuns {
			for _, s := range subjects {
				if err := s.timeGroup(g, run > 0); err != nil {
					return fmt.Errorf("%s: %w", s.server.name, err)
				}
			}
		}
		for _, st := range g {
			if st.name == "" {
				continue
			}
			cell := func(s *imapSubject) string {
				if s.failed[st.name] != nil {
					return "failed"
				}
				return ms(s.median(st.name))
			}
			b.table.row(st.name, cell(theirs), cell(ours), times(float64(theirs.median(st.name)), float64(ours.median(st.name))))
		}
	}
	for _, s := range subjects {
		for name, err := range s.failed {
			b.table.note("%s, %s: %v", s.server.name, name, err)
		}
	}
	return nil
}

// fillIMAP appends the messages to a new mailbox and selects it.
func fillIMAP(ctx context.Context, b *bench, s *server, size int) (*imapSubject, error) {
	c, err := dialIMAP(s.imap, user(0))
	if err != nil {
		return nil, err
	}
	start := time.Now()
	for n := range size {
		if err := ctx.Err(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		msg := b.corpus.renamed(n)
		if _, err := c.cmd(fmt.Sprintf("APPEND INBOX {%d}", len(msg)), msg); err != nil {
			return nil, errors.Join(fmt.Errorf("APPEND of message %d: %w", n, err), c.Close())
		}
	}
	appends := float64(size) / time.Since(start).Seconds()
	for _, line := range []string{"CREATE copied", "CREATE moved", "SELECT INBOX"} {
		if _, err := c.cmd(line); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", line, err), c.Close())
		}
	}
	return &imapSubject{c, s, appends, map[string][]time.Duration{}, map[string]error{}}, nil
}

// timeGroup runs the commands of a group once. A command that the server
// refuses is noted and its group not tried again.
func (s *imapSubject) timeGroup(g []imapStep, count bool) error {
	for _, st := range g {
		if s.failed[cmpName(st)] != nil {
			return nil
		}
		start := time.Now()
		if _, err := s.cmd(st.line); err != nil {
			if !strings.HasPrefix(err.Error(), "answer") {
				return fmt.Errorf("%s: %w", st.line, err)
			}
			s.failed[cmpName(st)] = err
			return nil
		}
		if count && st.name != "" {
			s.times[st.name] = append(s.times[st.name], time.Since(start))
		}
	}
	return nil
}

// median of the times of a step; 0 where there are none.
func (s *imapSubject) median(step string) time.Duration {
	t := s.times[step]
	if len(t) == 0 {
		return 0
	}
	slices.Sort(t)
	return t[len(t)/2]
}

// settleTime is the rest between filling a mailbox and timing it.
const settleTime = 5 * time.Second

func cmpName(st imapStep) string {
	if st.name != "" {
		return st.name
	}
	return st.line
}

// renamed is the nth message of the corpus, going round, with a Message-ID of its own.
func (c *corpus) renamed(n int) []byte {
	msg := c.messages[n%len(c.messages)]
	if n < len(c.messages) {
		return msg
	}
	var out bytes.Buffer
	header := true
	for line := range bytes.Lines(msg) {
		if header && len(bytes.TrimSpace(line)) == 0 {
			header = false
		}
		if header && len(line) > 11 && strings.EqualFold(string(line[:11]), "message-id:") {
			fmt.Fprintf(&out, "Message-ID: <round-%d@bench.example>\r\n", n)
			continue
		}
		out.Write(line)
	}
	return out.Bytes()
}
