package session

import (
	"context"
	"errors"
	"sort"
	"strings"

	"pillarbox/appliance/store/store"
)

// Events is a set of what NOTIFY can ask for (RFC 5465 section 5).
type Events uint8

// The events. METADATA changes are not among them: nothing tells of those.
const (
	MessageNew Events = 1 << iota
	MessageExpunge
	FlagChange
	MailboxName
	SubscriptionChange
)

// MessageEvents are those that happen to messages.
const MessageEvents = MessageNew | MessageExpunge | FlagChange

// Scope says which mailboxes a group of events is about (RFC 5465 section 6).
type Scope uint8

// The scopes, but for the selected mailbox.
const (
	ScopeInboxes Scope = iota
	ScopePersonal
	ScopeSubscribed
	ScopeSubtree
	ScopeMailboxes
)

// EventGroup asks for events of some mailboxes.
type EventGroup struct {
	Scope  Scope
	Names  []string // of ScopeSubtree and ScopeMailboxes
	Events Events
}

// covers reports whether the group is about a mailbox.
func (g *EventGroup) covers(name string, subscribed bool) bool {
	switch g.Scope {
	case ScopeInboxes:
		return name == "INBOX" // deliveries go to no other by default
	case ScopePersonal:
		return true
	case ScopeSubscribed:
		return subscribed
	}
	for _, n := range g.Names {
		if n == name || g.Scope == ScopeSubtree && strings.HasPrefix(name, n+string(Delimiter)) {
			return true
		}
	}
	return false
}

// Notifier follows all of a person's own mailboxes for NOTIFY. It is not for
// concurrent use.
type Notifier struct {
	user    *User
	groups  []EventGroup
	watcher *store.Watcher

	known  map[store.MailboxID]store.Mailbox // HighestModSeq: what was told
	subs   map[string]bool                   // subscribed names
	dirty  map[store.MailboxID]Events
	reload bool // names have changed
	report bool // and not by this session
}

// NameChange is a mailbox name that came, went or changed.
type NameChange struct {
	Name, Old  string // Old: what a renamed mailbox was called
	Gone       bool
	Subscribed bool
}

// News is what there is to tell.
type News struct {
	Messages []store.Mailbox // whose messages changed
	Names    []NameChange
}

