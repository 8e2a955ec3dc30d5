package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The model is what the store should be, as plainly as it can be written. The
// test does random things to both and compares.

type modelMessage struct {
	body  int // index of the body
	size  int64
	flags SystemFlags
	words map[string]bool
	email EmailID
	seq   ModSeq
}

type modelBox struct {
	id       MailboxID
	validity uint32
	next     UID
	msgs     map[UID]*modelMessage
	past     []modelPast
}

// modelPast is a mailbox as it was, to see that its changes since lead to now.
type modelPast struct {
	seq  ModSeq
	msgs map[UID]ModSeq
}

type modelAccount struct {
	id    AccountID
	limit int64
	boxes map[string]*modelBox
	subs  map[string]bool
	past  []modelAccountPast
}

type modelAccountPast struct {
	state  ModSeq
	emails map[EmailID]bool
}

type modelQueue struct {
	body int
	due  time.Time
	data string
}

type model struct {
	t        *rapid.T
	dir      string
	s        *Store
	clock    *clock
	bodies   [][]byte
	accounts []*modelAccount
	queue    map[QueueID]*modelQueue
	docs     map[string]string
	validity map[string]uint32 // highest ever by account and name
}

var modelNames = []string{"INBOX", "Trash", "Work", "Work/2024", "Work/2024/May", "Ärger", "a/b", "Work2"}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "store")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &model{t: rt, dir: dir, clock: newClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
			queue: map[QueueID]*modelQueue{}, docs: map[string]string{}, validity: map[string]uint32{}}
		m.open()
		defer func() {
			if m.s != nil {
				m.s.Close()
			}
		}()
		for i, size := range []int{200, 3000, 20 << 10, 700 << 10} {
			m.bodies = append(m.bodies, message(i, size))
		}
		m.newAccount(0)
		m.newAccount(40 << 10)
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": m.deliver, "flags": m.flags, "copy": m.copy, "expunge": m.expunge,
			"create": m.create, "rename": m.rename, "delete": m.delete, "subscribe": m.subscribe,
			"queue": m.queueOp, "doc": m.doc, "reopen": m.reopen, "remember": m.remember, "sweep": m.sweep,
			"reclaim": m.reclaim, "undelete": m.undelete,
			"": m.compare,
		})
		m.check()
	})
}

func (m *model) open() {
	s, err := Open(context.Background(), m.dir, Options{Small: true, Now: m.clock.now})
	if err != nil {
		m.t.Fatal(err)
	}
	m.s = s
}

func (m *model) newAccount(limit int64) {
	id, err := m.s.CreateAccount(context.Background(), Quota{LimitBytes: limit}, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	a := &modelAccount{id: id, limit: limit, boxes: map[string]*modelBox{}, subs: map[string]bool{}}
	boxes, err := m.s.Mailboxes(context.Background(), id)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, b := range boxes {
		a.boxes[b.Name] = &modelBox{id: b.ID, validity: b.UIDValidity, next: 1, msgs: map[UID]*modelMessage{}}
		a.subs[b.Name] = true
	}
	m.accounts = append(m.accounts, a)
}

func (m *model) account(t *rapid.T) *modelAccount {
	return m.accounts[rapid.IntRange(0, len(m.accounts)-1).Draw(t, "account")]
}

func (m *model) name(t *rapid.T) string { return rapid.SampledFrom(modelNames).Draw(t, "name") }

// box picks an existing mailbox.
func (m *model) box(t *rapid.T, a *modelAccount) (string, *modelBox) {
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(a.boxes))).Draw(t, "box")
	return name, a.boxes[name]
}

func (b *modelBox) pick(t *rapid.T) []UID {
	return slices.Collect(func(yield func(UID) bool) {
		for u := UID(1); u < b.next+1; u++ {
			if rapid.IntRange(0, 2).Draw(t, "uid") == 0 && !yield(u) {
				return
			}
		}
	})
}

