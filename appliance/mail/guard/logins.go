package guard

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// How failed logins are slowed down.
const (
	// freeFailures are the failures without consequences: people mistype, and
	// a phone with an old password tries on its own.
	freeFailures = 5
	// firstWait is the wait after the first failure beyond those; it doubles
	// with each further one.
	firstWait = time.Second
	// maxWaitAddress ends the doubling for an address: at one try each
	// quarter of an hour guessing is hopeless.
	maxWaitAddress = 15 * time.Minute
	// maxWaitAccount ends it for an account. It is short, so that strangers
	// cannot lock a person out for long.
	maxWaitAccount = time.Minute
	// forgetAfter is the time without failures after which all is forgiven.
	forgetAfter = 24 * time.Hour
	// trustFor is how long an address that logged in to an account is let
	// past the account's wait, so that an attack from elsewhere does not
	// disturb the owner.
	trustFor = 30 * 24 * time.Hour
	// maxEntries bounds each table: some 2 MiB in all. When one is full, the
	// entries that are over go first, then any.
	maxEntries = 8192
	// maxLogin is the longest login name told apart, in bytes.
	maxLogin = 128
)

// Logins counts failed logins by peer address and by account, and says who
// has to wait. It is safe for concurrent use.
type Logins struct {
	now func() time.Time

	mu        sync.Mutex
	addresses map[netip.Addr]failures
	accounts  map[string]failures
	trusted   map[pair]time.Time // until when
}

type failures struct {
	count int
	last  time.Time
}

type pair struct {
	address netip.Addr
	login   string
}

// NewLogins makes an empty table; clock is time.Now where nil.
func NewLogins(clock func() time.Time) *Logins {
	if clock == nil {
		clock = time.Now
	}
	return &Logins{
		now:       clock,
		addresses: make(map[netip.Addr]failures),
		accounts:  make(map[string]failures),
		trusted:   make(map[pair]time.Time),
	}
}

// Allowed reports whether remote may try to log in as login now, and if not,
// how long it has to wait. It is asked before the password is looked at, so
// that guesses while waiting learn nothing and cost nothing.
func (l *Logins) Allowed(remote netip.Addr, login string) (wait time.Duration, ok bool) {
	remote, login = network(remote), canonicalLogin(login)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if remote.IsValid() {
		wait = l.addresses[remote].wait(now, maxWaitAddress)
	}
	if !l.trusted[pair{remote, login}].After(now) {
		wait = max(wait, l.accounts[login].wait(now, maxWaitAccount))
	}
	return wait, wait == 0
}

// Failed counts a login with a wrong name or password.
func (l *Logins) Failed(remote netip.Addr, login string) {
	remote, login = network(remote), canonicalLogin(login)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if remote.IsValid() {
		makeRoom(l.addresses, func(f failures) bool { return f.over(now) })
		l.addresses[remote] = l.addresses[remote].add(now)
	}
	makeRoom(l.accounts, func(f failures) bool { return f.over(now) })
	l.accounts[login] = l.accounts[login].add(now)
}

// Succeeded notes a login with the right password. It clears the account's
// failures, but only halves those of the address: otherwise one account of
// the attacker's own would reset the count between guesses at others.
func (l *Logins) Succeeded(remote netip.Addr, login string) {
	remote, login = network(remote), canonicalLogin(login)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	delete(l.accounts, login)
	if !remote.IsValid() {
		return
	}
	if f, ok := l.addresses[remote]; ok {
		if f.count /= 2; f.count == 0 {
			delete(l.addresses, remote)
		} else {
			l.addresses[remote] = f
		}
	}
	makeRoom(l.trusted, func(until time.Time) bool { return !until.After(now) })
	l.trusted[pair{remote, login}] = now.Add(trustFor)
}

func (f failures) over(now time.Time) bool { return now.Sub(f.last) >= forgetAfter }

func (f failures) add(now time.Time) failures {
	if f.over(now) {
		f.count = 0
	}
	return failures{count: f.count + 1, last: now}
}

// wait is the time left until the next try.
func (f failures) wait(now time.Time, longest time.Duration) time.Duration {
	if f.count <= freeFailures || f.over(now) {
		return 0
	}
	wait := longest
	if shift := f.count - freeFailures - 1; shift < 16 { // beyond, the shift alone exceeds any longest
		wait = min(longest, firstWait<<shift)
	}
	return max(0, wait-now.Sub(f.last))
}

// makeRoom keeps a table within maxEntries before one more is added.
func makeRoom[K comparable, V any](table map[K]V, over func(V) bool) {
	if len(table) < maxEntries {
		return
	}
	for k, v := range table {
		if over(v) {
			delete(table, k)
		}
	}
	for k := range table { // in no order, which an attacker cannot steer either
		if len(table) < maxEntries*7/8 {
			break
		}
		delete(table, k)
	}
}

func canonicalLogin(login string) string {
	if len(login) > maxLogin {
		login = login[:maxLogin]
	}
	return strings.ToLower(login)
}
