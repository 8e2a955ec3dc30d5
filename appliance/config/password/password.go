// Package password checks how strong a password is and hashes it: argon2id
// (RFC 9106) in the PHC string form, as
//
//	$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH
//
// with salt and hash in base64 without padding. Cost grows by new defaults: a
// hash carries its own parameters, so old ones stay good, and Hash.Outdated
// says when to make a new one at the next login.
//
// Passwords are compared in Unicode form NFC, so that one typed on another
// keyboard is the same; beyond that every octet counts.
package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Cost of new hashes: the least memory among the recommendations in use today
// (19 MiB, two passes, one lane), because a small box with 2 GiB hashes
// several at once while mail flows.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	lanes   = 1
	saltLen = 16
	keyLen  = 32
)

// Bounds of the parameters taken from a given hash, so that no settings file
// can make one login cost a gigabyte or a minute.
const (
	maxMemory = 256 << 10 // KiB
	maxPasses = 16
	maxLanes  = 16
	maxField  = 64 // octets of salt or hash
)

// Lengths of passwords, in characters and in octets. Eight is the least that
// current guidance takes; the upper bound only keeps out mistakes.
const (
	minLength = 8
	maxOctets = 1024
)

// ErrHash is a string that is not an argon2id hash.
var ErrHash = errors.New("password: not an argon2id hash")

// Hash is a password's hash with its parameters.
type Hash struct {
	memory uint32 // KiB
	passes uint32
	lanes  uint8
	salt   []byte
	key    []byte
}

// New hashes a password with a fresh salt.
func New(password string) Hash {
	h := Hash{memory: memory, passes: passes, lanes: lanes, salt: make([]byte, saltLen)}
	rand.Read(h.salt) // never fails since Go 1.24
	h.key = h.derive(password, keyLen)
	return h
}

// Parse reads the PHC string form.
func Parse(s string) (Hash, error) {
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" || f[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return Hash{}, ErrHash
	}
	var h Hash
	if n, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); n != 3 || err != nil {
		return Hash{}, ErrHash
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(f[4])
	h.key, err2 = base64.RawStdEncoding.Strict().DecodeString(f[5])
	switch {
	case err1 != nil, err2 != nil,
		len(h.salt) < 8, len(h.salt) > maxField, len(h.key) < 16, len(h.key) > maxField,
		h.lanes < 1, h.lanes > maxLanes, h.passes < 1, h.passes > maxPasses,
		h.memory < 8*uint32(h.lanes), h.memory > maxMemory, h.String() != s:
		return Hash{}, ErrHash
	}
	return h, nil
}

// String is the PHC string form.
func (h Hash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes, b64(h.salt), b64(h.key))
}

// Matches reports whether password is the one that was hashed. It takes the
// same time whatever the answer.
func (h Hash) Matches(password string) bool {
	return subtle.ConstantTimeCompare(h.derive(password, uint32(len(h.key))), h.key) == 1
}

// Outdated reports whether h costs less than a new hash would.
func (h Hash) Outdated() bool {
	return h.memory < memory || h.passes < passes || len(h.key) < keyLen
}

func (h Hash) derive(password string, n uint32) []byte {
	return argon2.IDKey([]byte(Normal(password)), h.salt, h.passes, h.memory, h.lanes, n)
}

// Normal is the form in which passwords are hashed: NFC, as OpaqueString of
// RFC 8265 section 4.2 asks, with spaces that are not ASCII made ASCII.
func Normal(password string) string {
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}, password))
}

// Check reports what is too weak about a new password for login, a full
// address or a plain name. The text ends a sentence that begins with
// "password".
func Check(password, login string) error {
	switch {
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return errors.New("must be text without control characters")
	case utf8.RuneCountInString(password) < minLength:
		return fmt.Errorf("must have at least %d characters", minLength)
	case len(password) > maxOctets:
		return fmt.Errorf("must have at most %d characters", maxOctets)
	}
	lower := strings.ToLower(password)
	name, domain, _ := strings.Cut(strings.ToLower(login), "@")
	if lower == strings.ToLower(login) || lower == domain || name != "" && strings.Trim(lower, "0123456789!.-_") == name {
		return errors.New("must not be made of the name")
	}
	if isSimple(lower) {
		return errors.New("is one of the first that are guessed; take several words, or a line of a song")
	}
	return nil
}

// isSimple reports a run on the keyboard or in the alphabet, few different
// characters, or a word from the top of every list with digits around it.
func isSimple(lower string) bool {
	different := make(map[rune]bool)
	for _, r := range lower {
		different[r] = true
	}
	if len(different) < 4 {
		return true
	}
	const rows = "01234567890 abcdefghijklmnopqrstuvwxyz qwertyuiop qwertzuiop azertyuiop asdfghjkl yxcvbnm zxcvbnm"
	if strings.Contains(rows, lower) || strings.Contains(rows, reverse(lower)) {
		return true
	}
	switch strings.Trim(lower, "0123456789!?.@#$*-_ ") {
	case "", "password", "passwort", "passwd", "password1", "p@ssw0rd", "passw0rd", "p@ssword", "motdepasse", "contraseña",
		"qwerty", "qwertz", "azerty", "qwertyuiop", "qwertzuiop", "asdfghjkl", "iloveyou", "letmein", "welcome", "willkommen", "bienvenue",
		"admin", "administrator", "changeme", "secret", "geheim", "hallo", "hello", "monkey", "dragon", "football", "baseball", "sunshine",
		"princess", "master", "superman", "trustno", "pillarbox", "mailbox", "abc", "qwe", "a1b2c3d4":
		return true
	}
	return false
}

func reverse(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}
