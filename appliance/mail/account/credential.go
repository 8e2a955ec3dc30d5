package account

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"

	"github.com/xdg-go/stringprep"

	"pillarbox/appliance/config/password"
)

// scramIterations is the cost of SCRAM keys. RFC 7677 section 4 asks for 4096
// at least; this is what a phone computes in a tenth of a second. Whoever
// steals the store guesses against these keys rather than against argon2id, so
// it is not chosen lower.
const scramIterations = 50_000

// credential is a password as it is kept.
type credential struct {
	Password string     // argon2id in PHC form
	SCRAM    *ScramKeys `json:",omitempty"` // nil where only a hash was given, until the next login
}

// ScramKeys are what a server keeps for SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677).
type ScramKeys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// newScramKeys derives the keys of a password; salt is nil for a new one. A
// password that SASLprep refuses (RFC 4013, unassigned code points) is taken as
// it is, as clients do.
func newScramKeys(pw string, salt []byte) (*ScramKeys, error) {
	if prepared, err := stringprep.SASLprep.Prepare(pw); err == nil {
		pw = prepared
	}
	if salt == nil {
		salt = make([]byte, 16)
		rand.Read(salt) // never fails since Go 1.24
	}
	k := &ScramKeys{Salt: salt, Iterations: scramIterations}
	salted, err := pbkdf2.Key(sha256.New, pw, k.Salt, k.Iterations, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("account: SCRAM keys: %w", err)
	}
	client := mac(salted, "Client Key")
	stored := sha256.Sum256(client)
	k.StoredKey, k.ServerKey = stored[:], mac(salted, "Server Key")
	return k, nil
}

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// ErrBusy is a login that came while too many others were being checked.
var ErrBusy = errors.New("account: too many logins at once")

const (
	// maxHashing is how many passwords are hashed at a time, at most one a
	// core: each takes 19 MiB and all of a core for some 30 ms.
	maxHashing = 4
	// maxWaiting bounds those that wait for their turn: at 30 ms each, the
	// last one has its answer in half a second a core.
	maxWaiting = 64
)

// hasher hashes and verifies passwords, a few at a time.
type hasher struct {
	running chan struct{}
	waiting chan struct{}
	nobody  password.Hash // stands in for the hash of a user who does not exist
}

func newHasher() *hasher {
	n := min(maxHashing, runtime.GOMAXPROCS(0))
	nobody := make([]byte, 16)
	rand.Read(nobody)
	return &hasher{
		running: make(chan struct{}, n), waiting: make(chan struct{}, maxWaiting),
		nobody: password.New(string(nobody)),
	}
}

// enter waits for a turn. queue tells whether there is a limit to the wait.
func (h *hasher) enter(ctx context.Context, limited bool) error {
	if limited {
		select {
		case h.waiting <- struct{}{}:
			defer func() { <-h.waiting }()
		default:
			return ErrBusy
		}
	}
	select {
	case h.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hasher) leave() { <-h.running }

// make turns a new password into a credential. salt is the one for SCRAM that
// the person's other passwords have, nil for a new one.
func (h *hasher) make(ctx context.Context, pw string, salt []byte) (credential, error) {
	if err := h.enter(ctx, false); err != nil {
		return credential{}, err
	}
	defer h.leave()
	scram, err := newScramKeys(pw, salt)
	return credential{Password: password.New(pw).String(), SCRAM: scram}, err
}

// matches verifies a password against a credential; nil stands for a user who
// does not exist, takes the same time and never matches.
func (h *hasher) matches(ctx context.Context, c *credential, pw string) (bool, error) {
	hash := h.nobody
	if c != nil {
		var err error
		if hash, err = password.Parse(c.Password); err != nil {
			return false, fmt.Errorf("account: %w", err)
		}
	}
	if err := h.enter(ctx, true); err != nil {
		return false, err
	}
	defer h.leave()
	return hash.Matches(pw) && c != nil, nil
}

// outdated reports whether the next login should make the credential anew.
func (c *credential) outdated() bool {
	hash, err := password.Parse(c.Password)
	return c.SCRAM == nil || err == nil && hash.Outdated()
}
