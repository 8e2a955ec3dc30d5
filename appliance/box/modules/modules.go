// Package modules loads the kernel modules that the machine's hardware asks
// for, and a few that nothing asks for.
//
// Each device in sysfs states what it is in a modalias. Coldplug collects those
// of all devices, loads the modules whose alias patterns fit, and looks again,
// since a driver brings new devices (a disk behind a controller), until a round
// brings nothing new. Devices that come later are given to Device one by one.
//
// Modules are loaded by u-root's kmodule with what modules.dep says they need;
// soft dependencies (modules.softdep) and aliases are ours. A module is tried
// once. That one refuses to load is normal (many fit a device by alias and find
// it is not theirs) and never an error of the whole.
package modules

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/u-root/u-root/pkg/kmodule"
	"golang.org/x/sync/errgroup"
)

const (
	// settle is the time a round is given for new devices to appear in sysfs.
	settle = 50 * time.Millisecond

	// quietRounds without a new modalias end a coldplug. Two, since a
	// controller may take a moment longer to show its devices.
	quietRounds = 2

	// maxRounds bounds a coldplug whatever the devices do; honest machines
	// need two to six.
	maxRounds = 40
)

// Prober loads one module, by name, with those it depends on. That it is there
// already is no error.
type Prober interface {
	Probe(name, params string) error
}

// Loader loads modules. Its methods may be called from several goroutines.
type Loader struct {
	index  *Index
	soft   map[string]softdep
	known  map[string]bool // names in modules.dep and modules.builtin
	prober Prober
	log    *slog.Logger

	mu    sync.Mutex
	tried map[string]bool // by canonical module name
	seen  map[string]bool // modaliases
	count int             // loaded, without dependencies
}

type softdep struct{ pre, post []string }

// Open returns a loader for the modules of the kernel of that release under
// root, which is "/" but for tests.
func Open(root, release string, log *slog.Logger) (*Loader, error) {
	prober, err := kmodule.NewProber(kmodule.ProbeOpts{RootDir: root, KVer: release})
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	return open(filepath.Join(root, "lib/modules", release), prober, log)
}

func open(dir string, prober Prober, log *slog.Logger) (*Loader, error) {
	l := &Loader{
		prober: prober,
		log:    log,
		known:  map[string]bool{},
		soft:   map[string]softdep{},
		tried:  map[string]bool{},
		seen:   map[string]bool{},
	}
	err := readFile(filepath.Join(dir, "modules.alias"), func(r io.Reader) (err error) {
		l.index, err = ReadIndex(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"modules.dep", "modules.builtin"} {
		err := readFile(filepath.Join(dir, name), l.readNames)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	err = readFile(filepath.Join(dir, "modules.softdep"), l.readSoftdeps)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return l, nil
}

func readFile(path string, read func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("kernel modules: %w", err)
	}
	defer f.Close()
	return read(f)
}

// readNames reads the module names of modules.dep or modules.builtin.
func (l *Loader) readNames(r io.Reader) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20) // a line lists all dependencies
	for sc.Scan() {
		path, _, _ := strings.Cut(sc.Text(), ":")
		name, _, ok := strings.Cut(filepath.Base(path), ".ko")
		if ok {
			l.known[canonical(name)] = true
		}
	}
	return sc.Err()
}

// readSoftdeps reads lines of "softdep MODULE [pre: NAME...] [post: NAME...]".
func (l *Loader) readSoftdeps(r io.Reader) error {
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 2 || f[0] != "softdep" {
			continue
		}
		name := canonical(f[1])
		d := l.soft[name]
		list := &d.pre
		for _, w := range f[2:] {
			switch w {
			case "pre:":
				list = &d.pre
			case "post:":
				list = &d.post
			default:
				*list = append(*list, w)
			}
		}
		l.soft[name] = d
	}
	return sc.Err()
}

// canonical makes the two spellings of a module's name one.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// Load loads modules by name or alias, with their soft dependencies. Names
// that do not exist are told in the error, all of them; the rest is loaded.
func (l *Loader) Load(names ...string) error {
	var errs []error
	for _, name := range names {
		if err := l.load(name, nil); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ReadList reads the names in a file of names, one a line, # for comments.
func ReadList(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		names = append(names, strings.Fields(line)...)
	}
	return names, nil
}

// load loads what name stands for. within are the names whose soft
// dependencies led here.
func (l *Loader) load(name string, within []string) error {
	if slices.Contains(within, name) {
		return nil // soft dependencies may go in circles
	}
	if l.known[canonical(name)] {
		return l.loadModule(canonical(name), append(within, name))
	}
	list := l.index.Modules(name)
	if len(list) == 0 {
		return fmt.Errorf("there is no kernel module %s", name)
	}
	var errs []error
	for _, m := range list {
		errs = append(errs, l.loadModule(canonical(m), append(within, name)))
	}
	return errors.Join(errs...)
}

func (l *Loader) loadModule(name string, within []string) error {
	l.mu.Lock()
	tried := l.tried[name]
	l.tried[name] = true
	l.mu.Unlock()
	if tried {
		return nil
	}
	soft := l.soft[name]
	for _, pre := range soft.pre {
		if err := l.load(pre, within); err != nil {
			l.log.Debug("soft dependency", "module", name, "error", err)
		}
	}
	if err := l.prober.Probe(name, ""); err != nil {
		l.log.Info("module does not load", "module", name, "error", err)
		return fmt.Errorf("load %s: %w", name, err)
	}
	l.mu.Lock()
	l.count++
	l.mu.Unlock()
	for _, post := range soft.post {
		if err := l.load(post, within); err != nil {
			l.log.Debug("soft dependency", "module", name, "error", err)
		}
	}
	return nil
}

// Device loads the modules for one device. It returns false when that modalias
// was seen before.
func (l *Loader) Device(modalias string) (fresh bool) {
	l.mu.Lock()
	fresh = !l.seen[modalias]
	l.seen[modalias] = true
	l.mu.Unlock()
	if !fresh {
		return false
	}
	for _, m := range l.index.Modules(modalias) {
		// An alias may name a module that the image leaves out.
		if l.known[canonical(m)] {
			l.loadModule(canonical(m), nil)
		}
	}
	return true
}

// Coldplug loads the modules for all devices under sys, which is "/sys" but
// for tests, until no new devices appear. It returns how many modules it
// loaded, their dependencies not counted.
func (l *Loader) Coldplug(ctx context.Context, sys string) int {
	l.mu.Lock()
	before := l.count
	l.mu.Unlock()
	quiet := 0
	for round := 0; quiet < quietRounds && round < maxRounds && ctx.Err() == nil; round++ {
		if l.round(sys) {
			quiet = 0
		} else {
			quiet++
		}
		select {
		case <-time.After(settle):
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count - before
}

// round loads the modules of the devices there are now and reports whether any
// of them was new.
func (l *Loader) round(sys string) bool {
	var g errgroup.Group
	g.SetLimit(2 * runtime.NumCPU()) // loading waits for hardware more than it computes
	var mu sync.Mutex
	fresh := false
	filepath.WalkDir(filepath.Join(sys, "devices"), func(path string, d fs.DirEntry, err error) error {
		// Devices come and go while we walk: what cannot be read is gone.
		if err != nil || d.Name() != "modalias" || !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		modalias := strings.TrimSpace(string(text))
		if err != nil || modalias == "" {
			return nil
		}
		g.Go(func() error {
			if l.Device(modalias) {
				mu.Lock()
				fresh = true
				mu.Unlock()
			}
			return nil
		})
		return nil
	})
	g.Wait()
	return fresh
}