// Notify begins to follow. The mailboxes as they are count as told.
func (u *User) Notify(ctx context.Context, groups []EventGroup) (*Notifier, error) {
	n := &Notifier{
		user: u, groups: groups, watcher: u.Store.Watch(u.Account),
		dirty: make(map[store.MailboxID]Events),
	}
	if err := n.read(ctx); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Close ends following.
func (n *Notifier) Close() { n.watcher.Close() }

// C tells of events, each of which must go to Note.
func (n *Notifier) C() <-chan store.Event { return n.watcher.C }

// read takes the mailboxes as they are.
func (n *Notifier) read(ctx context.Context) error {
	boxes, err := n.user.Store.Mailboxes(ctx, n.user.Account)
	if err != nil {
		return err
	}
	told := n.known
	n.known = make(map[store.MailboxID]store.Mailbox, len(boxes))
	n.subs = make(map[string]bool)
	for _, b := range boxes {
		if !b.NonExistent {
			if old, ok := told[b.ID]; ok {
				// Changes of messages are still to be told.
				b.HighestModSeq = old.HighestModSeq
			}
			n.known[b.ID] = b
		}
		if b.Subscribed {
			n.subs[b.Name] = true
		}
	}
	return nil
}

// wanted is the set of events wanted of a mailbox: by all groups that are about
// it (RFC 5465 section 6), up to one that asks for none.
func (n *Notifier) wanted(name string) Events {
	var all Events
	for i := range n.groups {
		switch g := &n.groups[i]; {
		case !g.covers(name, n.subs[name]):
		case g.Events == 0:
			return all
		default:
			all |= g.Events
		}
	}
	return all
}

// Note takes an event in.
func (n *Notifier) Note(e store.Event) {
	own := e.Source == n.user.actor
	switch e.Kind {
	case store.EventMailbox:
		n.reload, n.report = true, n.report || !own
	case store.EventResync:
		n.reload, n.report = true, true
		for id := range n.known {
			n.dirty[id] |= MessageEvents
		}
	default:
		if !own {
			n.dirty[e.Mailbox] |= map[store.EventKind]Events{
				store.EventNew: MessageNew, store.EventExpunged: MessageExpunge, store.EventFlags: FlagChange,
			}[e.Kind]
		}
	}
}

// News is what came since it was asked last, the messages of one mailbox not.
func (n *Notifier) News(ctx context.Context, but store.MailboxID) (News, error) {
	var out News
	if n.reload {
		known, subs, report := n.known, n.subs, n.report
		if err := n.read(ctx); err != nil {
			return out, err
		}
		n.reload, n.report = false, false
		if report {
			out.Names = n.compare(known, subs)
		}
	}
	for id, events := range n.dirty {
		delete(n.dirty, id)
		if id == but {
			continue
		}
		box, err := n.user.Store.Mailbox(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return out, err
		}
		if n.wanted(box.Name)&events != 0 && box.HighestModSeq != n.known[id].HighestModSeq {
			out.Messages = append(out.Messages, box)
		}
		n.known[id] = box
	}
	sort.Slice(out.Messages, func(i, j int) bool { return before(out.Messages[i].Name, out.Messages[j].Name) })
	return out, nil
}

// compare finds the names that came, went or changed since the mailboxes were
// read before.
func (n *Notifier) compare(known map[store.MailboxID]store.Mailbox, subs map[string]bool) []NameChange {
	var out []NameChange
	for id, b := range n.known {
		old, there := known[id]
		if there && old.Name == b.Name || n.wanted(b.Name)&MailboxName == 0 {
			continue
		}
		out = append(out, NameChange{Name: b.Name, Old: old.Name, Subscribed: n.subs[b.Name]})
	}
	for id, b := range known {
		if _, there := n.known[id]; !there && !n.exists(b.Name) && n.wanted(b.Name)&MailboxName != 0 {
			out = append(out, NameChange{Name: b.Name, Gone: true, Subscribed: n.subs[b.Name]})
		}
	}
	told := make(map[string]bool, len(out))
	for _, c := range out {
		told[c.Name], told[c.Old] = true, true
	}
	for _, pair := range []struct{ a, b map[string]bool }{{n.subs, subs}, {subs, n.subs}} {
		for name := range pair.a {
			if !pair.b[name] && !told[name] && n.wanted(name)&SubscriptionChange != 0 {
				out = append(out, NameChange{Name: name, Subscribed: n.subs[name], Gone: !n.exists(name)})
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return before(out[i].Name, out[j].Name) })
	return inOrder(out)
}

// inOrder puts changes so that a client which takes one after the other comes
// to the names as they are: a name is left before another mailbox takes it.
func inOrder(list []NameChange) []NameChange {
	from := make(map[string]int, len(list)) // by the old name
	for i, c := range list {
		if c.Old != "" {
			from[c.Old] = i
		}
	}
	out := make([]NameChange, 0, len(list))
	begun, told := make([]bool, len(list)), make(map[string]bool, len(list))
	var add func(int)
	add = func(i int) {
		if begun[i] {
			return
		}
		begun[i] = true
		c := list[i]
		if k, leaves := from[c.Name]; leaves {
			add(k)
		}
		if told[c.Old] {
			c.Old = "" // they went round: the name is another's by now
		}
		told[c.Name] = true
		out = append(out, c)
	}
	for i := range list {
		add(i)
	}
	return out
}

func (n *Notifier) exists(name string) bool {
	for _, b := range n.known {
		if b.Name == name {
			return true
		}
	}
	return false
}

// Boxes are the mailboxes of which message events are wanted, by name.
func (n *Notifier) Boxes() []store.Mailbox {
	var out []store.Mailbox
	for _, b := range n.known {
		if n.wanted(b.Name)&MessageEvents != 0 {
			out = append(out, b)
		}
	}
	sort.Slice(out, func(i, j int) bool { return before(out[i].Name, out[j].Name) })
	return out
}
