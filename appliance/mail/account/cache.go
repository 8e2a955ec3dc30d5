package account

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// cacheFor is how long a verified password is remembered. Mail clients that
	// poll do so every few minutes and with several connections at once.
	cacheFor = 10 * time.Minute
	// cacheSize bounds the entries: some 300 KiB.
	cacheSize = 4096
)

// cache remembers which passwords were verified of late, so that a client that
// logs in every few seconds does not cost an argon2id hash each time.
//
// Why that is safe:
//
//   - An entry is an HMAC-SHA256 over login, stored hash and password, under a
//     key made at start that never leaves the process. The cache is in memory
//     alone. Who can read that memory finds the passwords of logins under way
//     there as well.
//   - Only success is remembered. A wrong password costs the full hash and
//     counts as a failure every time; the limits of guard are asked before the
//     cache is.
//   - The stored hash is part of the entry, so a changed password ends it at
//     once, on every path that changes one. Whether the person may log in at
//     all is asked after the cache, every time.
//   - The quick answer tells a prober only what the answer itself says: the
//     password is right.
type cache struct {
	secret []byte
	now    func() time.Time

	mu      sync.Mutex
	entries map[[sha256.Size]byte]time.Time // until when
}

func newCache(now func() time.Time) *cache {
	c := &cache{secret: make([]byte, 32), now: now, entries: make(map[[sha256.Size]byte]time.Time)}
	rand.Read(c.secret) // never fails since Go 1.24
	return c
}

// entry is the name of a verified login. No part may contain a NUL but the
// last, so that two different logins have different entries.
func (c *cache) entry(login, hash, password string) [sha256.Size]byte {
	return [sha256.Size]byte(mac(c.secret, login, "\x00", hash, "\x00", password))
}

func (c *cache) has(e [sha256.Size]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.entries[e]
	return ok && c.now().Before(until)
}

func (c *cache) add(e [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if len(c.entries) >= cacheSize {
		for k, until := range c.entries {
			if !now.Before(until) {
				delete(c.entries, k)
			}
		}
	}
	for k := range c.entries { // still full: any will do, it only costs a hash
		if len(c.entries) < cacheSize {
			break
		}
		delete(c.entries, k)
	}
	c.entries[e] = now.Add(cacheFor)
}
