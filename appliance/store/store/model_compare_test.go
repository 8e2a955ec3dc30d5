package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// compare compares the whole store with the model.
func (m *model) compare(t *rapid.T) {
	ctx := context.Background()
	for _, a := range m.accounts {
		bytes, n := a.used()
		q, err := m.s.Quota(ctx, a.id)
		if err != nil || q.Bytes != bytes || q.Messages != n {
			t.Fatalf("quota %+v, want %d bytes %d messages: %v", q, bytes, n, err)
		}
		boxes, err := m.s.Mailboxes(ctx, a.id)
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]bool{}
		for _, b := range boxes {
			there[b.Name] = true
			if b.Subscribed != a.subs[b.Name] {
				t.Fatalf("%q subscribed: %v", b.Name, b.Subscribed)
			}
			if b.NonExistent {
				if a.boxes[b.Name] != nil {
					t.Fatalf("%q is not there", b.Name)
				}
				continue
			}
			if a.boxes[b.Name] == nil {
				t.Fatalf("%q is there", b.Name)
			}
			m.compareBox(t, b, a.boxes[b.Name])
		}
		for n := range a.boxes {
			if !there[n] {
				t.Fatalf("%q is missing", n)
			}
		}
	}
	m.compareQueue(t)
	docs := map[string]string{}
	err := m.s.Docs(ctx, TableSetting, "", "", func(d Doc) error { docs[d.Key] = string(d.Value); return nil })
	if err != nil || !maps.Equal(docs, m.docs) {
		t.Fatalf("documents %v, want %v: %v", docs, m.docs, err)
	}
}

func (m *model) compareBox(t *rapid.T, got Mailbox, want *modelBox) {
	var unseen, deleted uint32
	words := map[string]bool{}
	for _, msg := range want.msgs {
		if msg.flags&Seen == 0 {
			unseen++
		}
		if msg.flags&Deleted != 0 {
			deleted++
		}
		maps.Copy(words, msg.words)
	}
	if got.ID != want.id || got.UIDNext != want.next || int(got.Messages) != len(want.msgs) || got.Unseen != unseen ||
		got.DeletedCount != deleted || got.UIDValidity != want.validity || len(got.Keywords) != len(words) {
		t.Fatalf("mailbox %+v, want %+v (%d unseen, %d deleted, %v)", got, want, unseen, deleted, words)
	}
	var uids []UID
	_, err := m.s.Entries(context.Background(), want.id, 1, 0, func(e Entry) error {
		uids = append(uids, e.UID)
		msg := want.msgs[e.UID]
		if msg == nil || e.Flags.System != msg.flags || !maps.Equal(wordSet(e.Flags.Keywords), msg.words) || e.Size != msg.size {
			t.Fatalf("%q: entry %+v, want %+v", got.Name, e, msg)
		}
		if msg.seq != 0 && msg.seq != e.ModSeq || msg.email != 0 && msg.email != e.Email {
			t.Fatalf("%q: entry %+v, want mod-sequence %d email %d", got.Name, e, msg.seq, msg.email)
		}
		msg.seq, msg.email = e.ModSeq, e.Email
		return nil
	})
	if err != nil || !slices.Equal(uids, slices.Sorted(maps.Keys(want.msgs))) {
		t.Fatalf("%q: %v, want %v: %v", got.Name, uids, slices.Sorted(maps.Keys(want.msgs)), err)
	}
	for _, p := range want.past {
		m.comparePast(t, want, p)
	}
}

// comparePast sees that the changes since a moment turn that moment's mailbox into today's.
func (m *model) comparePast(t *rapid.T, b *modelBox, p modelPast) {
	c, err := m.s.ChangesSince(context.Background(), b.id, p.seq)
	if err != nil {
		t.Fatal(err)
	}
	then := maps.Clone(p.msgs)
	for _, e := range c.Changed {
		if then[e.UID] == e.ModSeq {
			t.Fatalf("UID %d did not change", e.UID)
		}
		then[e.UID] = e.ModSeq
	}
	for _, u := range c.Vanished {
		delete(then, u)
	}
	now := map[UID]ModSeq{}
	for u, msg := range b.msgs {
		now[u] = msg.seq
	}
	if !maps.Equal(then, now) {
		t.Fatalf("changes since %d lead to %v, mailbox is %v", p.seq, then, now)
	}
}

func (m *model) compareQueue(t *rapid.T) {
	ctx := context.Background()
	n := 0
	err := m.s.QueueList(ctx, 0, func(q QueueEntry) error {
		n++
		w := m.queue[q.ID]
		if w == nil || string(q.Data) != w.data || !q.Due.Equal(w.due) || q.Size != int64(len(m.bodies[w.body])) {
			t.Fatalf("queue entry %+v, want %+v", q, w)
		}
		return nil
	})
	if err != nil || n != len(m.queue) {
		t.Fatalf("%d queue entries, want %d: %v", n, len(m.queue), err)
	}
	var due int
	for _, q := range m.queue {
		if !q.due.After(m.clock.now()) {
			due++
		}
	}
	next, err := m.s.QueueDue(ctx, m.clock.now(), 0, func(QueueEntry) error { due--; return nil })
	if err != nil || due != 0 {
		t.Fatalf("%d due entries too few: %v", due, err)
	}
	var wantNext time.Time
	for _, q := range m.queue {
		if q.due.After(m.clock.now()) && (wantNext.IsZero() || q.due.Before(wantNext)) {
			wantNext = q.due
		}
	}
	if !next.Equal(wantNext) {
		t.Fatalf("next due %v, want %v", next, wantNext)
	}
}

// check ends a run: bodies are whole, account changes add up, the store's own check is clean.
func (m *model) check() {
	ctx, t := context.Background(), m.t
	if err := m.s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	for _, a := range m.accounts {
		for _, p := range a.past {
			c, err := m.s.AccountChangesSince(ctx, a.id, p.state, 0)
			if err != nil {
				t.Fatal(err)
			}
			then := maps.Clone(p.emails)
			for _, e := range c.Created {
				then[e] = true
			}
			for _, e := range c.Destroyed {
				delete(then, e)
			}
			if now := a.emails(m); !maps.Equal(then, now) {
				t.Fatalf("account changes since %d lead to %v, there is %v (%+v)", p.state, then, now, c)
			}
		}
		for _, b := range a.boxes {
			_, err := m.s.Entries(ctx, b.id, 1, 0, func(e Entry) error {
				r, err := m.s.OpenBody(ctx, e.Blob)
				if err != nil {
					return err
				}
				got, err := io.ReadAll(r)
				if err == nil && !bytes.Equal(got, m.bodies[b.msgs[e.UID].body]) {
					err = fmt.Errorf("body of %d differs", e.UID)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := m.s.Check(ctx, CheckOptions{Bodies: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Errorf("check: %s: %s", p.Where, p.What)
	}
}
