package imapd

import (
	"fmt"
	"math/rand"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// follower is a client that believes what it is told and nothing else: its
// view is made of untagged responses alone.
type follower struct {
	t       *testing.T
	b       *bench
	c       *client
	rnd     *rand.Rand
	qresync bool
	notify  bool

	uidValidity, highest int // of the SELECT, and the last that was told

	uids  []int          // by number; 0: not asked for yet
	flags map[int]string // by UID, sorted
	modsq map[int]int64
}

var (
	existsLine  = regexp.MustCompile(`^\* (\d+) EXISTS$`)
	expungeLine = regexp.MustCompile(`^\* (\d+) EXPUNGE$`)
	goneLine    = regexp.MustCompile(`^\* VANISHED (\S+)$`)
	fetchLine   = regexp.MustCompile(`^\* (\d+) FETCH \((.*)\)$`)
	uidItem     = regexp.MustCompile(`\bUID (\d+)`)
	flagsItem   = regexp.MustCompile(`\bFLAGS \(([^)]*)\)`)
	modseqItem  = regexp.MustCompile(`\bMODSEQ \((\d+)\)`)
	earlierLine = regexp.MustCompile(`^\* VANISHED \(EARLIER\) (\S+)$`)
	stateCode   = regexp.MustCompile(`\[(UIDVALIDITY|HIGHESTMODSEQ) (\d+)\]`)
)

// fail stops this client; Fatal is for the test's own goroutine.
type followerError struct{ error }

func (f *follower) fail(format string, args ...any) {
	panic(followerError{fmt.Errorf(format, args...)})
}

func (f *follower) num(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		f.fail("%v", err)
	}
	return n
}

// take follows one line. still says that no number may change.
func (f *follower) take(line string, still bool) {
	f.code(line)
	if m := existsLine.FindStringSubmatch(line); m != nil {
		n := f.num(m[1])
		if n < len(f.uids) {
			f.fail("%s, but there were %d", line, len(f.uids))
		}
		for len(f.uids) < n {
			f.uids = append(f.uids, 0)
		}
	}
	if m := expungeLine.FindStringSubmatch(line); m != nil {
		n := f.num(m[1])
		switch {
		case still:
			f.fail("%s within a command that works with numbers", line)
		case f.qresync:
			f.fail("%s in spite of QRESYNC", line)
		case n < 1 || n > len(f.uids):
			f.fail("%s, but there are %d", line, len(f.uids))
		}
		delete(f.flags, f.uids[n-1])
		f.uids = slices.Delete(f.uids, n-1, n)
	}
	if m := goneLine.FindStringSubmatch(line); m != nil {
		if still || !f.qresync {
			f.fail("%s at the wrong time", line)
		}
		f.vanish(m[1])
	}
	if m := fetchLine.FindStringSubmatch(line); m != nil {
		f.fetched(line, f.num(m[1]), m[2])
	}
}

// code notes the state the server tells in a response code.
func (f *follower) code(line string) {
	m := stateCode.FindStringSubmatch(line)
	switch {
	case m == nil:
	case m[1] == "UIDVALIDITY":
		f.uidValidity = f.num(m[2])
	case f.num(m[2]) < f.highest:
		f.fail("%s, but it was %d", line, f.highest)
	default:
		f.highest = f.num(m[2])
	}
}

func (f *follower) vanish(set string) {
	for _, uid := range uidsOf(set, f.num) {
		// One that went before its UID was told is a place without UID
		// between its neighbours.
		i := 0
		for j, have := range f.uids {
			if have == uid {
				i = j
				break
			}
			if have != 0 && have < uid {
				i = j + 1
			}
		}
		if i == len(f.uids) || f.uids[i] != 0 && f.uids[i] != uid {
			f.fail("VANISHED %s: UID %d is not in the view", set, uid)
		}
		f.uids = slices.Delete(f.uids, i, i+1)
		delete(f.flags, uid)
	}
}

