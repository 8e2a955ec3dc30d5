package session

import (
	"context"
	"sort"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/store/store"
)

// ListOptions asks for names (RFC 9051 section 6.3.9, RFC 5258).
type ListOptions struct {
	imap.ListOptions
	Reference string
	Patterns  []string
	// Extended says that the client used the extended form and gets only the
	// attributes it asked for.
	Extended bool
}

// Listed is a name in the answer to a LIST.
type Listed struct {
	imap.ListData
	// Box is the mailbox; its ID is 0 where the name has none.
	Box store.Mailbox
}

// node is a name of the tree a client sees.
type node struct {
	name       string
	box        store.Mailbox // ID 0: none
	subscribed bool
	children   bool // a mailbox is below it
}

// tree reads all names the person sees: mailboxes, names that exist only as
// somebody's parents, and subscribed names without a mailbox.
func (u *User) tree(ctx context.Context) ([]*node, error) {
	boxes, err := u.Store.Mailboxes(ctx, u.Account)
	if err != nil {
		return nil, err
	}
	nodes := make(map[string]*node, len(boxes)+8)
	at := func(name string) *node {
		n := nodes[name]
		if n == nil {
			n = &node{name: name}
			nodes[name] = n
		}
		return n
	}
	for i := range boxes {
		n := at(boxes[i].Name)
		n.subscribed = n.subscribed || boxes[i].Subscribed
		if !boxes[i].NonExistent {
			n.box = boxes[i]
		}
	}
	if err := u.sharedBoxes(ctx, func(name string, box store.Mailbox) {
		at(name).box = box
	}); err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.box.ID == 0 {
			continue
		}
		for name := n.name; ; {
			i := strings.LastIndexByte(name, Delimiter)
			if i < 0 {
				break
			}
			name = name[:i]
			p := nodes[name]
			if p == nil {
				p = &node{name: name}
				nodes[name] = p
			} else if p.children {
				break
			}
			p.children = true
		}
	}
	list := make([]*node, 0, len(nodes))
	for _, n := range nodes {
		list = append(list, n)
	}
	sort.Slice(list, func(i, j int) bool { return before(list[i].name, list[j].name) })
	return list, nil
}

// before puts INBOX first and children right after their parents.
func before(a, b string) bool {
	if ia, ib := a == "INBOX" || strings.HasPrefix(a, "INBOX/"), b == "INBOX" || strings.HasPrefix(b, "INBOX/"); ia != ib {
		return ia
	}
	return strings.ReplaceAll(a, "/", "\x00") < strings.ReplaceAll(b, "/", "\x00")
}

// List answers a LIST. The slice is by name, INBOX first.
func (u *User) List(ctx context.Context, o ListOptions) ([]Listed, error) {
	nodes, err := u.tree(ctx)
	if err != nil {
		return nil, err
	}
	match := matcher(o.Reference, o.Patterns)
	selected := func(n *node) bool {
		return (!o.SelectSubscribed || n.subscribed) && (!o.SelectSpecialUse || n.box.SpecialUse != "")
	}
	var below map[string]bool
	if o.SelectRecursiveMatch {
		nodes, below = recursive(nodes, func(n *node) bool { return selected(n) && !match(n.name) })
	}
	var out []Listed
	for _, n := range nodes {
		if !match(n.name) {
			continue
		}
		sel, child := selected(n), below[n.name]
		if !sel && !child {
			continue
		}
		if n.box.ID == 0 && !n.children && !(o.SelectSubscribed && n.subscribed) && !child {
			continue // a subscription alone is no name to list
		}
		l := Listed{Box: n.box, ListData: imap.ListData{Delim: Delimiter, Mailbox: n.name}}
		if n.box.ID == 0 {
			l.Attrs = append(l.Attrs, imap.MailboxAttrNonExistent)
		}
		if !o.Extended || o.ReturnChildren {
			if n.children {
				l.Attrs = append(l.Attrs, imap.MailboxAttrHasChildren)
			} else {
				l.Attrs = append(l.Attrs, imap.MailboxAttrHasNoChildren)
			}
		}
		if n.subscribed && (o.ReturnSubscribed || o.SelectSubscribed) {
			l.Attrs = append(l.Attrs, imap.MailboxAttrSubscribed)
		}
		if n.box.SpecialUse != "" {
			l.Attrs = append(l.Attrs, imap.MailboxAttr(n.box.SpecialUse))
		}
		if child && o.SelectRecursiveMatch {
			l.ChildInfo = &imap.ListDataChildInfo{Subscribed: o.SelectSubscribed}
		}
		out = append(out, l)
	}
	return out, nil
}

