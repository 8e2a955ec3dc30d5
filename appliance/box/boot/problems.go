package boot

import (
	"slices"
	"sync"

	"pillarbox/appliance/api/initapi"
)

// problems are what is wrong now, a sentence for each subject, in the order
// they came up. The zero value is ready for use.
type problems struct {
	mu       sync.Mutex
	subjects []string
	texts    map[string]string
	heard    func(format string, args ...any)
}

// add notes a problem; a new one of the same subject takes its place.
func (p *problems) add(subject, text string) {
	p.mu.Lock()
	old, known := p.texts[subject]
	if p.texts == nil {
		p.texts = map[string]string{}
	}
	p.texts[subject] = text
	if !known {
		p.subjects = append(p.subjects, subject)
	}
	heard := p.heard
	p.mu.Unlock()
	if heard != nil && old != text {
		heard("PROBLEM: %s", text)
	}
}

// solved forgets the problem of a subject.
func (p *problems) solved(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.texts, subject)
	p.subjects = slices.DeleteFunc(p.subjects, func(s string) bool { return s == subject })
}

// report tells all problems, and from now on each new one, to heard.
func (p *problems) report(heard func(format string, args ...any)) {
	p.mu.Lock()
	p.heard = heard
	p.mu.Unlock()
	for _, text := range p.list() {
		heard("PROBLEM: %s", text)
	}
}

func (p *problems) has(subject string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.texts[subject]
	return ok
}

func (p *problems) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, s := range p.subjects {
		out = append(out, p.texts[s])
	}
	return out
}

// maxEvents bounds the events kept; they are for people to look at.
const maxEvents = 200

// events keeps the latest events. The zero value is ready for use.
type events struct {
	mu   sync.Mutex
	list []initapi.Event
}

func (e *events) add(ev initapi.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, ev)
	if len(e.list) > maxEvents {
		e.list = slices.Delete(e.list, 0, len(e.list)-maxEvents)
	}
}

func (e *events) all() []initapi.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]initapi.Event{}, e.list...)
}
