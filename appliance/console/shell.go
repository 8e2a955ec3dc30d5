package console

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/console/shell"
)

// commandLine is the command line on the console's terminal: mailctl, and a look
// at a machine that does not work.
type commandLine struct {
	ctx   context.Context
	shell *shell.Shell
	tty   *os.File
	intro string
}

// Run implements tea.ExecCommand.
func (c *commandLine) Run() error { return c.shell.Run(c.ctx, c.tty, c.intro) }

// The terminal is the command line's already.
func (*commandLine) SetStdin(io.Reader)  {}
func (*commandLine) SetStdout(io.Writer) {}
func (*commandLine) SetStderr(io.Writer) {}

// openShell gives the terminal to the command line and takes it back when that is
// left. What is done there is not seen by the menus, so that it was opened is logged.
func (m *model) openShell() tea.Cmd {
	began := m.now()
	m.logger.Warn("the command line was opened")
	intro := wrap(m.c.T("The command line of the box. mailctl --help lists what it can do for mail, exit goes back."), m.width)
	return m.exec(&commandLine{m.ctx, m.shell, m.tty, strings.Join(intro, "\n")}, func(err error) tea.Msg {
		m.logger.Warn("the command line was left", "after", m.now().Sub(began).Round(time.Second), "error", err)
		return then(func() tea.Cmd {
			m.unlockedUntil = m.now().Add(unlockedFor)
			if err != nil {
				m.failed(err)
			}
			return tea.ClearScreen
		})
	})
}
