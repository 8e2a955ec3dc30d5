package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/supervise"
)

// Names of the services.
const (
	serviceBox    = "boxd"
	serviceMail   = "maild"
	serviceHealth = "healthd"
	consolePrefix = "console-"
)

// milestoneServing is reached when mail was served for the first time.
const milestoneServing = "mail served"

// maild may make its socket in a folder of its own alone; the path that
// clients know is a link to it.
const (
	mailSocketDir  = "/run/maild"
	mailSocket     = mailSocketDir + "/maild.sock"
	mailSocketLink = "/run/maild.sock"
)

// What of root's power the services keep, by capabilities(7). A service that is
// taken over can do no more than its work.
const (
	capChown          = 0  // give maild its provisioning file
	capDACOverride    = 1  // reach maild's socket and folder
	capNetBindService = 10 // ports below 1024
	capNetAdmin       = 12 // addresses, routes, the firewall
	capNetRaw         = 13 // DHCP before there is an address
	capSysRawIO       = 17 // ask ATA drives for their state
	capSysAdmin       = 21 // the host name; ask NVMe drives
	capSysTime        = 25 // the clock
	capSysTTYConfig   = 26 // sound the speaker of a terminal that is not one's own
)

const (
	// boxPatience: maild starts without the box manager after this long; a
	// provisioning file on a slow stick takes a few seconds.
	boxPatience = time.Minute

	// mailPatience: the console appears after this long though mail is not
	// served yet. A large store takes a while to open after a power cut, and
	// somebody may be standing there.
	mailPatience = 20 * time.Second
)

// Time limits for stopping. Their sum, with what else a shutdown takes, stays
// below the fifteen seconds that a person waits after pressing the button.
const (
	stopMail    = 9 * time.Second // sessions get their BYE, the store is closed
	stopBox     = 2 * time.Second
	stopConsole = time.Second
)

// startServices hands the services to the supervisor, which starts each when
// those before it are ready.
func (s *System) startServices(context.Context) {
	s.makeMailSocketDir()
	env := []string{"PATH=/bin:/bbin", "HOME=/"}
	s.add(supervise.Spec{
		Name:         serviceBox,
		Command:      []string{"/bin/boxd", "--state", statePath, "--esp", espPath, "--data", dataPath, "--provision", provisionFile},
		Env:          env,
		Capabilities: []uintptr{capChown, capDACOverride, capNetBindService, capNetAdmin, capNetRaw, capSysAdmin, capSysTime},
		NoNewPrivs:   true,
		Ready:        answers(boxapi.Socket, func(struct{}) error { return nil }),
		StopWithin:   stopBox,
	})
	s.add(supervise.Spec{
		Name: serviceMail,
		Command: []string{"/bin/maild", "--data", dataPath, "--state", statePath,
			"--provision", provisionFile, "--socket", mailSocket},
		Env:          env,
		UID:          mailUID,
		GID:          mailGID,
		Capabilities: []uintptr{capNetBindService},
		NoNewPrivs:   true,
		After:        []string{milestoneData, serviceBox},
		Patience:     boxPatience,
		Ready:        answers(mailSocket, serving),
		StopWithin:   stopMail,
	})
	if _, err := os.Stat("/bin/healthd"); err == nil {
		s.add(supervise.Spec{
			Name:         serviceHealth,
			Command:      []string{"/bin/healthd", "--state", statePath},
			Env:          env,
			Capabilities: []uintptr{capDACOverride, capSysRawIO, capSysAdmin, capSysTTYConfig},
			NoNewPrivs:   true,
			After:        []string{serviceBox},
			Patience:     boxPatience,
			StopWithin:   stopBox,
		})
	}
	_, data, _ := s.volumes.get()
	after := []string{serviceMail}
	if data == nil {
		after = []string{serviceBox} // there is no mail to wait for
	}
	for _, tty := range activeConsoles("/sys", "/dev") {
		s.addConsole(tty, after, env)
	}
}

// provisionFile is where boxd leaves the mail part of a provisioning file for
// maild, which removes it once it is applied: so it is in a folder of maild's.
const provisionFile = statePath + "/maild/provision.toml"

// addConsole puts the setup console on a terminal.
func (s *System) addConsole(tty string, after, env []string) {
	name := filepath.Base(tty)
	if !isTerminal(tty) {
		s.log.Info("no terminal, no console", "tty", tty)
		return
	}
	command := []string{"/bin/console", "--tty", tty}
	term := "TERM=linux"
	if !strings.HasPrefix(name, "tty") || strings.HasPrefix(name, "ttyS") || strings.HasPrefix(name, "ttyAMA") || strings.HasPrefix(name, "ttyUSB") {
		command = append(command, "--serial")
		term = "TERM=vt220"
	}
	s.add(supervise.Spec{
		Name:       consolePrefix + name,
		Command:    command,
		Env:        append([]string{term}, env...),
		TTY:        tty,
		After:      after,
		Patience:   mailPatience,
		Ready:      func(context.Context) error { s.out.hush(); return nil },
		StopWithin: stopConsole,
	})
}

// add takes on a service whose program is in the image.
func (s *System) add(spec supervise.Spec) {
	if _, err := os.Stat(spec.Command[0]); err != nil {
		s.problems.add(spec.Name, fmt.Sprintf("%s is not in this image: %v", spec.Name, err))
		return
	}
	s.sup.Add(spec)
}

// makeMailSocketDir makes the folder that maild may put its socket in.
func (s *System) makeMailSocketDir() {
	err := errors.Join(giveToMail(mailSocketDir, 0o750), symlink(mailSocket, mailSocketLink))
	if err != nil {
		s.problems.add("mail socket", err.Error())
	}
}

func symlink(target, path string) error {
	if err := os.Symlink(target, path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// serving looks at the status of maild.
func serving(status struct {
	Serving bool `json:"serving"`
}) error {
	if !status.Serving {
		return errors.New("not serving yet")
	}
	return nil
}

// answers returns a readiness check: the API on socket gives its status, and
// check finds nothing wrong with it.
func answers[Status any](socket string, check func(Status) error) func(context.Context) error {
	client := wire.NewClient(socket)
	return func(ctx context.Context) error {
		var status Status
		if err := client.Get(ctx, "/v1/status", &status); err != nil {
			return err
		}
		return check(status)
	}
}
