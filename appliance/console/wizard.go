package console

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/config"
)

// wizard asks the first-boot questions, a page a subject. Answers live in the
// fields, which live as long as the wizard: going back loses nothing.
type wizard struct {
	t     theme
	keys  bool // the person types on the box's own keyboard
	c     *Catalogue
	pages []*page
	at    int // index into pages; len(pages) is the summary
	focus int // field of the page
	phase phase
	step  SetUpStep // under way while applying
	err   string    // why the set-up failed
	box   func() found
	smart smartHost
	disks []boxapi.Disk // that mail may be kept on; none: there is nothing to choose
}

type phase int

const (
	asking phase = iota
	applying
	applied
)

// page is one subject with its questions.
type page struct {
	title  string
	intro  string
	fields []*field
	// facts, where set, are lines about the box to read before going on.
	facts func() []string
	// leave is asked when all fields are valid and the person goes on; it may
	// prepare what the later pages propose.
	leave func()
	// needless, where set, tells that there is nothing to ask here now.
	needless func() bool
}

func (p *page) hidden() bool { return p.needless != nil && p.needless() }

// confirmed asks the console to apply the answers.
type confirmed struct{ answers Answers }

// setUpAt is a step of applying that has begun; next waits for the one after.
type setUpAt struct {
	step SetUpStep
	next tea.Cmd
}

// setUpDone is the end of applying.
type setUpDone struct{ err error }

// found is what the box found out by itself.
type found struct {
	state State
	tests *netTest
}

// networkPage is the page whose tests run while it is looked at.
const networkPage = 1

func newWizard(t theme, c *Catalogue, zones []string, keys bool, box func() found) *wizard {
	w := &wizard{t: t, c: c, keys: keys, box: box}
	T := c.T
	var names []string
	for _, l := range Languages() {
		names = append(names, l.Name)
	}
	language := newField(field{id: "language", label: "Language / Sprache / Langue / Idioma", options: names, help: T("Choose with the arrow keys.")}, "")
	for _, l := range Languages() {
		if l.Code == c.code {
			language.choose(l.Name)
		}
	}
	var layouts []string
	for _, k := range Keyboards() {
		layouts = append(layouts, k.Name)
	}
	keyboard := newField(field{id: "keyboard", label: T("Keyboard"), options: layouts, help: T("What is printed on its keys."), needless: func() bool { return !keys }}, "")
	keyboard.choose(keyboardName(usualKeyboard(c.code)))
	direct, smart := T("straight to each recipient's server"), T("by a smart host of your provider")
	way := newField(field{id: "way", label: T("How mail leaves"), options: []string{direct, smart},
		help: T("Straight is best where port 25 is open outwards. Most home and many office lines need a smart host.")}, "")
	straight := func() bool { return way.value() == direct }
	w.smart = newSmartHost(c, T("Such as smtp.example.net."), "", false, straight)
	smartUser := newField(field{id: "smart_host_user", label: T("User name there"), needless: straight}, "")
	smartWord := newField(field{id: "smart_host_password", label: T("Password there"), secret: true, needless: func() bool { return straight() || smartUser.value() == "" }, check: checked(c, func(v string) (string, error) { return v, nil })}, "")
	hostname := newField(field{
		id: "hostname", label: T("Full name of this box"),
		help:  T("The name mail clients and other servers know it by, such as mail.example.org."),
		check: checked(c, config.Hostname),
	}, "")
	domain := newField(field{
		id: "domain", label: T("Mail domain"),
		help:  T("What stands behind the @ in your addresses, such as example.org."),
		check: checked(c, config.DomainName),
	}, "")
	admin := newField(field{
		id: "admin_password", label: T("Administrator's password"), secret: true,
		help:  T("Opens the settings of this box. At least 8 characters; a few words are good."),
		check: strong(c, func() string { return config.AdminLogin }),
	}, "")
	adminAgain := newField(field{
		id: "admin_password_again", label: T("The same password again"), secret: true, again: true,
		check: same(c, admin),
	}, "")
	mailbox := newField(field{
		id: "mailbox", label: T("Address of the first mailbox"),
		help: T("Mail to the postmaster of your domain arrives here as well."),
		check: func(v string) error {
			if err := checked(c, config.Address)(v); err != nil {
				return err
			}
			if _, d, _ := strings.Cut(v, "@"); !strings.EqualFold(d, domain.value()) {
				return errors.New(T("The address must end in @%s, the domain you gave before.", domain.value()))
			}
			return nil
		},
	}, "")
	person := newField(field{
		id: "mailbox_name", label: T("Name of the person"),
		help: T("Shown as the sender's name. May be left empty."),
	}, "")
	mailboxPassword := newField(field{
		id: "mailbox_password", label: T("Password of this mailbox"), secret: true,
		help:  T("For the person's mail program. At least 8 characters."),
		check: strong(c, func() string { return mailbox.value() }),
	}, "")
	passwordAgain := newField(field{
		id: "mailbox_password_again", label: T("The same password again"), secret: true, again: true,
		check: same(c, mailboxPassword),
	}, "")
	zone := newField(field{
		id: "timezone", label: T("Time zone"), options: zones,
		help:  T("Type a part of a city's name, then choose with the arrow keys."),
		check: checked(c, config.Timezone),
	}, "")
	zone.proposal = usualZone(c.code)
	zone.choose(zone.proposal)
	w.pages = []*page{
		{title: T("Welcome"), intro: T("A few questions and this box carries your mail. Nothing is changed before you confirm at the end."),
			facts: func() []string { return wizardProblems(t, w.c, box().state) }, fields: []*field{language, keyboard}},
		{title: T("Network"), intro: T("This is what the box found."), facts: func() []string {
			return append(append(networkFacts(t, c, box().state), ""), box().tests.lines(t, c, defaultWidth)...)
		}, leave: func() {
			if box().tests.failed() == boxapi.TestPort25 && way.value() == direct {
				way.choose(smart)
			}
		}},
		{title: T("Names"), fields: []*field{domain, hostname},
			leave: func() {
				if v := mailbox.value(); v == "" || v[0] == '@' {
					mailbox.proposeDomain(strings.ToLower(domain.value()))
				}
			}},
		{title: T("Administrator"), fields: []*field{admin, adminAgain}},
		{title: T("First mailbox"), fields: []*field{mailbox, person, mailboxPassword, passwordAgain}},
		{title: T("Sending"), fields: []*field{way, w.smart.host, w.smart.port, smartUser, smartWord}},
		w.certificatePage(),
		{title: T("Time zone"), fields: []*field{zone}},
		w.diskPage(),
	}
	domain.check = func(v string) error {
		if err := checked(c, config.DomainName)(v); err != nil {
			return err
		}
		if proposal := "mail." + strings.ToLower(v); hostname.value() == "" || hostname.value() == hostname.proposal {
			hostname.proposal = proposal
			hostname.set(proposal)
		}
		return nil
	}
	w.offerDisks()
	w.focusOn(0, 0)
	return w
}

// speak asks in another language from here on, with all answers kept.
func (w *wizard) speak(c *Catalogue, zones []string, box func() found) *wizard {
	n := newWizard(w.t, c, zones, w.keys, box)
	proposed := w.keyboard() == usualKeyboard(w.c.code)
	for i, p := range w.pages {
		for j, f := range p.fields {
			f2 := n.pages[i].fields[j]
			if f.id == "keyboard" && proposed || f.id == "timezone" && f.value() == f.proposal {
				continue // goes with the language until the person says otherwise
			}
			f2.input.SetValue(f.input.Value())
			f2.pick, f2.domain = f.pick, f.domain
			if f.id == "hostname" {
				f2.proposal = f.proposal
			}
		}
	}
	n.focusOn(w.at, w.focus)
	return n
}

// usualZone is the time zone proposed to who speaks a language; in English one
// that belongs to no place rather than to the first of the alphabet.
func usualZone(language string) string {
	switch language {
	case "de":
		return "Europe/Berlin"
	case "fr":
		return "Europe/Paris"
	case "es":
		return "Europe/Madrid"
	}
	return "UTC"
}

// language is the one chosen on the first page.
func (w *wizard) language() string {
	for _, l := range Languages() {
		if l.Name == w.field("language").value() {
			return l.Code
		}
	}
	return "en"
}

// keyboard is the layout chosen on the first page.
func (w *wizard) keyboard() string {
	for _, k := range Keyboards() {
		if k.Name == w.field("keyboard").value() {
			return k.Code
		}
	}
	return usualKeyboard(w.language())
}

