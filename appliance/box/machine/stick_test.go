package machine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/box/disk"
)

// A stick with a provisioning file takes seconds to appear, while a server's own disk
// is there at once: it is taken all the same, and the mail service reads its part.
func TestStickThatIsSlowToAppear(t *testing.T) {
	m, root, i, _ := newDiskTest(t)
	m.mount = func(p disk.Partition, dir string) (func() error, error) {
		if p.Name != "sde1" {
			return nil, errors.New("another file system")
		}
		file := filepath.Join(dir, provisionName)
		return func() error { return os.Remove(file) }, os.WriteFile(file, []byte(provisioning), 0o600)
	}
	appear := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, root, name, content)
	}
	synctest.Test(t, func(t *testing.T) {
		m.Start(t.Context())
		if s := m.Current(); s.Hostname != "" {
			t.Fatalf("provisioned by nothing: %+v", s)
		}
		ended := make(chan bool)
		go func() { m.lateSticks(t.Context(), m.finish(t.Context())); close(ended) }()
		time.Sleep(4 * time.Second)
		appear("sys/block/sde/removable", "1")
		appear("sys/block/sde/size", "4194304")
		if err := os.Symlink("sdd", filepath.Join(root, "dev/sde")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * stickPoll) // its partitions come later
		appear("sys/block/sde/sde1/partition", "1")
		appear("sys/block/sde/sde1/start", "2048")
		appear("sys/block/sde/sde1/size", "4096")
		time.Sleep(2 * stickPoll)
		synctest.Wait()
		if s := m.Current(); s.Hostname != "mail.example.org" || !strings.Contains(read(t, root, "etc/hosts"), "mail.example.org") {
			t.Errorf("not provisioned: %+v", s)
		}
		if got := read(t, root, "state/maild/provision.toml"); got != provisioning || strings.Join(i.restarted, " ") != "maild" {
			t.Errorf("maild gets %q, restarted: %v", got, i.restarted)
		}
		if err := os.Remove(filepath.Join(root, "state/maild/provision.toml")); err != nil { // maild has applied it
			t.Fatal(err)
		}
		<-ended
		if s, err := m.Status(t.Context()); err != nil || s.Provision.State != boxapi.ProvisionApplied || s.Provision.Source != "the stick sde" {
			t.Errorf("%+v, %v", s.Provision, err)
		}
		if len(i.restarted) != 1 {
			t.Errorf("restarted: %v", i.restarted)
		}
	})
}
