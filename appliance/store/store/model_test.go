package store

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
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
