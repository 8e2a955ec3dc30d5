// Package mdns tells the local network the name of the box and its services:
// multicast DNS (RFC 6762) and DNS-SD (RFC 6763), as phones and mail programs look
// for them.
//
// The name is the first label of the box's name under "local". Before it is used
// the network is asked whether somebody has it; then, and when somebody turns up
// later, a number is appended. Names are told anew when addresses change and taken
// back at the end.
//
// One goroutine holds the state; two more read the sockets for IPv4 and IPv6. A
// network without one of them is served by the other. Only neighbours are
// answered (section 11), and no more than answersPerSecond of them. Two boxes that
// ask for one name in the same quarter of a second both get it until the first of
// them answers for it; then the other moves on.
package mdns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// probes are sent probeEvery before a name is used (section 8.1), then
	// announcements announceEvery (section 8.3).
	probes        = 3
	probeEvery    = 250 * time.Millisecond
	announcements = 2
	announceEvery = time.Second

	// lookAgain is when interfaces are looked at without a wake, for what
	// routers advertised meanwhile.
	lookAgain = 15 * time.Second

	// answersPerSecond keeps the box from being made to flood its network.
	answersPerSecond = 50

	// maxNames bounds the search for a free name.
	maxNames = 99

	// maxLabel is the longest label (RFC 1035 section 2.3.4), less a number.
	maxLabel = 63 - len("-99")
)

// Config is what a Responder works with. All fields are needed.
type Config struct {
	Hostname func() string // the name of the box; its first label is used
	Services []Service
	Log      *slog.Logger
}

// Responder answers for the box.
type Responder struct {
	Config
	wake chan struct{} // look at names and addresses; capacity 1

	// What follows belongs to the goroutine of Run.
	transports []*transport
	links      []link
	base       string // label wished for
	number     int    // appended to it from 2 on
	step       int    // of probing and announcing
	answers    int    // in this second
	second     int64
}

// link is an interface with its addresses.
type link struct {
	index    int
	name     string
	prefixes []netip.Prefix
}

func (l link) addresses() []netip.Addr {
	var list []netip.Addr
	for _, p := range l.prefixes {
		list = append(list, p.Addr())
	}
	return list
}

// near says that addr is a neighbour on l.
func (l link) near(addr netip.Addr) bool {
	return slices.ContainsFunc(l.prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// New returns a Responder that does nothing before Run.
func New(cfg Config) *Responder {
	return &Responder{Config: cfg, wake: make(chan struct{}, 1), number: 1}
}

// Refresh makes the Responder look at name and addresses again. It does not block.
func (r *Responder) Refresh() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run answers until ctx ends. It fails when there is neither IPv4 nor IPv6.
func (r *Responder) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	packets := make(chan packet)
	var errs []error
	for _, open := range []func() (*transport, error){open4, open6} {
		t, err := open()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defer t.close()
		r.transports = append(r.transports, t)
		go t.run(ctx, packets)
	}
	if len(r.transports) == 0 {
		return fmt.Errorf("multicast DNS: %w", errors.Join(errs...))
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case p := <-packets:
			if r.handle(p) {
				next.Reset(0)
			}
		case <-r.wake:
			next.Reset(0)
		case <-next.C:
			if r.look() {
				r.step = 0
			}
			next.Reset(r.advance())
		case <-ctx.Done():
			r.tell(func(z *zone) *dns.Msg { return z.announcement(true) })
			return nil
		}
	}
}

// look reads name and interfaces and says whether something changed.
func (r *Responder) look() bool {
	base := label(r.Hostname())
	changed := base != r.base
	if changed {
		r.tell(func(z *zone) *dns.Msg { return z.announcement(true) })
		r.base, r.number = base, 1
	}
	links, err := interfaces()
	if err != nil {
		r.Log.Warn("multicast DNS: interfaces", "error", err)
		return changed
	}
	same := slices.EqualFunc(links, r.links, func(a, b link) bool {
		return a.index == b.index && slices.Equal(a.prefixes, b.prefixes)
	})
	if !same {
		r.links = links
		for _, t := range r.transports {
			for _, l := range links {
				t.join(l.index)
			}
		}
	}
	return changed || !same
}

