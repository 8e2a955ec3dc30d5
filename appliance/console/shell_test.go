package console

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

func TestShellFromTheMenu(t *testing.T) {
	d, _, _ := menuDrive(t)
	var log strings.Builder
	d.m.logger = slog.New(slog.NewTextHandler(&log, nil))
	opened := 0
	d.m.exec = func(c tea.ExecCommand, done tea.ExecCallback) tea.Cmd {
		opened++
		return func() tea.Msg { return done(os.ErrNotExist) }
	}
	d.unlock()
	for range len(d.m.menu().items) {
		if strings.Contains(d.screen(), ">  Command line") {
			break
		}
		d.keys("down")
	}
	d.wants(">  Command line")
	d.keys("enter")
	d.wants("That did not work: file does not exist")
	if opened != 1 {
		t.Errorf("opened %d times", opened)
	}
	if !strings.Contains(log.String(), "the command line was opened") || !strings.Contains(log.String(), "the command line was left") {
		t.Errorf("the log says %q", log.String())
	}
}
