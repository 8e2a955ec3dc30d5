package boot

import (
	"fmt"
	"slices"
	"testing"

	"pillarbox/appliance/api/initapi"
)

func TestProblems(t *testing.T) {
	var p problems
	p.add("state volume", "it is not there")
	p.add("data volume", "it is full")
	p.add("state volume", "it cannot be written")
	if got := p.list(); !slices.Equal(got, []string{"it cannot be written", "it is full"}) {
		t.Errorf("got %q", got)
	}
	var told []string
	p.report(func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) })
	p.add("data volume", "it is full") // known
	p.add("network", "no card")
	if want := []string{"PROBLEM: it cannot be written", "PROBLEM: it is full", "PROBLEM: no card"}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	p.solved("state volume")
	p.solved("nothing of this name")
	if p.has("state volume") || !p.has("network") || len(p.list()) != 2 {
		t.Errorf("left: %q", p.list())
	}
}

func TestEvents(t *testing.T) {
	var e events
	for i := range maxEvents + 5 {
		e.add(initapi.Event{Text: fmt.Sprint(i)})
	}
	got := e.all()
	if len(got) != maxEvents || got[0].Text != "5" || got[maxEvents-1].Text != fmt.Sprint(maxEvents+4) {
		t.Errorf("%d events from %v", len(got), got[0])
	}
}
