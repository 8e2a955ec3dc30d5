package board

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Archive gets Debian packages. Its apt has lists of its own, made from the
// host's sources, so that nothing of the host is changed and no root is needed.
type Archive struct {
	// Dir is the cache: packages in debs/, unpacked ones in trees/, apt's lists in apt/.
	Dir string
	// Sources are the host's apt sources: /etc/apt.
	Sources string
	// KeepLock pins nothing new: a package that is not to be had as locked
	// fails. Reproducible releases want that.
	KeepLock bool
	Lock     *Lock
	Log      *slog.Logger

	listed  bool
	changed bool
}

// ErrUnavailable means that no source of the host offers a package.
var ErrUnavailable = errors.New("no package source of this machine offers it")

// firmwareComponent is the part of the archive that firmware and microcode are in.
const firmwareComponent = "non-free-firmware"

// Tree gets a package and answers the folder it is unpacked in. A wish that
// ends in "->" names a package whose first dependency is meant.
func (a *Archive) Tree(ctx context.Context, wish string) (string, Locked, error) {
	p, err := a.get(ctx, wish)
	if err != nil {
		return "", p, fmt.Errorf("package %s: %w", strings.TrimSuffix(wish, "->"), err)
	}
	tree := filepath.Join(a.Dir, "trees", p.Name+"_"+fileVersion(p.Version))
	if _, err := os.Stat(tree); err == nil {
		return tree, p, nil
	}
	// Unpacked beside and renamed: a build cut short leaves no half tree.
	tmp, err := os.MkdirTemp(a.Dir, "unpack-")
	if err != nil {
		return "", p, err
	}
	defer os.RemoveAll(tmp)
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", a.debPath(p), filepath.Join(tmp, "t")).CombinedOutput(); err != nil {
		return "", p, fmt.Errorf("unpack %s: %w: %s", p.Name, err, out)
	}
	if err := os.MkdirAll(filepath.Dir(tree), 0o755); err != nil {
		return "", p, err
	}
	return tree, p, os.Rename(filepath.Join(tmp, "t"), tree)
}

// Changed tells whether the lock was changed by what was got.
func (a *Archive) Changed() bool { return a.changed }

func fileVersion(v string) string { return strings.NewReplacer(":", "%3a", "/", "_").Replace(v) }

func (a *Archive) debPath(p Locked) string {
	return filepath.Join(a.Dir, "debs", p.Name+"_"+fileVersion(p.Version)+".deb")
}

// get makes sure a package lies in the cache with the right hash.
func (a *Archive) get(ctx context.Context, wish string) (Locked, error) {
	name, via := strings.CutSuffix(wish, "->")
	p, locked := a.Lock.find(name)
	if locked {
		if sum, err := fileSum(a.debPath(p)); err == nil && sum == p.SHA256 {
			return p, nil
		}
	}
	if err := a.update(ctx); err != nil {
		return p, err
	}
	if locked {
		err := a.download(ctx, p)
		if err == nil {
			sum, err := fileSum(a.debPath(p))
			if err != nil {
				return p, err
			}
			if sum == p.SHA256 {
				return p, nil
			}
			return p, fmt.Errorf("version %s has SHA-256 %s, locked is %s", p.Version, sum, p.SHA256)
		}
		if a.KeepLock {
			return p, err
		}
		a.Log.Warn("the locked version is gone from the archive: taking the newest", "package", p.Name, "locked", p.Version)
	} else if a.KeepLock {
		return p, errors.New("not in the lock")
	}
	newest, err := a.newest(ctx, name, via)
	if err != nil {
		return p, err
	}
	if err := a.download(ctx, newest); err != nil {
		return p, err
	}
	if newest.SHA256, err = fileSum(a.debPath(newest)); err != nil {
		return p, err
	}
	a.Log.Info("package", "name", newest.Name, "version", newest.Version)
	a.Lock.Set(newest)
	a.changed = true
	return newest, nil
}

// newest asks apt for the candidate of a package, or of its first dependency.
func (a *Archive) newest(ctx context.Context, name string, via bool) (Locked, error) {
	p := Locked{Name: name}
	if via {
		out, err := a.apt(ctx, "apt-cache", "depends", "--no-recommends", "--no-suggests", name)
		if err != nil {
			return p, err
		}
		p.Via = name
		p.Name = ""
		for line := range strings.Lines(string(out)) {
			if dep, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok {
				p.Name = dep
				break
			}
		}
		if p.Name == "" {
			return p, ErrUnavailable
		}
	}
	out, err := a.apt(ctx, "apt-cache", "policy", p.Name)
	if err != nil {
		return p, err
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate: "); ok && v != "(none)" {
			p.Version = v
		}
	}
	if p.Version == "" {
		return p, ErrUnavailable
	}
	return p, nil
}

