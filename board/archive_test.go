package board

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repo is a package archive in a folder, with the suite "test".
type repo struct {
	t    *testing.T
	dir  string
	made map[string][]string // paragraphs of Packages by component
}

func newRepo(t *testing.T) *repo {
	return &repo{t, t.TempDir(), map[string][]string{}}
}

// add makes a package that holds one file, usr/share/NAME, with text.
func (r *repo) add(component, name, version, depends, text string) {
	r.t.Helper()
	tree := r.t.TempDir()
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.org>\nDescription: for a test\n", name, version)
	if depends != "" {
		control += "Depends: " + depends + "\n"
	}
	for file, content := range map[string]string{"DEBIAN/control": control, "usr/share/" + name: text} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, file)), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, file), []byte(content), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	deb := name + "_" + version + ".deb"
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "-b", tree, filepath.Join(r.dir, deb)).CombinedOutput(); err != nil {
		r.t.Fatalf("dpkg-deb: %v: %s", err, out)
	}
	sum, err := fileSum(filepath.Join(r.dir, deb))
	if err != nil {
		r.t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(r.dir, deb))
	if err != nil {
		r.t.Fatal(err)
	}
	r.made[component] = append(r.made[component], fmt.Sprintf("%sFilename: %s\nSize: %d\nSHA256: %s\n", control, deb, info.Size(), sum))
}