func (a *modelAccount) used() (bytes, n int64) {
	for _, b := range a.boxes {
		for _, msg := range b.msgs {
			bytes, n = bytes+msg.size, n+1
		}
	}
	return bytes, n
}

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
			msg.flags, msg.words = c.Flags.System, wordSet(c.Flags.Keywords)
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
	do := m.s.Copy
	if move {
		do = m.s.Move
	}
	r, err := do(context.Background(), from.id, uids, dst.id)
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
		c.words = maps.Clone(c.words)
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

func (m *model) queueOp(t *rapid.T) {
	if len(m.queue) == 0 {
		t.Skip("empty")
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.queue))).Draw(t, "entry")
	c := QueueChange{ID: id}
	if rapid.Bool().Draw(t, "retry") {
		q, err := m.s.QueueGet(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		q.Due = m.clock.now().Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "minutes")) * time.Minute)
		q.Data = []byte("again")
		q.Attempts++
		c.Entry = &q
		m.queue[id].due, m.queue[id].data = q.Due, "again"
	} else {
		delete(m.queue, id)
	}
	if err := m.s.QueueUpdate(context.Background(), c, QueueChange{ID: 1 << 40}); err != nil {
		t.Fatal(err)
	}
}

func (m *model) doc(t *rapid.T) {
	ctx := context.Background()
	k := rapid.SampledFrom([]string{"a", "ab", "b"}).Draw(t, "key")
	op := DocOp{Table: TableSetting, Key: k, Value: []byte(rapid.StringN(1, 5, 5).Draw(t, "value"))}
	old, known := m.docs[k]
	wantErr := false
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		op.Value = nil
	case 1:
		op.IfRev, wantErr = IfAbsent, known
	case 2:
		if d, err := m.s.Doc(ctx, TableSetting, k); err == nil {
			if string(d.Value) != old {
				t.Fatalf("document %q: %q, want %q", k, d.Value, old)
			}
			op.IfRev = d.Rev
			if rapid.Bool().Draw(t, "stale") {
				op.IfRev += 1000
				wantErr = true
			}
		}
	}
	err := m.s.UpdateDocs(ctx, op)
	if wantErr != errors.Is(err, ErrConflict) {
		t.Fatalf("want conflict %v: %v", wantErr, err)
	}
	if wantErr {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if op.Value == nil {
		delete(m.docs, k)
	} else {
		m.docs[k] = string(op.Value)
	}
}

func (m *model) reopen(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.open()
}

func (m *model) sweep(t *rapid.T) {
	if err := m.s.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (m *model) reclaim(t *rapid.T) {
	if err := m.s.Reclaim(context.Background()); err != nil {
		t.Fatal(err)
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

// remember keeps how a mailbox and its account are now.
func (m *model) remember(t *rapid.T) {
	m.clock.add(time.Second)
	a := m.account(t)
	_, b := m.box(t, a)
	box, err := m.s.Mailbox(context.Background(), b.id)
	if err != nil {
		t.Fatal(err)
	}
	p := modelPast{seq: box.HighestModSeq, msgs: map[UID]ModSeq{}}
	_, err = m.s.Entries(context.Background(), b.id, 1, 0, func(e Entry) error { p.msgs[e.UID] = e.ModSeq; return nil })
	if err != nil {
		t.Fatal(err)
	}
	b.past = append(b.past, p)
	if err := m.s.Sweep(context.Background()); err != nil { // deleted mailboxes' emails go when cleared away
		t.Fatal(err)
	}
	c, err := m.s.AccountChangesSince(context.Background(), a.id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	a.past = append(a.past, modelAccountPast{c.State, a.emails(m)})
}

func (a *modelAccount) emails(m *model) map[EmailID]bool {
	out := map[EmailID]bool{}
	for _, b := range a.boxes {
		_, err := m.s.Entries(context.Background(), b.id, 1, 0, func(e Entry) error { out[e.Email] = true; return nil })
		if err != nil {
			m.t.Fatal(err)
		}
	}
	return out
}
