package console

import (
	"context"
	"slices"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/config"
)

// Keyboard is a layout that a keyboard may have.
type Keyboard struct {
	Code string // as config.Keyboards
	Name string // as people who use it say
}

// Keyboards lists the layouts there are.
func Keyboards() []Keyboard {
	names := map[string]string{"us": "English (US)", "uk": "English (UK)", "de": "Deutsch", "fr": "Français", "es": "Español", "ch": "Schweiz / Suisse"}
	var list []Keyboard
	for _, code := range config.Keyboards() {
		list = append(list, Keyboard{code, names[code]})
	}
	return list
}

// usualKeyboard is the layout proposed to who speaks a language.
func usualKeyboard(language string) string {
	if slices.Contains(config.Keyboards(), language) {
		return language
	}
	return config.Keyboards()[0]
}

func keyboardName(code string) string {
	for _, k := range Keyboards() {
		if k.Code == code {
			return k.Name
		}
	}
	return ""
}

// typeOn gives the keyboard at this screen a layout, where it has another now.
func (m *model) typeOn(layout string) {
	if m.loadKeyboard == nil || layout == "" || layout == m.keyboard {
		return
	}
	m.keyboard = layout // a layout that cannot be loaded is not tried again and again
	if err := m.loadKeyboard(layout); err != nil {
		m.failed(err)
	}
}

func (m *model) keyboards() *list {
	var items []item
	for _, k := range Keyboards() {
		items = append(items, item{k.Name, "", func() tea.Cmd {
			return m.ask(func(ctx context.Context) then {
				err := m.backend.Type(ctx, k.Code)
				return func() tea.Cmd {
					if err != nil {
						m.failed(err)
						return nil
					}
					m.typeOn(k.Code)
					return m.back("")()
				}
			})
		}})
	}
	return &list{title: m.c.T("Keyboard"), items: items}
}
