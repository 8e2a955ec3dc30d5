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

const imapRuns = 7 // of which the first warms up and is not counted

// benchIMAP compares one client's commands on a mailbox of real mail.
func benchIMAP(ctx context.Context, b *bench) error {
	size := 10000
	if b.quick {
		size = 2000
	}
	results := make([]map[string]time.Duration, 2)
	appends := make([]float64, 2)
	failures := make([]map[string]error, 2)
	for i, start := range []func(context.Context) (*server, error){b.startPeer, b.startPillarbox} {
		s, err := start(ctx)
		if err != nil {
			return err
		}
		results[i], failures[i] = map[string]time.Duration{}, map[string]error{}
		appends[i], err = timeIMAP(ctx, b, s, size, results[i], failures[i])
		if err := errors.Join(err, s.stop()); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.table.head(fmt.Sprintf("%d messages", size), "theirs ms", "ours ms", "theirs/ours")
	b.table.row("APPEND of all, messages/s", num(appends[0]), num(appends[1]), times(appends[1], appends[0]))
	for _, g := range imapGroups() {
		for _, st := range g {
			if st.name == "" {
				continue
			}
			cell := func(i int) string {
				if err := failures[i][st.name]; err != nil {
					return "failed"
				}
				return ms(results[i][st.name])
			}
			b.table.row(st.name, cell(0), cell(1), times(float64(results[0][st.name]), float64(results[1][st.name])))
		}
	}
	for i, who := range []string{"theirs", "ours"} {
		for name, err := range failures[i] {
			b.table.note("%s, %s: %v", who, name, err)
		}
	}
	return nil
}

func timeIMAP(ctx context.Context, b *bench, s *server, size int, into map[string]time.Duration, failed map[string]error) (appends float64, err error) {
	c, err := dialIMAP(s.imap, user(0))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	start := time.Now()
	for n := range size {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		msg := b.corpus.renamed(n)
		if _, err := c.cmd(fmt.Sprintf("APPEND INBOX {%d}", len(msg)), msg); err != nil {
			return 0, fmt.Errorf("APPEND of message %d: %w", n, err)
		}
	}
	appends = float64(size) / time.Since(start).Seconds()
	for _, line := range []string{"CREATE copied", "CREATE moved", "SELECT INBOX"} {
		if _, err := c.cmd(line); err != nil {
			return 0, fmt.Errorf("%s: %w", line, err)
		}
	}
	// A server may index in the background; what is timed here is a mailbox at rest.
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(settleTime):
	}
	for _, g := range imapGroups() {
		times := map[string][]time.Duration{}
	runs:
		for run := range imapRuns {
			for _, st := range g {
				start := time.Now()
				if _, err := c.cmd(st.line); err != nil {
					if !strings.HasPrefix(err.Error(), "answer") {
						return 0, fmt.Errorf("%s: %w", st.line, err)
					}
					failed[cmpName(st)] = err
					break runs
				}
				if run > 0 && st.name != "" {
					times[st.name] = append(times[st.name], time.Since(start))
				}
			}
		}
		for name, t := range times {
			slices.Sort(t)
			into[name] = t[len(t)/2]
		}
	}
	_, err = c.cmd("LOGOUT")
	return appends, err
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
