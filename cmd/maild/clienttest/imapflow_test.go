package clienttest

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	// modules is where npm installs ImapFlow, once for all runs.
	modules = "../../../build/imapflow"
	// installLimit is for npm to get some megabytes from the network.
	installLimit = 10 * time.Minute
)

// installImapFlow has npm install what testdata/imapflow/package-lock.json
// pins, unless that is there already. Tests call it before they go parallel.
func installImapFlow(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(modules, 0o755); err != nil {
		t.Fatal(err)
	}
	// The lock file is put there last: where it is, all is.
	done := filepath.Join(modules, "installed-lock.json")
	lock, err := os.ReadFile("testdata/imapflow/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if have, err := os.ReadFile(done); err == nil && bytes.Equal(have, lock) {
		return
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("testdata/imapflow", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(modules, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), installLimit)
	defer cancel()
	npm := exec.CommandContext(ctx, filepath.Join(programs, "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = modules
	npm.WaitDelay = time.Second
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci in %s: %v\n%s", modules, err, out)
	}
	if err := os.WriteFile(done, lock, 0o644); err != nil {
		t.Fatal(err)
	}
}

// newImapFlow puts ImapFlow into the client's home: the client, who is somebody
// else, may not see the developer's folders.
func (b *box) newImapFlow() {
	b.t.Helper()
	if err := os.CopyFS(filepath.Join(b.Home, "node_modules"), os.DirFS(filepath.Join(modules, "node_modules"))); err != nil {
		b.t.Fatal(err)
	}
}

func TestImapFlow(t *testing.T) {
	installImapFlow(t)
	b := newBox(t)
	b.newImapFlow()
	ports, err := json.Marshal(b.Port)
	if err != nil {
		t.Fatal(err)
	}
	p := b.peer()
	p.create("Work")
	p.append("INBOX", "one", "two", "three", "four S")
	b.run("node", b.script("imapflow/round.js"), string(ports), b.CA, ann, annPassword, b.eml("made here"))
	same(t, "the server's INBOX", p.list("INBOX"), "one FRS", "made here FR", "made here")
	same(t, "the server's Work", p.list("Work"), "one FS")
	same(t, "the server's renamed mailbox", p.list("Work/Renamed"), "two")
}