func (w *wizard) focusOn(page, fieldIndex int) {
	w.at, w.focus = page, fieldIndex
	for i, p := range w.pages {
		for j, f := range p.fields {
			if i == page && j == fieldIndex {
				f.input.Focus()
			} else {
				f.input.Blur()
			}
		}
	}
}

func (w *wizard) field(id string) *field {
	for _, p := range w.pages {
		for _, f := range p.fields {
			if f.id == id {
				return f
			}
		}
	}
	return nil
}

func (w *wizard) answers() Answers {
	v := func(id string) string { return w.field(id).value() }
	a := Answers{
		Language: w.language(), Keyboard: w.keyboard(),
		Hostname: strings.ToLower(v("hostname")), Domain: strings.ToLower(v("domain")),
		AdminPassword: v("admin_password"), Mailbox: strings.ToLower(v("mailbox")), MailboxName: v("mailbox_name"),
		Password: v("mailbox_password"), TimeZone: v("timezone"), SmartHost: w.smart.value(), SmartHostUser: v("smart_host_user"), SmartHostPassword: v("smart_host_password"),
		Disk: w.diskAnswer(),
	}
	a.PublicCertificate, a.CertificateEmail = w.certificateAnswer()
	if way := w.field("way"); way.value() == way.options[0] {
		a.SmartHost, a.SmartHostUser, a.SmartHostPassword = "", "", ""
	}
	return a
}

func (w *wizard) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case setUpDone:
		w.finished(msg.err)
	case tea.KeyPressMsg:
		if w.phase == asking {
			return w.key(msg)
		}
	case tea.PasteMsg:
		if w.phase == asking && w.at < len(w.pages) && len(w.pages[w.at].fields) > 0 {
			f := w.pages[w.at].fields[w.focus]
			f.input, _ = f.input.Update(msg)
		}
	}
	return nil
}

func (w *wizard) finished(err error) {
	var fe *FieldError
	switch {
	case err == nil:
		w.phase = applied
	case errors.As(err, &fe) && w.field(fe.Field) != nil:
		w.phase = asking
		for i, p := range w.pages {
			for j, f := range p.fields {
				if f.id == fe.Field {
					f.err = w.c.Refusal(fe.Message)
					w.focusOn(i, j)
				}
			}
		}
	default:
		w.phase, w.err = asking, w.c.why(err)
	}
}

func (w *wizard) key(k tea.KeyPressMsg) tea.Cmd {
	if w.at == len(w.pages) {
		switch k.String() {
		case "enter":
			w.phase, w.step, w.err = applying, StepMachine, ""
			a := w.answers()
			return func() tea.Msg { return confirmed{a} }
		case "esc", "shift+tab", "up", "left":
			last := w.other(len(w.pages), -1)
			w.focusOn(last, w.lastOf(last))
		}
		return nil
	}
	p := w.pages[w.at]
	if len(p.fields) == 0 {
		switch k.String() {
		case "enter", "tab", "right", "down":
			if p.leave != nil {
				p.leave()
			}
			w.focusOn(w.other(w.at, 1), 0)
		case "esc", "shift+tab", "left", "up":
			w.previous()
		}
		return nil
	}
	f := p.fields[w.focus]
	switch k.String() {
	case "esc":
		if w.at > 0 {
			w.focusOn(w.other(w.at, -1), 0)
		}
		return nil
	case "enter", "tab":
		w.next(p, f)
		return nil
	case "shift+tab":
		w.previous()
		return nil
	}
	if f.update(k) {
		return nil
	}
	switch k.String() {
	case "down":
		w.next(p, f)
	case "up":
		w.previous()
	}
	return nil
}

// next goes on from a field that is in order; from the last one to the next page.
func (w *wizard) next(p *page, f *field) {
	if !f.valid() {
		return
	}
	if at := shown(p.fields, w.focus+1, 1); at < len(p.fields) {
		w.focusOn(w.at, at)
		return
	}
	for i, other := range p.fields {
		if !other.valid() {
			w.focusOn(w.at, i)
			return
		}
	}
	if p.leave != nil {
		p.leave()
	}
	w.focusOn(w.other(w.at, 1), 0)
}

