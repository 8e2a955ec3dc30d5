//go:build vm && soak

package vmtest

import (
	"strings"
	"testing"
	"time"

	"pillarbox/cmd/qemu/vm"
)

// starved is what the box may take from the moment mail no longer works, and
// starting it again does not help, until its watchdog has restarted it.
const starved = 10 * time.Minute

// TestProbeStops makes the mail service one that cannot be started any more: the
// watchdog is not fed then, the box restarts, is well, and says why.
func TestProbeStops(t *testing.T) {
	path := newDisk(t, strings.Replace(provision, `aliases = ["info@example.org"]`, `admin = true`, 1))
	b := startWith(t, vm.Config{Drive: raw(path), Extra: []string{"-device", "i6300esb", "-watchdog-action", "reset"}})
	b.served()
	b.openMenu()
	b.openCommandLine()
	b.typed("mailctl services\r")
	pid := b.shows(clientLimit, `maild +running +(\d+) +0 [^$]*\$`)[1]
	b.typed("chmod 0 /bin/maild; kill -9 " + pid + "\r")
	began := time.Now()
	b.expect(starved, `pillarbox: Pillarbox .* on Linux`)
	t.Logf("restarted %.1f minutes after mail ended", time.Since(began).Minutes())
	b.served()
	b.says(`The watchdog has restarted the box: the box has not worked for`)
	b.mailed(`has not worked for`)
	b.pressButton()
}
