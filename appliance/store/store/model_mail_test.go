package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"
)

var modelWords = []string{"$Junk", "work", "Later"}

func drawFlags(t *rapid.T) Flags {
	f := Flags{System: SystemFlags(rapid.IntRange(0, 31).Draw(t, "flags"))}
	for _, w := range modelWords {
		if rapid.Bool().Draw(t, "word") {
			f.Keywords = append(f.Keywords, w)
		}
	}
	return f
}

func drawMask(t *rapid.T) FlagMask {
	return FlagMask{SystemFlags(rapid.IntRange(0, 31).Draw(t, "mask")) * SystemFlags(rapid.IntRange(0, 1).Draw(t, "masked")), rapid.Bool().Draw(t, "mask words")}
}

func wordSet(w []string) map[string]bool {
	out := map[string]bool{}
	for _, k := range w {
		out[k] = true
	}
	return out
}

func (m *model) deliver(t *rapid.T) {
	ctx := context.Background()
	n := rapid.IntRange(0, len(m.bodies)-1).Draw(t, "body")
	body := m.bodies[n]
	d := Delivery{Facts: Facts{MessageID: fmt.Sprint(n), Index: []byte{byte(n)}, Header: body[:20]}}
	type target struct {
		a    *modelAccount
		name string
	}
	var targets []target
	for range rapid.IntRange(0, 3).Draw(t, "places") {
		a, name := m.account(t), m.name(t)
		targets = append(targets, target{a, name})
		d.Placements = append(d.Placements, Placement{Account: a.id, Name: name, Flags: drawFlags(t)})
	}
	for range rapid.IntRange(0, 1).Draw(t, "queued") {
		d.Queue = append(d.Queue, QueueEntry{Recipient: "x@example.net", Due: m.clock.now(), Data: []byte("new")})
	}
	sp, err := m.s.Spool(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Abort()
	if _, err := sp.Write(body); err != nil {
		t.Fatal(err)
	}
	if rapid.IntRange(0, 9).Draw(t, "abort") == 0 {
		return
	}
	over := false
	extra := map[*modelAccount]int64{}
	for _, tg := range targets {
		extra[tg.a] += int64(len(body))
		used, _ := tg.a.used()
		over = over || tg.a.limit > 0 && used+extra[tg.a] > tg.a.limit
	}
	d.Body = sp
	r, err := m.s.Deliver(ctx, d)
	if over != errors.Is(err, ErrOverQuota) {
		t.Fatalf("over quota: %v, deliver: %v", over, err)
	}
	if over {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range r.Placed {
		a, name := targets[i].a, targets[i].name
		if a.boxes[name] == nil {
			m.made(a, name)
			a.subs[name] = true
		}
		b := a.boxes[name]
		if p.Mailbox != b.id || p.UID != b.next || p.UIDValidity != b.validity {
			t.Fatalf("placed %+v, want box %d uid %d", p, b.id, b.next)
		}
		b.msgs[p.UID] = &modelMessage{body: n, size: int64(len(body)), flags: d.Placements[i].Flags.System,
			words: wordSet(d.Placements[i].Flags.Keywords), email: p.Email, seq: p.ModSeq}
		b.next++
	}
	for _, id := range r.Queued {
		m.queue[id] = &modelQueue{body: n, due: m.clock.now(), data: "new"}
	}
}

func (m *model) flags(t *rapid.T) {
	a := m.account(t)
	_, b := m.box(t, a)
	uids := b.pick(t)
	c := FlagChange{Op: FlagOp(rapid.IntRange(0, 2).Draw(t, "op")), Flags: drawFlags(t)}
	if rapid.Bool().Draw(t, "unchangedsince") {
		c.UseUnchangedSince, c.UnchangedSince = true, ModSeq(rapid.IntRange(1, 20).Draw(t, "since"))
	}
	if c.Op == FlagsSet {
		c.Keep = drawMask(t)
		if c.Keep.Keywords {
			c.Flags.Keywords = nil
		}
	}
	r, err := m.s.ChangeFlags(context.Background(), b.id, uids, c)
	if err != nil {
		t.Fatal(err)
	}
	var want, refused []UID
	for _, u := range uids {
		msg := b.msgs[u]
		if msg == nil {
			continue
		}
		if c.UseUnchangedSince && msg.seq > c.UnchangedSince {
			refused = append(refused, u)
			continue
		}
		want = append(want, u)
		switch c.Op {
		case FlagsSet:
			msg.flags = c.Flags.System | msg.flags&c.Keep.System
			if !c.Keep.Keywords {
				msg.words = wordSet(c.Flags.Keywords)
			}
		case FlagsAdd:
			msg.flags |= c.Flags.System
			maps.Copy(msg.words, wordSet(c.Flags.Keywords))
		case FlagsRemove:
			msg.flags &^= c.Flags.System
			for _, w := range c.Flags.Keywords {
				delete(msg.words, w)
			}
		}
	}
	var got []UID
	for _, e := range r.Changed {
		got = append(got, e.UID)
		b.msgs[e.UID].seq = e.ModSeq
	}
	if !slices.Equal(got, want) || !slices.Equal(r.Modified, refused) {
		t.Fatalf("changed %v refused %v, want %v and %v", got, r.Modified, want, refused)
	}
}

func (m *model) copy(t *rapid.T) {
	a, to := m.account(t), m.account(t)
	_, from := m.box(t, a)
	_, dst := m.box(t, to)
	move := rapid.Bool().Draw(t, "move")
	uids := slices.DeleteFunc(from.pick(t), func(u UID) bool { return from.msgs[u] == nil })
	var sum int64
	for _, u := range uids {
		sum += from.msgs[u].size
	}
	used, _ := to.used()
	over := to.limit > 0 && used+sum > to.limit && (!move || a != to) && len(uids) > 0
	without := drawMask(t)
	do := m.s.Copy
	if move {
		do = m.s.Move
	}
	r, err := do(context.Background(), from.id, uids, dst.id, without)
	if over != errors.Is(err, ErrOverQuota) {
		t.Fatalf("over quota %v: %v", over, err)
	}
	if over {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.From, uids) {
		t.Fatalf("copied %v of %v", r.From, uids)
	}
	moved := map[UID]*modelMessage{}
	for i, u := range r.From {
		c := *from.msgs[u]
		c.flags &^= without.System
		c.words = maps.Clone(c.words)
		if without.Keywords {
			clear(c.words)
		}
		c.email, c.seq = 0, 0
		if r.To[i] != dst.next {
			t.Fatalf("copy got UID %d, want %d", r.To[i], dst.next)
		}
		moved[r.To[i]] = &c
		dst.next++
	}
	if move {
		for _, u := range r.From {
			delete(from.msgs, u)
		}
	}
	maps.Copy(dst.msgs, moved)
}

func (m *model) expunge(t *rapid.T) {
	a := m.account(t)
	_, b := m.box(t, a)
	only := rapid.Bool().Draw(t, "only deleted")
	uids := b.pick(t)
	got, seq, err := m.s.Expunge(context.Background(), b.id, uids, only)
	if err != nil {
		t.Fatal(err)
	}
	var want []UID
	for _, u := range uids {
		if msg := b.msgs[u]; msg != nil && (!only || msg.flags&Deleted != 0) {
			want = append(want, u)
			delete(b.msgs, u)
		}
	}
	if !slices.Equal(got, want) || seq == 0 {
		t.Fatalf("expunged %v (%d), want %v", got, seq, want)
	}
}

// undelete restores a few expunged messages, most of which went with their mailbox.
func (m *model) undelete(t *rapid.T) {
	ctx := context.Background()
	m.sweep(t)
	a := m.account(t)
	var all []Expunged
	if err := m.s.Expunged(ctx, a.id, time.Time{}, func(x Expunged) error { all = append(all, x); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Skip("nothing expunged")
	}
	x := rapid.SampledFrom(all).Draw(t, "expunged")
	to := ""
	if rapid.Bool().Draw(t, "elsewhere") {
		to = m.name(t)
	}
	used, _ := a.used()
	over := a.limit > 0 && used+x.Size > a.limit
	placed, err := m.s.Undelete(ctx, a.id, []ExpungedID{x.ID}, to, false)
	if over != errors.Is(err, ErrOverQuota) {
		t.Fatalf("over quota %v: %v", over, err)
	}
	if over {
		return
	}
	if err != nil || len(placed) != 1 {
		t.Fatalf("undelete: %v %v", placed, err)
	}
	box, err := m.s.Mailbox(ctx, placed[0].Mailbox)
	if err != nil {
		t.Fatal(err)
	}
	if to == "" && a.boxes[x.Name] == nil && box.ID != x.ID.Mailbox {
		to = x.Name
	}
	if to != "" && box.Name != to {
		t.Fatalf("restored into %q, want %q", box.Name, to)
	}
	if a.boxes[box.Name] == nil {
		m.made(a, box.Name)
		a.subs[box.Name] = true
	}
	b := a.boxes[box.Name]
	n := slices.IndexFunc(m.bodies, func(p []byte) bool { return int64(len(p)) == x.Size })
	b.msgs[placed[0].UID] = &modelMessage{body: n, size: x.Size, flags: x.Flags.System, words: wordSet(x.Flags.Keywords), email: placed[0].Email, seq: placed[0].ModSeq}
	b.next = placed[0].UID + 1
}