// recursive finds the names of which something below is hidden: selected, but
// not listed by itself (RFC 5258 section 3.5). It adds those that are no names
// of the tree yet.
func recursive(nodes []*node, hidden func(*node) bool) (_ []*node, below map[string]bool) {
	below = make(map[string]bool)
	have := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		have[n.name] = true
	}
	for _, n := range nodes {
		if !hidden(n) {
			continue
		}
		for name := n.name; ; {
			i := strings.LastIndexByte(name, Delimiter)
			if i < 0 {
				break
			}
			name = name[:i]
			below[name] = true
			if !have[name] {
				have[name] = true
				nodes = append(nodes, &node{name: name})
			}
		}
	}
	sort.Slice(nodes, func(i, j int) bool { return before(nodes[i].name, nodes[j].name) })
	return nodes, below
}

// Subscribed answers a LSUB (RFC 3501 section 6.3.9): subscribed names, and
// where the pattern ends in "%", names of which only something below is
// subscribed, as \Noselect.
func (u *User) Subscribed(ctx context.Context, reference, pattern string) ([]Listed, error) {
	nodes, err := u.tree(ctx)
	if err != nil {
		return nil, err
	}
	match := matcher(reference, []string{pattern})
	found := make(map[string]bool) // value: subscribed itself
	for _, n := range nodes {
		if !n.subscribed {
			continue
		}
		if match(n.name) {
			found[n.name] = true
			continue
		}
		for name := n.name; strings.HasSuffix(pattern, "%"); {
			i := strings.LastIndexByte(name, Delimiter)
			if i < 0 {
				break
			}
			if name = name[:i]; match(name) && !found[name] {
				found[name] = false
			}
		}
	}
	out := make([]Listed, 0, len(found))
	for name, subscribed := range found {
		l := Listed{ListData: imap.ListData{Delim: Delimiter, Mailbox: name}}
		if !subscribed {
			l.Attrs = []imap.MailboxAttr{imap.MailboxAttrNoSelect}
		}
		out = append(out, l)
	}
	sort.Slice(out, func(i, j int) bool { return before(out[i].Mailbox, out[j].Mailbox) })
	return out, nil
}

// matcher tells whether a name matches one of the patterns. INBOX matches
// without regard to case.
func matcher(reference string, patterns []string) func(string) bool {
	full := make([]string, len(patterns))
	for i, p := range patterns {
		full[i] = squeeze(reference + p)
	}
	return func(name string) bool {
		for _, p := range full {
			if Match(p, name) || name == "INBOX" && Match(strings.ToUpper(p), name) {
				return true
			}
		}
		return false
	}
}

// squeeze makes one wildcard of each run of them, so that a pattern that is long
// beside a name needs no look to be refused.
func squeeze(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); {
		n := i + 1
		if c := pattern[i]; c == '*' || c == '%' {
			for ; n < len(pattern) && (pattern[n] == '*' || pattern[n] == '%'); n++ {
				if pattern[n] == '*' {
					c = '*'
				}
			}
			b.WriteByte(c)
		} else {
			b.WriteByte(pattern[i])
		}
		i = n
	}
	return b.String()
}

// Match reports whether a name matches a LIST pattern, squeezed: "*" stands for
// anything, "%" for anything within a level (RFC 9051 section 6.3.9).
// It takes time in proportion to the square of the name's length at most,
// whatever the pattern.
func Match(pattern, name string) bool {
	if len(pattern) > 2*len(name)+1 {
		return false // more than the name is in it, without the wildcards between
	}
	// can[j]: the pattern so far matches name[:j].
	can := make([]bool, len(name)+1)
	can[0] = true
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*', '%':
			for j := 1; j <= len(name); j++ {
				can[j] = can[j] || can[j-1] && (c == '*' || name[j-1] != Delimiter)
			}
		default:
			for j := len(name); j > 0; j-- {
				can[j] = can[j-1] && name[j-1] == c
			}
			can[0] = false
		}
	}
	return can[len(name)]
}
