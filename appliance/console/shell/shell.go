// Package shell is the command line of the box's console: for what no menu does,
// and for a look at a machine that does not work. It reads lines with an editor
// and has the interpreter of u-root's shell carry them out.
//
// Invariants:
//   - A command has the terminal as commands expect it: lines end as they should,
//     what is typed is shown, Ctrl-C ends the command and nothing else.
//   - Lines are edited in raw mode, in which the terminal is asked nothing: many a
//     serial line does not answer.
//   - Run leaves the terminal as it found it, and ends with its context.
package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/muesli/cancelreader"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

const (
	prompt     = "$ "
	promptMore = "> " // the command goes on

	// killAfter is how long a command may take to end after Ctrl-C.
	killAfter = 5 * time.Second

	defaultWidth, defaultHeight = 80, 24 // of a serial line, which tells none
)

// Shell is a command line. The zero value is ready for use; it remembers what was
// typed from one Run to the next.
type Shell struct {
	history history
}

// session is one Run.
type session struct {
	*Shell
	tty    *os.File
	keys   *keys
	cooked *unix.Termios
	runner *interp.Runner
	editor *term.Terminal
}

// Run carries out what is typed at tty, below intro, until somebody leaves or ctx
// ends.
func (s *Shell) Run(ctx context.Context, tty *os.File, intro string) (err error) {
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	defer func() { err = errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, before)) }()
	input, err := cancelreader.NewReader(tty)
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	defer input.Close()
	stop := context.AfterFunc(ctx, func() { input.Cancel() })
	defer stop()
	runner, err := interp.New(interp.StdIO(tty, tty, tty), interp.Dir("/"), interp.Env(expand.ListEnviron(os.Environ()...)),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return interp.DefaultExecHandler(killAfter) }))
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	c := &session{Shell: s, tty: tty, keys: &keys{input: input, tty: tty}, cooked: cooked(before), runner: runner}
	if err := c.cook(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(tty, "\n%s\n\n", intro); err != nil {
		return err
	}
	err = c.serve(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// serve reads commands and carries them out.
func (c *session) serve(ctx context.Context) error {
	c.begin()
	text := ""
	for {
		line, err := c.line(text != "")
		switch {
		case errors.Is(err, io.EOF) && c.keys.interrupted:
			fmt.Fprintln(c.tty, "^C")
			text = ""
			c.begin()
			continue
		case errors.Is(err, io.EOF):
			fmt.Fprintln(c.tty)
			return nil
		case err != nil:
			return err
		}
		text += line + "\n"
		program, err := syntax.NewParser().Parse(strings.NewReader(text), "")
		if syntax.IsIncomplete(err) {
			continue
		}
		text = ""
		if err != nil {
			fmt.Fprintln(c.tty, err)
			continue
		}
		if c.carryOut(ctx, program) {
			return nil
		}
	}
}

// begin makes an editor with an empty line.
func (c *session) begin() {
	c.editor = term.NewTerminal(c.keys, prompt)
	c.editor.History = &c.history
	c.editor.AutoCompleteCallback = c.complete
}

// line reads one line in raw mode.
func (c *session) line(more bool) (string, error) {
	fd := int(c.tty.Fd())
	if _, err := term.MakeRaw(fd); err != nil {
		return "", err
	}
	width, height, err := term.GetSize(fd)
	if err != nil || width == 0 || height == 0 {
		width, height = defaultWidth, defaultHeight
	}
	_ = c.editor.SetSize(width, height) // none that is positive is refused
	c.editor.SetPrompt(prompt)
	if more {
		c.editor.SetPrompt(promptMore)
	}
	line, err := c.editor.ReadLine()
	return line, errors.Join(err, c.cook())
}

// cook gives the terminal the mode that commands have it in. What was typed ahead
// is not lost.
func (c *session) cook() error {
	return unix.IoctlSetTermios(int(c.tty.Fd()), unix.TCSETSW, c.cooked)
}

// carryOut runs a command to its end, or until Ctrl-C. It reports whether the
// shell was left. What the command has left in the background goes on.
func (c *session) carryOut(ctx context.Context, program *syntax.File) (left bool) {
	ctx, interrupt := context.WithCancel(ctx)
	pressed, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(pressed, os.Interrupt)
	defer signal.Stop(pressed)
	defer close(ended)
	go func() {
		select {
		case <-pressed:
			interrupt()
		case <-ended:
		}
	}()
	for _, statement := range program.Stmts {
		err := c.run(ctx, statement)
		if c.runner.Exited() {
			return true
		}
		if ctx.Err() != nil {
			fmt.Fprintln(c.tty)
			return false
		}
		// A status says what the command said itself.
		if _, status := interp.IsExitStatus(err); err != nil && !status {
			fmt.Fprintln(c.tty, err)
		}
	}
	return false
}

// run carries out a statement. One that the interpreter has no way to carry out is not
// the end of the console.
func (c *session) run(ctx context.Context, statement *syntax.Stmt) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("this cannot be done here: %v", p)
		}
	}()
	return c.runner.Run(ctx, statement)
}

// cooked is how commands expect a terminal, whatever mode somebody left this one
// in. There is no key that would end the console (SIGQUIT) or stop it.
func cooked(now *unix.Termios) *unix.Termios {
	t := *now
	t.Iflag &^= unix.INLCR | unix.IGNCR | unix.ISTRIP
	t.Iflag |= unix.ICRNL | unix.IUTF8
	t.Oflag |= unix.OPOST | unix.ONLCR
	t.Lflag |= unix.ICANON | unix.ISIG | unix.IEXTEN | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE
	t.Cc[unix.VINTR], t.Cc[unix.VEOF] = ctrlC, ctrlD
	t.Cc[unix.VQUIT], t.Cc[unix.VSUSP] = 0, 0
	return &t
}

const ctrlC, ctrlD = 3, 4

// keys is the terminal for the editor. The editor ends a line at Ctrl-C as it does
// at Ctrl-D; this tells which it was, and keeps back what was typed after it.
type keys struct {
	input       io.Reader
	tty         io.Writer
	ahead       []byte
	interrupted bool
}

func (k *keys) Read(p []byte) (int, error) {
	if len(k.ahead) == 0 {
		buf := make([]byte, len(p))
		n, err := k.input.Read(buf)
		if err != nil {
			return 0, err
		}
		k.ahead = buf[:n]
	}
	end := len(k.ahead)
	if i := bytes.IndexAny(k.ahead, string([]byte{ctrlC, ctrlD})); i >= 0 {
		end = i + 1
	}
	n := copy(p, k.ahead[:end])
	k.interrupted = n > 0 && p[n-1] == ctrlC
	k.ahead = k.ahead[n:]
	return n, nil
}

func (k *keys) Write(p []byte) (int, error) { return k.tty.Write(p) }

// history is what was typed, the latest last.
type history struct{ lines []string }

const maxHistory = 200

func (h *history) Add(line string) {
	if strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	h.lines = h.lines[max(0, len(h.lines)-maxHistory):]
}

func (h *history) Len() int        { return len(h.lines) }
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }
