package console

import (
	"context"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/wire"
)

// stickTime bounds a backup to or from a stick: the largest file that FAT
// takes, 4 GB, at the pace of an old stick.
const stickTime = time.Hour

// backups is the menu of backups on sticks.
func (m *model) backups() *list {
	T := m.c.T
	return &list{
		title: T("Backup to a USB stick"), intro: T("Plug in a stick formatted with FAT. It takes up to 4 GB of mail, which is not encrypted there: keep it locked away."),
		items: []item{
			{T("Make a backup now"), "", m.makeBackup},
			{T("Restore a backup"), "", func() tea.Cmd { return m.open(m.restorable()) }},
		},
	}
}

func (m *model) makeBackup() tea.Cmd {
	T := m.c.T
	t := &text{title: T("Make a backup now"), lines: []string{T("The backup is being written; mail goes on meanwhile. Leave the stick in.")}}
	m.push(t)
	return m.askWithin(stickTime, func(ctx context.Context) then {
		f, err := m.box.BackupToStick(ctx)
		return func() tea.Cmd {
			if err != nil {
				t.lines = wrap(T("That did not work: %s", m.c.why(m.stickTrouble(err))), m.width-4)
				return nil
			}
			t.lines = wrap(T("%s (%s) is on the stick; pull it out.", f.Name, octets(f.Size)), m.width-4)
			return nil
		}
	})
}

// stickTrouble says in the person's language that there is no stick.
func (m *model) stickTrouble(err error) error {
	if we := (*wire.Error)(nil); errors.As(err, &we) && we.Code == wire.CodeNotFound {
		return errors.New(m.c.T("There is no USB stick with a FAT file system in the box."))
	}
	return err
}

func (m *model) restorable() *list {
	T := m.c.T
	return &list{title: T("Restore a backup"), load: func(ctx context.Context) ([]item, error) {
		files, err := m.box.StickBackups(ctx)
		var items []item
		for _, f := range files {
			items = append(items, item{f.Written.In(m.zone).Format(minute), octets(f.Size) + "  " + f.Name, func() tea.Cmd { return m.openRestore(f) }})
		}
		if len(items) == 0 && err == nil {
			items = []item{{label: T("No backup on a stick.")}}
		}
		return items, err
	}}
}

// openRestore asks for the box's name before all mail is replaced.
func (m *model) openRestore(f boxapi.StickFile) tea.Cmd {
	T := m.c.T
	typed := m.ownNameField(T("Type the name of this box to replace its mail"))
	m.openForm(&form{
		title: T("Restore a backup"), button: T("Replace all mail"), fields: []*field{typed}, within: stickTime,
		intro: T("All mailboxes, passwords and mail of this box are replaced by those of %s. What came since then is lost. The mail service starts anew afterwards.", f.Name),
		submit: func(ctx context.Context) error {
			return m.box.RestoreFromStick(ctx, boxapi.RestoreRequest{Hostname: typed.value(), File: f})
		},
		done: func() tea.Cmd {
			m.stack, m.notice = nil, T("The backup was restored.")
			return nil
		},
	})
	return nil
}