func (f *follower) fetched(line string, n int, items string) {
	if n < 1 || n > len(f.uids) {
		f.fail("%s, but there are %d", line, len(f.uids))
	}
	if m := uidItem.FindStringSubmatch(items); m != nil {
		uid := f.num(m[1])
		switch {
		case f.uids[n-1] == 0:
			f.uids[n-1] = uid
		case f.uids[n-1] != uid:
			f.fail("%s, but number %d is UID %d", line, n, f.uids[n-1])
		}
	}
	uid := f.uids[n-1]
	if uid == 0 {
		return
	}
	if m := modseqItem.FindStringSubmatch(items); m != nil {
		ms, _ := strconv.ParseInt(m[1], 10, 64)
		if ms < f.modsq[uid] {
			f.fail("%s, but its mod-sequence was %d", line, f.modsq[uid])
		}
		f.modsq[uid] = ms
	}
	if m := flagsItem.FindStringSubmatch(items); m != nil {
		words := slices.DeleteFunc(strings.Fields(m[1]), func(s string) bool { return s == `\Recent` })
		sort.Strings(words)
		f.flags[uid] = strings.Join(words, " ")
	}
}

// do sends a command and follows its responses.
func (f *follower) do(still bool, format string, args ...any) string {
	lines := f.c.command(fmt.Sprintf(format, args...))
	for _, l := range lines[:len(lines)-1] {
		f.take(l, still)
	}
	last := lines[len(lines)-1]
	f.take(last, still)
	if !acceptable.MatchString(last) {
		f.fail("%s: %s", fmt.Sprintf(format, args...), last)
	}
	return last
}

// acceptable is how a command may end among others that change the same
// messages and mailbox names.
var acceptable = regexp.MustCompile(` OK|\[(EXPUNGEISSUED|NONEXISTENT|TRYCREATE|ALREADYEXISTS)\b|The message is gone`)

// learn asks for what the view lacks. It must be right after each command:
// messages that came may go again.
func (f *follower) learn() {
	for {
		i := slices.Index(f.uids, 0)
		if i < 0 {
			return
		}
		before := len(f.uids)
		f.do(true, "FETCH %d:%d (UID FLAGS)", i+1, before)
		// A message that went meanwhile has no answer; after a NOOP it has no
		// number either, but under VANISHED its UID must be known.
		if slices.Contains(f.uids[:before], 0) && !f.qresync {
			f.do(false, "NOOP")
		}
		if f.qresync {
			return
		}
	}
}

func (f *follower) begin() {
	f.c.login("ann@example.org")
	if f.qresync {
		f.do(false, "ENABLE QRESYNC")
	}
	if f.notify {
		f.do(false, "NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge FlagChange MailboxName))")
	}
	f.do(false, "SELECT INBOX")
	f.learn()
}

// comeBack drops the connection and takes up on a new one where it was (RFC
// 7162 section 3.2.5).
func (f *follower) comeBack() {
	if slices.Contains(f.uids, 0) || len(f.uids) == 0 {
		return
	}
	f.c.nc.Close()
	f.c = f.b.dial()
	f.c.login("ann@example.org")
	f.do(false, "ENABLE QRESYNC")
	known := make([]string, len(f.uids))
	for i, uid := range f.uids {
		known[i] = strconv.Itoa(uid)
	}
	lines := f.c.command(fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d %s))", f.uidValidity, f.highest, strings.Join(known, ",")))
	for _, l := range lines {
		if m := earlierLine.FindStringSubmatch(l); m != nil {
			gone := uidsOf(m[1], f.num)
			f.uids = slices.DeleteFunc(f.uids, func(uid int) bool { return slices.Contains(gone, uid) })
		}
	}
	for _, l := range lines {
		f.take(l, false)
	}
	f.learn()
}

// uidsOf lists the UIDs of a set.
func uidsOf(set string, num func(string) int) (uids []int) {
	for r := range strings.SplitSeq(set, ",") {
		lo, hi, ranged := strings.Cut(r, ":")
		if !ranged {
			hi = lo
		}
		for uid := num(lo); uid <= num(hi); uid++ {
			uids = append(uids, uid)
		}
	}
	return uids
}