func (a *Archive) download(ctx context.Context, p Locked) error {
	dir, err := os.MkdirTemp(a.Dir, "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd, err := a.command(ctx, "apt-get", "download", p.Name+"="+p.Version)
	if err != nil {
		return err
	}
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w (version %s): %s", ErrUnavailable, p.Version, lastLine(out))
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("%w: apt downloaded %d files", ErrUnavailable, len(debs))
	}
	if err := os.MkdirAll(filepath.Join(a.Dir, "debs"), 0o755); err != nil {
		return err
	}
	return os.Rename(debs[0], a.debPath(p))
}

// update fetches the lists once a build. Where firmware's component is not to
// be had, the rest is taken without it.
func (a *Archive) update(ctx context.Context) error {
	if a.listed {
		return nil
	}
	var failed error
	for _, components := range []string{"main " + firmwareComponent, "main"} {
		if err := a.writeSources(components); err != nil {
			return err
		}
		out, err := a.apt(ctx, "apt-get", "update", "-o", "APT::Update::Error-Mode=any")
		if err == nil {
			a.listed = true
			return nil
		}
		failed = fmt.Errorf("apt-get update: %w: %s", err, lastLine(out))
		if components != "main" {
			a.Log.Warn("package lists with firmware cannot be had", "error", failed)
		}
	}
	return failed
}

// writeSources derives sources from the host's: its Debian archives, with the
// components given.
func (a *Archive) writeSources(components string) error {
	var out bytes.Buffer
	files, _ := filepath.Glob(filepath.Join(a.Sources, "sources.list.d", "*"))
	for _, file := range append([]string{filepath.Join(a.Sources, "sources.list")}, files...) {
		raw, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		switch filepath.Ext(file) {
		case ".list":
			oneLineSources(&out, raw, components)
		case ".sources":
			deb822Sources(&out, raw, components)
		}
	}
	if out.Len() == 0 {
		return fmt.Errorf("%s names no Debian archive with the component main", a.Sources)
	}
	dir := filepath.Join(a.Dir, "apt")
	for _, d := range []string{"lists/partial", "cache/archives/partial", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "sources.list"), out.Bytes(), 0o644)
}

// oneLineSources reads the form "deb [options] URI suite components".
func oneLineSources(out *bytes.Buffer, raw []byte, components string) {
	for sc := bufio.NewScanner(bytes.NewReader(raw)); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		options := ""
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "[") {
			i := strings.IndexByte(rest, ']')
			if i < 0 {
				continue
			}
			options, rest = rest[:i+1]+" ", rest[i+1:]
		}
		f := strings.Fields(rest)
		if len(f) >= 3 && hasWord(f[2:], "main") {
			fmt.Fprintf(out, "deb %s%s %s %s\n", options, f[0], f[1], components)
		}
	}
}

// deb822Sources reads stanzas of fields (sources.list(5)).
func deb822Sources(out *bytes.Buffer, raw []byte, components string) {
	for _, stanza := range strings.Split(string(raw), "\n\n") {
		f := map[string]string{}
		key := ""
		for line := range strings.Lines(stanza) {
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(line, "#") {
				continue
			}
			if k, v, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
				key = strings.ToLower(k)
				f[key] = strings.TrimSpace(v)
			} else if key != "" {
				f[key] += " " + strings.TrimSpace(line)
			}
		}
		if !hasWord(strings.Fields(f["types"]), "deb") || !hasWord(strings.Fields(f["components"]), "main") || strings.EqualFold(f["enabled"], "no") {
			continue
		}
		options := ""
		if k := f["signed-by"]; strings.HasPrefix(k, "/") {
			options = "[signed-by=" + k + "] "
		}
		for _, uri := range strings.Fields(f["uris"]) {
			for _, suite := range strings.Fields(f["suites"]) {
				fmt.Fprintf(out, "deb %s%s %s %s\n", options, uri, suite, components)
			}
		}
	}
}

func hasWord(words []string, w string) bool {
	for _, x := range words {
		if x == w {
			return true
		}
	}
	return false
}

func (a *Archive) command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	dir, err := filepath.Abs(filepath.Join(a.Dir, "apt"))
	if err != nil {
		return nil, err
	}
	all := []string{
		"-q",
		"-o", "Dir::Etc::sourcelist=" + filepath.Join(dir, "sources.list"),
		"-o", "Dir::Etc::sourceparts=" + filepath.Join(dir, "empty"),
		"-o", "Dir::State::lists=" + filepath.Join(dir, "lists"),
		"-o", "Dir::Cache=" + filepath.Join(dir, "cache"),
		"-o", "Debug::NoLocking=1",
		"-o", "APT::Sandbox::User=",
		"-o", "APT::Architecture=amd64",
	}
	cmd := exec.CommandContext(ctx, name, append(all, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd, nil
}

func (a *Archive) apt(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd, err := a.command(ctx, name, args...)
	if err != nil {
		return nil, err
	}
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return out, err
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
