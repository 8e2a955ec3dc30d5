package clienttest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
	"time"
)

// clientLimit is the time a client's run may take: some seconds of its own on
// a loaded machine, and far less than a client waits that waits for an answer.
const clientLimit = 30 * time.Second

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
	ctx, cancel := context.WithTimeout(b.t.Context(), clientLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	// The authority is named to OpenSSL here, and to the others in their
	// configurations; nothing of the developer's own is used.
	cmd.Env = []string{"HOME=" + b.Home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TERM=dumb", "SSL_CERT_FILE=" + b.CA, "TMPDIR=" + b.Home}
	// A client that starts another and dies must not keep the test.
	cmd.WaitDelay = time.Second
	all, err := cmd.CombinedOutput()
	var ee *exec.ExitError
	switch {
	case ctx.Err() != nil:
		b.t.Fatalf("%s %q: not done after %v\n%s", name, args, clientLimit, all)
	case errors.As(err, &ee):
		return string(all), ee.ExitCode()
	case err != nil:
		b.t.Fatalf("%s (scripts/host-packages.sh installs it): %v", name, err)
	}
	return string(all), 0
}
