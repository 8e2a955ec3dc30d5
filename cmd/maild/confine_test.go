package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/mail/maild"
)

// confinedEnv names the folder for the part of TestConfine that gives its
// files up for good, in a process of its own.
const confinedEnv = "PILLARBOX_TEST_CONFINED"

func TestConfine(t *testing.T) {
	if dir := os.Getenv(confinedEnv); dir != "" {
		confined(t, dir)
		return
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno != 0 {
		t.Skipf("this kernel has no Landlock: %v", errno)
	}
	dir := t.TempDir()
	for _, name := range []string{"data", "state", "run", "other"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "other", "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestConfine$", "-test.v")
	cmd.Env = append(os.Environ(), confinedEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestConfine") {
		t.Errorf("confined: %v\n%s", err, out)
	}
}

func confined(t *testing.T, dir string) {
	in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	if err := confine(maild.Config{Data: in("data"), State: in("state"), Socket: in("run", "maild.sock")}); err != nil {
		t.Fatal(err)
	}
	write := func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }
	read := func(path string) error { _, err := os.ReadFile(path); return err }
	for _, tt := range []struct {
		what    string
		try     func() error
		refused bool
	}{
		{"write mail", func() error { return write(in("data", "mail")) }, false},
		{"rename within the data", func() error { return os.Rename(in("data", "mail"), in("data", "mail2")) }, false},
		{"write a certificate", func() error { return write(in("state", "certificate")) }, false},
		{"write beside the socket", func() error { return write(in("run", "x")) }, false},
		{"read a setting of the system", func() error { return read("/etc/passwd") }, false},
		{"write a setting of the system", func() error { return write("/etc/pillarbox-test") }, true},
		{"read what is another's", func() error { return read(in("other", "secret")) }, true},
		{"write what is another's", func() error { return write(in("other", "x")) }, true},
		{"look into what is another's", func() error { _, err := os.ReadDir(in("other")); return err }, true},
		{"run a program", func() error { return exec.Command("/bin/true").Run() }, true},
	} {
		if err := tt.try(); tt.refused != errors.Is(err, unix.EACCES) || !tt.refused && err != nil {
			t.Errorf("%s: %v, to be refused: %v", tt.what, err, tt.refused)
		}
	}
}
