package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// made notes what creating a mailbox does to the model.
func (m *model) made(a *modelAccount, name string) {
	for _, n := range append(parents(name), name) {
		if a.boxes[n] != nil {
			continue
		}
		b, err := m.s.MailboxByName(context.Background(), a.id, n)
		if err != nil {
			m.t.Fatalf("made %q: %v", n, err)
		}
		k := fmt.Sprint(a.id, n)
		if b.UIDValidity <= m.validity[k] {
			m.t.Fatalf("UIDVALIDITY of %q went from %d to %d", n, m.validity[k], b.UIDValidity)
		}
		m.validity[k] = b.UIDValidity
		a.boxes[n] = &modelBox{id: b.ID, validity: b.UIDValidity, next: 1, msgs: map[UID]*modelMessage{}}
	}
}

func parents(name string) []string {
	var out []string
	for i, r := range name {
		if r == '/' {
			out = append(out, name[:i])
		}
	}
	return out
}

func (m *model) create(t *rapid.T) {
	a, name := m.account(t), m.name(t)
	_, err := m.s.CreateMailbox(context.Background(), a.id, name, "")
	if a.boxes[name] != nil {
		if !errors.Is(err, ErrExists) {
			t.Fatalf("create again: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.made(a, name)
}

func (m *model) rename(t *rapid.T) {
	a, from, to := m.account(t), m.name(t), m.name(t)
	err := m.s.RenameMailbox(context.Background(), a.id, from, to)
	switch {
	case a.boxes[from] == nil:
		if !errors.Is(err, ErrNotFound) {
			t.Fatalf("rename nothing: %v", err)
		}
		return
	case a.boxes[to] != nil:
		if !errors.Is(err, ErrExists) {
			t.Fatalf("rename onto another: %v", err)
		}
		return
	case from == inbox:
		if err != nil {
			t.Fatal(err)
		}
		m.made(a, to)
		in, out := a.boxes[inbox], a.boxes[to]
		for _, u := range slices.Sorted(maps.Keys(in.msgs)) {
			msg := in.msgs[u]
			msg.seq = 0
			out.msgs[out.next] = msg
			out.next++
		}
		clear(in.msgs)
		return
	case below(to, from):
		if !errors.Is(err, ErrBadName) {
			t.Fatalf("rename below itself: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(a.boxes)) {
		if name != from && !below(name, from) {
			continue
		}
		n := to + strings.TrimPrefix(name, from)
		a.boxes[n] = a.boxes[name]
		k := fmt.Sprint(a.id, n)
		m.validity[k] = max(m.validity[k], a.boxes[n].validity)
		delete(a.boxes, name)
		if a.subs[name] {
			delete(a.subs, name)
			a.subs[n] = true
		}
	}
	for _, p := range parents(to) {
		if a.boxes[p] == nil {
			m.made(a, p)
		}
	}
}

func (m *model) delete(t *rapid.T) {
	a, name := m.account(t), m.name(t)
	err := m.s.DeleteMailbox(context.Background(), a.id, name)
	var want error
	switch {
	case a.boxes[name] == nil:
		want = ErrNotFound
	case name == inbox:
		want = ErrInbox
	default:
		for n := range a.boxes {
			if below(n, name) {
				want = ErrHasChildren
			}
		}
	}
	if !errors.Is(err, want) {
		t.Fatalf("delete %q: %v, want %v", name, err, want)
	}
	if want == nil {
		delete(a.boxes, name)
	}
}

func (m *model) subscribe(t *rapid.T) {
	a, name, on := m.account(t), m.name(t), rapid.Bool().Draw(t, "on")
	if err := m.s.Subscribe(context.Background(), a.id, name, on); err != nil {
		t.Fatal(err)
	}
	if on {
		a.subs[name] = true
	} else {
		delete(a.subs, name)
	}
}