// publish writes the lists that apt reads.
func (r *repo) publish() {
	r.t.Helper()
	release := "Suite: test\nCodename: test\nArchitectures: amd64\nComponents:"
	sums := "SHA256:\n"
	for component, packages := range r.made {
		list := strings.Join(packages, "\n")
		path := component + "/binary-amd64/Packages"
		file := filepath.Join(r.dir, "dists/test", path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(list), 0o644); err != nil {
			r.t.Fatal(err)
		}
		release += " " + component
		sums += fmt.Sprintf(" %x %d %s\n", sha256.Sum256([]byte(list)), len(list), path)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "dists/test/Release"), []byte(release+"\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"+sums), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// archive is one whose host has the repository among its sources.
func (r *repo) archive(log io.Writer, locked ...Locked) *Archive {
	r.t.Helper()
	sources := r.t.TempDir()
	if err := os.WriteFile(filepath.Join(sources, "sources.list"), []byte("deb [trusted=yes] copy:"+r.dir+" test main\n"), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return &Archive{Dir: r.t.TempDir(), Sources: sources, Lock: &Lock{Packages: locked}, Log: slog.New(slog.NewTextHandler(log, nil))}
}

func (r *repo) sum(deb string) string {
	r.t.Helper()
	sum, err := fileSum(filepath.Join(r.dir, deb))
	if err != nil {
		r.t.Fatal(err)
	}
	return sum
}

func TestTree(t *testing.T) {
	r := newRepo(t)
	r.add("main", "tool", "2.0", "", "two")
	r.add("main", "kernel-6.1", "6.1.2", "", "kernel")
	r.add("main", "kernel", "6.1+1", "kernel-6.1 (= 6.1.2), tool", "")
	r.add(firmwareComponent, "blobs", "1", "", "firmware")
	r.publish()
	old := newRepo(t) // had a version that is gone by now
	old.add("main", "tool", "1.0", "", "one")
	gone := Locked{Name: "tool", Version: "1.0", SHA256: old.sum("tool_1.0.deb")}

	for _, tt := range []struct {
		name   string
		wish   string
		locked []Locked
		keep   bool
		want   Locked
		file   string // a line of the package's file; "" for none
		log    string
		err    error
		errIs  string
	}{
		{name: "as locked", wish: "tool", locked: []Locked{{Name: "tool", Version: "2.0", SHA256: r.sum("tool_2.0.deb")}}, keep: true,
			want: Locked{Name: "tool", Version: "2.0", SHA256: r.sum("tool_2.0.deb")}, file: "two"},
		{name: "not locked", wish: "tool", want: Locked{Name: "tool", Version: "2.0", SHA256: r.sum("tool_2.0.deb")}, file: "two"},
		{name: "not locked and frozen", wish: "tool", keep: true, errIs: "not in the lock"},
		{name: "the locked version is gone", wish: "tool", locked: []Locked{gone},
			want: Locked{Name: "tool", Version: "2.0", SHA256: r.sum("tool_2.0.deb")}, file: "two", log: "the locked version is gone from the archive: taking the newest\" package=tool locked=1.0"},
		{name: "gone and frozen", wish: "tool", locked: []Locked{gone}, keep: true, err: ErrUnavailable, errIs: "1.0"},
		{name: "other bytes than locked", wish: "tool", locked: []Locked{{Name: "tool", Version: "2.0", SHA256: gone.SHA256}}, errIs: "locked is " + gone.SHA256},
		{name: "by a dependency", wish: "kernel->", want: Locked{Name: "kernel-6.1", Version: "6.1.2", SHA256: r.sum("kernel-6.1_6.1.2.deb"), Via: "kernel"}, file: "kernel"},
		{name: "a dependency that is gone", wish: "kernel->", locked: []Locked{{Name: "kernel-6.0", Version: "6.0.9", SHA256: gone.SHA256, Via: "kernel"}},
			want: Locked{Name: "kernel-6.1", Version: "6.1.2", SHA256: r.sum("kernel-6.1_6.1.2.deb"), Via: "kernel"}, file: "kernel", log: "is gone"},
		{name: "firmware", wish: "blobs", want: Locked{Name: "blobs", Version: "1", SHA256: r.sum("blobs_1.deb")}, file: "firmware"},
		{name: "nowhere", wish: "nothing", err: ErrUnavailable, errIs: "package nothing: "},
		{name: "no dependency", wish: "tool->", err: ErrUnavailable, errIs: "package tool: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log strings.Builder
			a := r.archive(&log, tt.locked...)
			a.KeepLock = tt.keep
			tree, got, err := a.Tree(t.Context(), tt.wish)
			if tt.errIs != "" {
				if err == nil || !strings.Contains(err.Error(), tt.errIs) || tt.err != nil && !errors.Is(err, tt.err) {
					t.Fatalf("got %v, want %v with %q", err, tt.err, tt.errIs)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
			if text, err := os.ReadFile(filepath.Join(tree, "usr/share", got.Name)); err != nil || string(text) != tt.file {
				t.Errorf("unpacked: %q, %v", text, err)
			}
			if locked, ok := a.Lock.find(strings.TrimSuffix(tt.wish, "->")); !ok || locked != tt.want || len(a.Lock.Packages) != 1 {
				t.Errorf("the lock holds %+v", a.Lock.Packages)
			}
			if want := len(tt.locked) == 0 || tt.log != ""; a.Changed() != want {
				t.Errorf("changed: %v", a.Changed())
			}
			if tt.log != "" && !strings.Contains(log.String(), tt.log) {
				t.Errorf("nothing of %q in the log:\n%s", tt.log, log.String())
			}
			// What is in the cache needs no archive.
			a.Sources, a.listed = t.TempDir(), false
			if again, _, err := a.Tree(t.Context(), tt.wish); err != nil || again != tree {
				t.Errorf("from the cache: %s, %v", again, err)
			}
		})
	}
}

// TestNoFirmware has a host whose sources offer no firmware: the rest is had.
func TestNoFirmware(t *testing.T) {
	r := newRepo(t)
	r.add("main", "tool", "2.0", "", "two")
	r.publish()
	a := r.archive(io.Discard)
	if _, _, err := a.Tree(t.Context(), "blobs"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("firmware: %v", err)
	}
	if _, got, err := a.Tree(t.Context(), "tool"); err != nil || got.Version != "2.0" {
		t.Errorf("the rest: %+v, %v", got, err)
	}
}

func TestSourcesOfTheHost(t *testing.T) {
	a := &Archive{Dir: t.TempDir(), Sources: t.TempDir()}
	if err := a.writeSources("main"); err == nil {
		t.Error("no source is enough")
	}
	for file, text := range map[string]string{
		"sources.list": "# deb http://a.example/off test main\ndeb http://a.example/debian test main contrib # ours\n" +
			"deb-src http://a.example/debian test main\ndeb [ signed-by=/k.gpg ] http://b.example/debian test/updates main\ndeb http://c.example/other stable stable\n",
		"sources.list.d/d.sources": "Types: deb deb-src\nURIs: http://d.example/debian\nSuites: test\n test-updates\nComponents: main\nSigned-By: /d.gpg\n\n" +
			"Enabled: no\nTypes: deb\nURIs: http://e.example/debian\nSuites: test\nComponents: main\n",
		"sources.list.d/notes.txt": "deb http://f.example/debian test main\n",
	} {
		path := filepath.Join(a.Sources, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.writeSources("main extra"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(a.Dir, "apt", "sources.list"))
	want := "deb http://a.example/debian test main extra\ndeb [ signed-by=/k.gpg ] http://b.example/debian test/updates main extra\n" +
		"deb [signed-by=/d.gpg] http://d.example/debian test main extra\ndeb [signed-by=/d.gpg] http://d.example/debian test-updates main extra\n"
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestLockRoundTrip(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "board"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := LoadLock(root)
	if err != nil || len(l.Packages) != 0 {
		t.Fatalf("no file: %+v, %v", l, err)
	}
	l.Set(Locked{Name: "tool", Version: "1", SHA256: "a"})
	l.Set(Locked{Name: "kernel-6.0", Version: "6.0", SHA256: "b", Via: "kernel"})
	newer := l.Unpinned()
	newer.Set(Locked{Name: "kernel-6.1", Version: "6.1", SHA256: "c", Via: "kernel"})
	l.Merge(newer)
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}
	got, err := LoadLock(root)
	want := []Locked{{Name: "kernel-6.1", Version: "6.1", SHA256: "c", Via: "kernel"}, {Name: "tool", Version: "1", SHA256: "a"}}
	if err != nil || fmt.Sprint(got.Packages) != fmt.Sprint(want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestBoards reads the boards that there are, and refuses what is none.
func TestBoards(t *testing.T) {
	if len(Names("..")) < 2 {
		t.Errorf("boards: %q", Names(".."))
	}
	lock, err := LoadLock("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Names("..") {
		b, err := Load("..", name)
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(b.CommandLine(), "console=ttyS0") || !strings.Contains(b.CommandLine(), "console=tty0") {
			t.Errorf("%s: no screen or no serial line: %s", name, b.CommandLine())
		}
		for _, p := range append(append([]string{b.Kernel}, b.Firmware...), b.Microcode...) {
			if _, ok := lock.find(p); !ok {
				t.Errorf("%s: %s is not in the lock", name, p)
			}
		}
	}
	for _, name := range []string{"", "none", "../board", "."} {
		if _, err := Load("..", name); err == nil || !strings.Contains(err.Error(), "no such board; there are: generic-x86_64, qemu-x86_64") {
			t.Errorf("%q: %v", name, err)
		}
	}
	root := t.TempDir()
	for text, want := range map[string]string{
		"arch = 'amd64'\nkernal = 'x'\n": "board/x/board.toml:2: kernal is no key",
		"arch = 'z80'\n":                 "cannot be built yet",
		"arch = 'amd64'\nkernel = 'k'\n": "consoles and modules must be given",
	} {
		path := filepath.Join(root, "board", "x", "board.toml")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(root, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
