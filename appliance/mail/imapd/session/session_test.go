package session

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// TestUIDs compares the list of runs with a plain one.
func TestUIDs(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for range 200 {
		var u UIDs
		var plain []store.UID
		next := store.UID(1)
		for range 60 {
			switch rnd.Intn(4) {
			case 0:
				var gone []store.UID
				for _, uid := range plain {
					if rnd.Intn(4) == 0 {
						gone = append(gone, uid)
					}
				}
				u.Remove(gone)
				plain = slices.DeleteFunc(plain, func(uid store.UID) bool { return slices.Contains(gone, uid) })
			default:
				next += store.UID(rnd.Intn(3))
				for range rnd.Intn(5) {
					u.Append(next)
					plain = append(plain, next)
					next++
				}
			}
			if int(u.Len()) != len(plain) {
				t.Fatalf("%d, want %d", u.Len(), len(plain))
			}
			for i, uid := range plain {
				if u.At(uint32(i+1)) != uid || u.Seq(uid) != uint32(i+1) || u.Upto(uid) != uint32(i+1) {
					t.Fatalf("number %d is %d, want %d", i+1, u.At(uint32(i+1)), uid)
				}
			}
			if u.Seq(next) != 0 || u.Upto(next) != u.Len() || len(plain) > 0 && u.Max() != plain[len(plain)-1] {
				t.Fatalf("the end is wrong: %v", plain)
			}
			lo, hi := 1+imap.UID(rnd.Intn(int(next))), 1+imap.UID(rnd.Intn(int(next)))
			set := Spans{{Start: min(lo, hi), Stop: max(lo, hi)}}
			want := slices.DeleteFunc(slices.Clone(plain), func(uid store.UID) bool { return !set.Contains(uid) })
			if got := u.within(set); !slices.Equal(got, want) {
				t.Fatalf("within %v: %v, want %v", set, got, want)
			}
		}
	}
	var last UIDs
	last.Append(^store.UID(0) - 1)
	last.Append(^store.UID(0))
	last.Remove([]store.UID{^store.UID(0)})
	if last.Len() != 1 || last.Max() != ^store.UID(0)-1 {
		t.Errorf("the highest UID does not go: %d", last.Max())
	}
}

func TestSpans(t *testing.T) {
	span := func(lo, hi imap.UID) imap.UIDRange { return imap.UIDRange{Start: lo, Stop: hi} }
	if got := normal(Spans{span(5, 9), span(1, 2), span(3, 3), span(8, 12), span(20, ^imap.UID(0)), span(30, 31)}); fmt.Sprint(got) != fmt.Sprint(Spans{span(1, 3), span(5, 12), span(20, ^imap.UID(0))}) {
		t.Errorf("normal: %v", got)
	}
	if got := (Spans{span(1, 5), span(7, 9)}).without([]store.UID{1, 3, 7, 8, 9}); fmt.Sprint(got) != fmt.Sprint(Spans{span(2, 2), span(4, 5)}) {
		t.Errorf("without: %v", got)
	}
	if got := intersect(Spans{span(1, 5), span(7, 9)}, Spans{span(4, 7), span(9, 20)}); fmt.Sprint(got) != fmt.Sprint(Spans{span(4, 5), span(7, 7), span(9, 9)}) {
		t.Errorf("intersect: %v", got)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "a/b", true}, {"%", "a", true}, {"%", "a/b", false}, {"%/%", "a/b", true},
		{"a*b", "a/x/b", true}, {"a%b", "a/b", false}, {"", "", true}, {"", "a", false}, {"INBOX", "INBOX", true},
		{"*%*%*", "abc", true}, {"a", "b", false}, {"%a", "ba", true}, {"ä*", "äö", true},
		{strings.Repeat("*a", 500), strings.Repeat("a", 3000) + "b", false},
	} {
		if got := Match(c.pattern, c.name); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

// TestLongPattern takes no time that one would notice: 100,000 names are looked
// at with a pattern as long as a command may be.
func TestLongPattern(t *testing.T) {
	for _, p := range []string{strings.Repeat("%a", 500_000), strings.Repeat("%*", 500_000) + "b"} {
		match := matcher("", []string{p})
		for n := range 100_000 {
			if match(fmt.Sprintf("%0200d", n)) {
				t.Fatal(n)
			}
		}
		if want := strings.HasSuffix(p, "b"); match("a/b") != want {
			t.Errorf("%.10s: a/b matches: %v", p, !want)
		}
	}
}

// TestVanishedOfNothing: in a mailbox that never held a message none vanished.
func TestVanishedOfNothing(t *testing.T) {
	s := &Selected{uidNext: 1}
	if got := s.missing(Spans{{Start: 0, Stop: 7}}); len(got) > 0 {
		t.Error(got)
	}
}

func TestRights(t *testing.T) {
	for in, want := range map[string]string{"": "", "lrs": "lrs", "aetxkpiwsrl": "lrswipkxtea", "c": "kx", "d": "te"} {
		if r, ok := ParseRights(in); !ok || r.String() != want {
			t.Errorf("%q is %q, want %q", in, r, want)
		}
	}
	for in, want := range map[string]string{"lrs": "lrs", "k": "kc", "te": "ted", "x": "xc"} {
		if r, _ := ParseRights(in); r.Shown() != want {
			t.Errorf("%q is shown as %q, want %q", in, r.Shown(), want)
		}
	}
	if _, ok := ParseRights("lz"); ok {
		t.Error("z is taken for a right")
	}
}

// TestThreadsLoseNothing threads messages that refer to each other in any way,
// to themselves and in circles: each comes out once.
func TestThreadsLoseNothing(t *testing.T) {
	for seed := range int64(500) {
		rnd := rand.New(rand.NewSource(seed))
		n := 1 + rnd.Intn(40)
		id := func() string { return fmt.Sprint(rnd.Intn(n)) }
		b := threader{ids: make(map[string]*Thread)}
		for uid := 1; uid <= n; uid++ {
			m := &Thread{
				UID: store.UID(uid), sent: rnd.Int63n(10),
				subject: []string{"", "a", "b"}[rnd.Intn(3)], reply: rnd.Intn(2) == 0,
			}
			var refs []string
			for range rnd.Intn(5) {
				refs = append(refs, id())
			}
			own := ""
			if rnd.Intn(5) > 0 {
				own = id()
			}
			b.add(m, own, refs)
		}
		var got []store.UID
		var walk func(*Thread, int)
		walk = func(m *Thread, depth int) {
			if depth > n+2 {
				t.Fatalf("seed %d: a circle", seed)
			}
			if m.UID != 0 {
				got = append(got, m.UID)
			} else if depth > 0 && len(m.Children) == 0 {
				t.Errorf("seed %d: an empty place", seed)
			}
			for _, c := range m.Children {
				walk(c, depth+1)
			}
		}
		for _, m := range b.references() {
			walk(m, 0)
		}
		slices.Sort(got)
		if len(got) != n || got[0] != 1 || got[n-1] != store.UID(n) || len(slices.Compact(got)) != n {
			t.Fatalf("seed %d: %v of %d", seed, got, n)
		}
	}
}

func TestIsReply(t *testing.T) {
	for subject, want := range map[string]bool{
		"hello": false, "Re: hello": true, "RE : x": true, "fwd: x": true, "Fw: x": true, "[list] re: x": true,
		"[list] x": false, "x (fwd)": true, "[Fwd: x]": true, "Re[2]: x": true, "rest: x": false, "": false,
	} {
		if isReply(subject) != want {
			t.Errorf("isReply(%q) is %v", subject, !want)
		}
	}
}
