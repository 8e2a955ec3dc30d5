package clienttest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// clientLimit is the time a client's run may take: seconds, and more where the
// machine has other things to do.
const clientLimit = 5 * time.Minute

// programs is where Debian has the clients; a developer may have other ones of
// the same names before them.
const programs = "/usr/bin"

// nobody is who clients run as where the test runs as root: as root some are
// not what they are as somebody, and getmail will not work at all.
const nobody = 65534

// newHome makes a home directory. Those of testing are only for the user who
// runs the test.
func newHome(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("", "client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return home
}

// giveAway makes everything in the home directory the client's.
func (b *box) giveAway(cmd *exec.Cmd) {
	b.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	err := filepath.WalkDir(b.Home, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody))
	})
	if err != nil {
		b.t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}

// config fills in a file of testdata and puts it into the client's home.
// Placeholders are the fields of box, and those of extra as .Extra.
func (b *box) config(name string, extra any) string {
	b.t.Helper()
	t, err := template.New(name).Option("missingkey=error").ParseFiles(filepath.Join("testdata", name))
	if err != nil {
		b.t.Fatal(err)
	}
	var text bytes.Buffer
	err = t.Execute(&text, struct {
		*box
		User, Password string
		Extra          any
	}{b, ann, annPassword, extra})
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.Home, name)
	b.write(path, text.Bytes())
	return path
}

// run runs a client, which must succeed, and gives what it prints.
func (b *box) run(name string, args ...string) string {
	b.t.Helper()
	out, code := b.exit(name, args...)
	if code != 0 {
		b.t.Fatalf("%s %q: exit code %d\n%s", name, args, code, out)
	}
	return out
}

// exit runs a client to its end and gives its exit code too.
func (b *box) exit(name string, args ...string) (out string, code int) {
	b.t.Helper()
	return b.start(name, args...).wait()
}

// program is a client that runs.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	ctx  context.Context
	out  syncBuffer
	done chan struct{} // closed when it has ended
	err  error         // of its end
}

// start starts a client, which ends at its limit or with the test.
func (b *box) start(name string, args ...string) *program {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), clientLimit)
	p := &program{t: b.t, cmd: exec.CommandContext(ctx, filepath.Join(programs, name), args...), ctx: ctx, done: make(chan struct{})}
	// The authority is named to OpenSSL here, and to the others in their
	// configurations; nothing of the developer's own is used.
	p.cmd.Env = []string{"HOME=" + b.Home, "PATH=" + programs, "LC_ALL=C.UTF-8", "TERM=dumb", "SSL_CERT_FILE=" + b.CA, "TMPDIR=" + b.Home}
	p.cmd.Dir = b.Home
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	b.giveAway(p.cmd)
	// A client that starts another and dies must not keep the test.
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		cancel()
		b.t.Fatalf("%v (scripts/host-packages.sh installs it)", err)
	}
	go func() {
		defer cancel()
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	b.t.Cleanup(func() {
		cancel()
		<-p.done
	})
	return p
}

// wait waits for the client's end.
func (p *program) wait() (out string, code int) {
	p.t.Helper()
	<-p.done
	var ee *exec.ExitError
	switch {
	case errors.Is(p.ctx.Err(), context.DeadlineExceeded):
		p.t.Fatalf("%q: not done after %v\n%s", p.cmd.Args, clientLimit, p.out.String())
	case errors.As(p.err, &ee):
		return p.out.String(), ee.ExitCode()
	case p.err != nil:
		p.t.Fatalf("%q: %v", p.cmd.Args, p.err)
	}
	return p.out.String(), 0
}