// step does one thing at random.
func (f *follower) step() {
	some := func() int { return 1 + f.rnd.Intn(len(f.uids)) }
	flag := []string{`\Seen`, `\Flagged`, `\Answered`, `$One`, `$Two`}[f.rnd.Intn(5)]
	op := []string{"+", "-", ""}[f.rnd.Intn(3)]
	switch k := f.rnd.Intn(26); {
	case k < 3 || len(f.uids) < 5:
		f.do(false, "APPEND INBOX (%s) {6+}\r\na: b\r\n", flag)
	case k < 8:
		a, b := some(), some()
		f.do(true, "STORE %d:%d %sFLAGS (%s)", min(a, b), min(max(a, b), min(a, b)+5), op, flag)
	case k < 10:
		if uid := f.uids[some()-1]; uid != 0 {
			f.do(false, "UID STORE %d %sFLAGS (%s)", uid, op, flag)
		}
	case k < 12:
		f.do(true, `STORE %d +FLAGS (\Deleted)`, some())
	case k < 13:
		f.do(false, "EXPUNGE")
	case k < 14:
		if uid := f.uids[some()-1]; uid != 0 {
			f.do(false, `UID STORE %d +FLAGS (\Deleted)`, uid)
			f.do(false, "UID EXPUNGE %d", uid)
		}
	case k < 16:
		f.do(true, "FETCH %d (UID FLAGS)", some())
	case k < 17:
		f.do(true, "SEARCH UNSEEN")
	case k < 18:
		f.idle()
	case k < 20:
		f.do(false, "%s %d Aside", []string{"COPY", "MOVE"}[f.rnd.Intn(2)], some())
	case k < 21:
		if uid := f.uids[some()-1]; uid != 0 {
			f.do(false, "UID MOVE %d %s", uid, []string{"Aside", "INBOX"}[f.rnd.Intn(2)])
		}
	case k < 22:
		f.do(false, "REPLACE %d INBOX (%s) {6+}\r\na: c\r\n", some(), flag)
	case k < 23:
		f.do(false, "RENAME Aside Apart")
		f.do(false, "RENAME Apart Aside")
	case k < 24 && f.qresync:
		f.comeBack()
	default:
		f.do(false, "NOOP")
	}
	f.learn()
}

// idle listens until something is told, or for a moment.
func (f *follower) idle() {
	f.c.send("i IDLE\r\n")
	done := time.AfterFunc(time.Duration(f.rnd.Intn(20))*time.Millisecond, func() { f.c.send("DONE\r\n") })
	defer done.Stop()
	for {
		l := f.c.line()
		if strings.HasPrefix(l, "i ") {
			return
		}
		f.take(l, false)
	}
}

// TestFollowers lets many clients change one mailbox at once. Each knows what
// it was told; when all is quiet, each must know what is there.
func TestFollowers(t *testing.T) {
	const clients, steps = 50, 25
	b := newBench(t, nil)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	b.load("ann@example.org", "INBOX", "From x\r\na: b\r\n")
	first := b.dial()
	first.login("ann@example.org")
	first.ok("CREATE Aside")
	for range 9 {
		b.load("ann@example.org", "INBOX", "From x\r\na: b\r\n")
	}
	all := make([]*follower, clients)
	for i := range all {
		all[i] = &follower{
			t: t, b: b, c: b.dial(), rnd: rand.New(rand.NewSource(seed + int64(i))), qresync: i%5 == 0, notify: i%4 == 1,
			flags: map[int]string{}, modsq: map[int]int64{},
		}
	}
	each := func(do func(*follower)) {
		var wg sync.WaitGroup
		for i, f := range all {
			wg.Go(func() {
				defer func() {
					if p := recover(); p != nil {
						t.Errorf("client %d: %v", i, p)
					}
				}()
				do(f)
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	each((*follower).begin)
	each(func(f *follower) {
		for range steps {
			f.step()
		}
	})
	each(func(f *follower) {
		f.do(false, "NOOP")
		f.learn()
		f.do(false, "NOOP")
	})
	truth := &follower{t: t, c: b.dial(), flags: map[int]string{}, modsq: map[int]int64{}}
	truth.begin()
	for i, f := range all {
		if !slices.Equal(f.uids, truth.uids) {
			t.Errorf("client %d has %v, there is %v", i, f.uids, truth.uids)
		}
		for _, uid := range truth.uids {
			if f.flags[uid] != truth.flags[uid] {
				t.Errorf("client %d: UID %d has %q, it believes %q", i, uid, truth.flags[uid], f.flags[uid])
			}
		}
	}
}
