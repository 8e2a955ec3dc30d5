package sessions

import "sync"

// Counter counts what each of many has open, up to a limit: the sessions of a
// person. The zero value counts none. It is safe for concurrent use, and must
// not be copied.
type Counter[K comparable] struct {
	mu   sync.Mutex
	open map[K]int
}

// Enter counts one more of k, unless it has limit of them.
func (c *Counter[K]) Enter(k K, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[k] >= limit {
		return false
	}
	if c.open == nil {
		c.open = make(map[K]int)
	}
	c.open[k]++
	return true
}

// Leave takes back one Enter of k.
func (c *Counter[K]) Leave(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[k]--; c.open[k] == 0 {
		delete(c.open, k)
	}
}
