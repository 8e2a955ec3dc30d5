package console

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// shellProgram is u-root's shell, for what no menu does: mailctl, and a look at
// a machine that does not work.
const shellProgram = "/bbin/gosh"

// shell is a command line on the console's terminal.
type shell struct {
	*exec.Cmd
	intro string
}

// newShell makes the shell that runs on tty until it is left or ctx ends.
func newShell(ctx context.Context, program string, tty *os.File, intro string) *shell {
	c := exec.CommandContext(ctx, program)
	// Its errors belong on the screen; the console's own are a log.
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.Dir = "/"
	c.Env = append(os.Environ(), "PS1=pillarbox# ")
	return &shell{c, intro}
}

// Run implements tea.ExecCommand.
func (s *shell) Run() error {
	if _, err := io.WriteString(s.Stdout, "\r\n"+s.intro+"\r\n\r\n"); err != nil {
		return err
	}
	return s.Cmd.Run()
}

// The terminal is the shell's already.
func (*shell) SetStdin(io.Reader)  {}
func (*shell) SetStdout(io.Writer) {}
func (*shell) SetStderr(io.Writer) {}

// openShell gives the terminal to a shell and takes it back when it is left.
// What is done there is not seen by the menus, so that it was opened is logged.
func (m *model) openShell() tea.Cmd {
	began := m.now()
	m.logger.Warn("the command line was opened")
	intro := wrap(m.c.T("The command line of the box. mailctl --help lists what it can do for mail, exit goes back."), m.width)
	return m.exec(newShell(m.ctx, m.shell, m.tty, strings.Join(intro, "\r\n")), func(err error) tea.Msg {
		m.logger.Warn("the command line was left", "after", m.now().Sub(began).Round(time.Second), "error", err)
		return then(func() tea.Cmd {
			m.unlockedUntil = m.now().Add(unlockedFor)
			if _, failed := err.(*exec.ExitError); err != nil && !failed {
				m.notice = m.c.T("That did not work: %s", err)
			}
			return tea.ClearScreen
		})
	})
}
