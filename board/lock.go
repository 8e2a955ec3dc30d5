package board

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Locked is a package as it is pinned.
type Locked struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	SHA256  string `toml:"sha256"`
	// Via is the package whose dependency names this one, where the name itself
	// changes with versions, as the kernel's does.
	Via string `toml:"via,omitempty"`
}

// Lock is board/lock.toml.
type Lock struct {
	path     string
	Packages []Locked `toml:"package"`
}

// LoadLock reads the lock of the project at root.
func LoadLock(root string) (*Lock, error) {
	l := &Lock{path: filepath.Join(root, "board", "lock.toml")}
	raw, err := os.ReadFile(l.path)
	if os.IsNotExist(err) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if err := toml.Unmarshal(raw, l); err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, err)
	}
	return l, nil
}

// Unpinned gives a lock that holds nothing, for taking the newest of everything.
func (l *Lock) Unpinned() *Lock { return &Lock{path: l.path} }

// Merge pins everything that other pins and keeps the rest, which another
// board may need.
func (l *Lock) Merge(other *Lock) {
	for _, p := range other.Packages {
		l.Set(p)
	}
}

// find gives the pinned package for a wish: a name, or a name whose dependency is meant.
func (l *Lock) find(wish string) (Locked, bool) {
	for _, p := range l.Packages {
		if p.Name == wish && p.Via == "" || p.Via == wish {
			return p, true
		}
	}
	return Locked{}, false
}

// Set pins a package in place of what was pinned for the same wish.
func (l *Lock) Set(p Locked) {
	l.Packages = slices.DeleteFunc(l.Packages, func(q Locked) bool {
		return q.Name == p.Name || p.Via != "" && q.Via == p.Via
	})
	l.Packages = append(l.Packages, p)
	slices.SortFunc(l.Packages, func(a, b Locked) int { return strings.Compare(a.Name, b.Name) })
}

// Save writes the lock back.
func (l *Lock) Save() error {
	var b strings.Builder
	b.WriteString("# Packages of the images, pinned. Written by `mkimage -update-lock`.\n")
	for _, p := range l.Packages {
		fmt.Fprintf(&b, "\n[[package]]\nname = %q\nversion = %q\nsha256 = %q\n", p.Name, p.Version, p.SHA256)
		if p.Via != "" {
			fmt.Fprintf(&b, "via = %q\n", p.Via)
		}
	}
	return os.WriteFile(l.path, []byte(b.String()), 0o644)
}