// other is the page after one, or before it, that has something to ask; the first is
// always there, and the summary after the last.
func (w *wizard) other(at, step int) int {
	for at += step; at > 0 && at < len(w.pages) && w.pages[at].hidden(); {
		at += step
	}
	return at
}

// place is where a page stands among those that are asked, such as (2/8).
func (w *wizard) place(at int) string {
	n, all := 1, 1
	for i, p := range w.pages {
		if p.hidden() {
			continue
		}
		if all++; i < at {
			n++
		}
	}
	return fmt.Sprintf("(%d/%d)", n, all)
}

func (w *wizard) previous() {
	switch {
	case w.focus > 0:
		w.focusOn(w.at, shown(w.pages[w.at].fields, w.focus-1, -1))
	case w.at > 0:
		before := w.other(w.at, -1)
		w.focusOn(before, w.lastOf(before))
	}
}

// lastOf is the index of a page's last field, 0 where it has none.
func (w *wizard) lastOf(page int) int {
	fields := w.pages[page].fields
	return max(0, shown(fields, len(fields)-1, -1))
}

func (w *wizard) view(width int) (title string, lines []string, keys string) {
	T := w.c.T
	switch {
	case w.phase == applying:
		return T("Setting up"), w.progress(), ""
	case w.at == len(w.pages):
		return w.summary(width)
	}
	p := w.pages[w.at]
	title = p.title + " " + w.place(w.at)
	if p.intro != "" {
		for _, l := range wrap(p.intro, width-4) {
			lines = append(lines, "  "+l)
		}
		lines = append(lines, "")
	}
	if p.facts != nil {
		lines = append(lines, p.facts()...)
	}
	if len(p.fields) == 0 {
		return title, lines, T("Enter: next   Esc: page before")
	}
	for i, f := range p.fields {
		lines = append(lines, f.view(w.t, i == w.focus, width-4)...)
	}
	keys = T("Enter: next   Shift+Tab: back one   Esc: page before")
	return title, lines, keys
}

// progress draws how far applying has come.
func (w *wizard) progress() []string {
	T := w.c.T
	lines := []string{"", "  " + T("One moment: the box is being set up."), ""}
	for step, name := range []string{
		StepMachine: T("Name, time zone and language"),
		StepDisk:    T("Disk for mail"),
		StepSending: T("How mail leaves"),
		StepMail:    T("Domain, passwords, mailbox and certificate"),
	} {
		if SetUpStep(step) == StepDisk && w.chosenDisk() == nil {
			continue
		}
		state := w.t.dim.Render(fit("-", 6))
		switch {
		case SetUpStep(step) < w.step:
			state = w.t.good.Render(fit(T("done"), 6))
		case SetUpStep(step) == w.step:
			state = w.t.warn.Render(fit("...", 6))
		}
		lines = append(lines, "  "+state+" "+name)
	}
	return lines
}

func (w *wizard) summary(width int) (string, []string, string) {
	T, a := w.c.T, w.answers()
	title := T("Is this right?") + " " + w.place(w.at)
	row := func(label, value string) string { return "  " + fit(label, 26) + w.t.bold.Render(fit(value, width-32)) }
	spoken := w.field("language").value()
	if keyboard := w.field("keyboard"); !keyboard.needless() {
		spoken += ", " + keyboard.value()
	}
	lines := []string{
		row(T("Language and keyboard"), spoken),
		row(T("Mail domain"), a.Domain),
		row(T("Full name of this box"), a.Hostname),
		row(T("First mailbox"), a.Mailbox),
		row(T("Name of the person"), a.MailboxName),
		row(T("How mail leaves"), cmp.Or(a.SmartHost, w.field("way").value())),
		row(T("Time zone"), a.TimeZone),
		row(T("Passwords"), T("as you typed them")),
		row(T("Certificate"), w.certificateSummary()),
		row(T("Disk for mail"), w.diskForMail()),
	}
	lines = append(append(lines, w.diskWarning(width)...), "")
	if w.err != "" {
		lines = append(append(lines, w.t.trouble(w.err, width)...), "")
	}
	lines = append(lines, "  "+w.t.button.Render(" "+T("Set up this box")+" "))
	return title, lines, T("Enter: set up   Esc: back to change something")
}
