package console

import (
	"encoding/json"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"rsc.io/qr"

	"pillarbox/appliance/api/mailapi"
)

// The blank modules around a code: what the standard asks for (ISO/IEC 18004),
// and what telephones still find on a small screen.
const (
	quiet      = 4
	leastQuiet = 1
)

// phone is a screen of its own: the settings of one mailbox as a code for a
// telephone's camera. Thunderbird sets itself up from one, any other telephone
// shows the text of the other.
type phone struct {
	thunderbird, plain *qr.Code // nil: too much text for a code
	camera             bool     // plain is shown
	address            string
}

func newPhone(host string, u mailapi.User) *phone {
	p := &phone{address: u.Address}
	p.thunderbird, _ = qr.Encode(thunderbirdAccount(host, u), qr.L)
	p.plain, _ = qr.Encode(plainAccount(host, u), qr.L)
	return p
}

// thunderbirdAccount is Thunderbird's "Export for Mobile" code of version 1,
// without the password: format and sequence, the incoming server, the outgoing
// one with the person. 0 is IMAP or SMTP, 3 is TLS, 1 is a password.
func thunderbirdAccount(host string, u mailapi.User) string {
	name := u.Name
	if name == "" {
		name, _, _ = strings.Cut(u.Address, "@")
	}
	account := []any{
		1, []int{1, 1},
		[]any{0, host, 993, 3, 1, u.Address},
		[]any{[]any{[]any{0, host, 465, 3, 1, u.Address}, []any{u.Address, name}}},
	}
	raw, err := json.Marshal(account)
	if err != nil {
		return "" // strings and numbers always can be written
	}
	return string(raw)
}

// plainAccount is for people to read.
func plainAccount(host string, u mailapi.User) string {
	return fmt.Sprintf("%s\nIMAP %s 993 TLS\nSMTP %s 465 TLS", u.Address, host, host)
}

func (p *phone) update(m *model, msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	switch k.String() {
	case "esc", "left", "enter":
		m.pop(1)
	case "tab", "up", "down", "right":
		p.camera = !p.camera
	}
	return nil
}

// view draws the code on the whole screen, which gives it no title, with
// the words beside it.
func (p *phone) view(m *model, width, _ int) (string, []string, string) {
	T, height := m.c.T, m.height
	code, words := p.thunderbird, []string{T("Thunderbird on Android:"), "",
		T("Settings, Import settings, Scan QR code. It asks for the mailbox's password alone."), "",
		T("Tab: for other phones")}
	if p.camera || code == nil || !fits(code, width, height) {
		code, words = p.plain, []string{T("Any phone:"), "",
			T("Point the camera here: it shows the settings to type in."), "",
			T("Tab: for Thunderbird")}
	}
	if code == nil || !fits(code, width, height) {
		title := T("Code for a phone")
		return title, []string{"  " + T("This screen is too small for the code.")}, T("Enter: next   Esc: back")
	}
	words = append([]string{p.address, ""}, append(words, "", T("Enter: next   Esc: back"))...)
	lines := make([]string, height)
	for i, row := range halfBlocks(code, height) {
		lines[i] = m.t.code.Render(row)
	}
	column := code.Size + 2*quiet
	at := 1
	for _, w := range words {
		for _, l := range wrap(w, width-column-3) {
			if at < height {
				lines[at] += "  " + l
			}
			at++
		}
	}
	return "", lines, ""
}

// fits tells whether a code, two of its rows a line, has room beside words.
func fits(c *qr.Code, width, height int) bool {
	const words = 24
	return c.Size+2*leastQuiet <= 2*height && c.Size+2*quiet+words <= width
}

// halfBlocks draws a code light on dark, as screens are: what is drawn are the
// blank modules.
func halfBlocks(c *qr.Code, height int) []string {
	above := min(quiet, (2*height-c.Size)/2)
	below := min(quiet, 2*height-c.Size-above)
	blank := func(x, y int) bool { return !c.Black(x, y) } // outside of the code nothing is black
	var lines []string
	for y := -above; y < c.Size+below; y += 2 {
		var b strings.Builder
		for x := -quiet; x < c.Size+quiet; x++ {
			lower := blank(x, y+1) && y+1 < c.Size+below
			switch {
			case blank(x, y) && lower:
				b.WriteRune('█')
			case blank(x, y):
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		lines = append(lines, b.String())
	}
	return lines
}