// advance does the next step of probing and announcing and says when to come back.
func (r *Responder) advance() time.Duration {
	if len(r.links) == 0 || r.step >= probes+announcements {
		return lookAgain
	}
	r.step++
	if r.step <= probes {
		r.tell((*zone).probe)
		return probeEvery
	}
	r.tell(func(z *zone) *dns.Msg { return z.announcement(false) })
	if r.step == probes+announcements {
		r.Log.Info("known on the local network", "name", r.label()+".local")
		return lookAgain
	}
	return announceEvery
}

// announced says that the name is the box's.
func (r *Responder) announced() bool { return r.step > probes }

func (r *Responder) label() string {
	if r.number > 1 {
		return fmt.Sprintf("%s-%d", r.base, r.number)
	}
	return r.base
}

func (r *Responder) zone(l link) *zone {
	return &zone{label: r.label(), services: r.Services, addresses: l.addresses()}
}

// tell sends what message makes to all networks.
func (r *Responder) tell(message func(*zone) *dns.Msg) {
	for _, l := range r.links {
		raw, err := message(r.zone(l)).Pack()
		if err != nil {
			r.Log.Warn("multicast DNS", "error", err)
			return
		}
		for _, t := range r.transports {
			t.send(raw, l.index, nil)
		}
	}
}

// handle looks at a packet and says that the state changed.
func (r *Responder) handle(p packet) bool {
	i := slices.IndexFunc(r.links, func(l link) bool { return l.index == p.index })
	if i < 0 || !r.links[i].near(p.from.Addr()) {
		return false
	}
	var m dns.Msg
	// Section 18: other opcodes and response codes are ignored.
	if m.Unpack(p.data) != nil || m.Opcode != dns.OpcodeQuery || m.Rcode != dns.RcodeSuccess {
		return false
	}
	z := r.zone(r.links[i])
	if m.Response {
		if p.from.Port() != port || !z.conflict(&m, r.own()) || r.number == maxNames {
			return false
		}
		r.Log.Warn("somebody else on the local network has this name", "name", z.host(), "address", p.from.Addr())
		r.number++
		r.step = 0
		return true
	}
	if r.announced() && r.mayAnswer() {
		r.reply(p, &m, z)
	}
	return false
}

func (r *Responder) reply(p packet, q *dns.Msg, z *zone) {
	m, shared := z.answer(q)
	if m == nil {
		return
	}
	var to net.Addr
	simple := p.from.Port() != port
	if simple {
		legacy(m, q)
	}
	if simple || !slices.ContainsFunc(q.Question, func(q dns.Question) bool { return q.Qclass&unicast == 0 }) {
		to = net.UDPAddrFromAddrPort(p.from)
	}
	raw, err := m.Pack()
	if err != nil {
		r.Log.Warn("multicast DNS", "error", err)
		return
	}
	if to != nil || !shared {
		p.by.send(raw, p.index, to)
		return
	}
	// Others may answer too: not all at once (section 6).
	delay := 20*time.Millisecond + rand.N(100*time.Millisecond)
	time.AfterFunc(delay, func() { p.by.send(raw, p.index, nil) })
}

// mayAnswer counts answers.
func (r *Responder) mayAnswer() bool {
	if now := time.Now().Unix(); now != r.second {
		r.second, r.answers = now, 0
	}
	r.answers++
	return r.answers <= answersPerSecond
}

// own are all addresses of the box.
func (r *Responder) own() []netip.Addr {
	var list []netip.Addr
	for _, l := range r.links {
		list = append(list, l.addresses()...)
	}
	return list
}

// label is the first label of a name.
func label(name string) string {
	first, _, _ := strings.Cut(name, ".")
	return cmp.Or(first[:min(len(first), maxLabel)], "pillarbox")
}

// interfaces lists those that multicast leads somewhere by.
func interfaces() ([]link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var list []link
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it is gone
		}
		l := link{index: i.Index, name: i.Name}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				addr, _ := netip.AddrFromSlice(n.IP)
				ones, _ := n.Mask.Size()
				l.prefixes = append(l.prefixes, netip.PrefixFrom(addr.Unmap(), ones))
			}
		}
		if len(l.prefixes) > 0 {
			list = append(list, l)
		}
	}
	return list, nil
}
