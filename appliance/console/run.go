package console

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/console/shell"
)

// Config says where and how to run.
type Config struct {
	// TTY is the terminal, open for reading and writing.
	TTY *os.File
	// Serial draws for a line of unknown size and abilities: ASCII, 80 by 24
	// unless the line says otherwise, no questions to the terminal.
	Serial bool
	// Language is a code of Languages; English where empty.
	Language string
	Backend  Backend
	// LoadKeyboard gives the keyboard at TTY a layout of Keyboards; nil where
	// the keyboard is not the box's, as on a serial line.
	LoadKeyboard func(layout string) error
	// Mail, Box, Init and Health are what the menus change and read.
	Mail   mailapi.Service
	Box    boxapi.Service
	Init   initapi.Service
	Health healthapi.Service
	// Now is the clock; time.Now where nil.
	Now func() time.Time
	// Log takes what an administrator should know of later; nothing where nil.
	Log *slog.Logger
}

// Run shows the console until the context ends. It gives the terminal back
// as it was.
func Run(ctx context.Context, cfg Config) error {
	m, err := newModel(ctx, cfg)
	if err != nil {
		return err
	}
	p := tea.NewProgram(m,
		tea.WithInput(cfg.TTY),
		tea.WithOutput(cfg.TTY),
		tea.WithEnvironment(environment(cfg.Serial)),
		tea.WithFPS(10), // a serial line is slow, and nothing here moves faster
	)
	// Asked to quit it waits for its reader of keys, which a context that ends
	// would have it leave behind.
	stop := context.AfterFunc(ctx, p.Quit)
	defer stop()
	if _, err := p.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

func newModel(ctx context.Context, cfg Config) (*model, error) {
	language := cfg.Language
	if language == "" {
		language = "en"
	}
	c, err := LoadCatalogue(language)
	if err != nil {
		return nil, err
	}
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	logger := cfg.Log
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &model{
		ctx: ctx, tty: cfg.TTY, shell: new(shell.Shell), logger: logger, exec: tea.Exec, backend: cfg.Backend, mail: cfg.Mail, box: cfg.Box, init: cfg.Init, health: cfg.Health, t: newTheme(cfg.Serial), c: c, language: language, loadKeyboard: cfg.LoadKeyboard, zone: time.UTC, now: now,
		// A Tick runs from when it is made: each refresh needs a new one.
		tick:  func() tea.Cmd { return tea.Tick(refreshEvery, func(time.Time) tea.Msg { return refresh{} }) },
		width: defaultWidth, height: defaultHeight,
	}, nil
}

// environment is what the terminal library decides by. SSH_TTY keeps it from
// asking a serial line which modes it has: the questions would stand on the
// screens of terminals that do not know them.
func environment(serial bool) []string {
	if serial {
		return []string{"TERM=vt220", "SSH_TTY=/dev/console"}
	}
	return []string{"TERM=linux"}
}
