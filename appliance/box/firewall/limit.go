package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// limits bound what one source does at the ports of one class.
type limits struct {
	perMinute uint64 // new connections, over a long time
	burst     uint32 // new connections at once, after a time without
	open      uint32 // connections at the same time
}

// servers are the limits of port 25. A gateway or a large provider that hands
// over all mail of a box from one address may make a connection for each
// message: twenty a second are more than a box of this size takes in. Nobody
// guesses passwords there.
func servers() limits { return limits{perMinute: 1200, burst: 1000, open: 500} }

// people are the limits where passwords are asked for. A mail program opens
// five connections, some ten, and an office of fifty people behind one address
// opens 250 of them at once when its line comes back: twice that has to pass,
// and four times that be held, IMAP being kept open all day. Afterwards a
// hundred people who fetch by POP3 each minute make a hundred connections a
// minute, and programs that lost them ask again: six times that are let in.
// Whoever guesses passwords is held up by maild long before; ten connections a
// second are what it is asked to bear from one source.
func people() limits { return limits{perMinute: 600, burst: 600, open: 1000} }

const (
	// sources is how many are counted at once, in some megabytes.
	sources = 65536

	// forget is when a source that was silent is no longer counted: any burst
	// has been earned again by then.
	forget = 2 * time.Minute

	// told is for how long after its last packet a limited source is listed,
	// listed how many there are at most: a person reads them.
	told   = time.Hour
	listed = 4096
)

// Names of what holds the limited sources.
const (
	limitedChain = "limited"
	limited4     = "limited4"
	limited6     = "limited6"
)

// limited adds the chain that what is beyond a limit ends in. Where the set is
// full the source is not listed, and dropped all the same.
func (b *builder) limited() {
	b.chain = b.c.AddChain(&nftables.Chain{Name: limitedChain, Table: b.t})
	for name, version := range map[string]byte{limited4: unix.NFPROTO_IPV4, limited6: unix.NFPROTO_IPV6} {
		b.rule(b.count(nftables.Set{Name: name, HasTimeout: true, Timeout: told, Size: listed}, version, &expr.Counter{}))
	}
	b.rule(drop())
}

// serve adds the chain called name, which lets in what is within limits and, where
// there are networks, from one of them. What is from elsewhere is not decided.
func (b *builder) serve(name string, l limits, networks []netip.Prefix) {
	within := b.c.AddChain(&nftables.Chain{Name: name + "-limits", Table: b.t})
	b.chain = within
	for _, version := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		suffix := "4"
		if version == unix.NFPROTO_IPV6 {
			suffix = "6"
		}
		rate := nftables.Set{Name: name + "-rate" + suffix, HasTimeout: true, Timeout: forget, Size: sources}
		b.rule(b.count(rate, version, &expr.Limit{
			Type: expr.LimitTypePkts, Rate: l.perMinute, Unit: expr.LimitTimeMinute, Burst: l.burst, Over: true,
		}), jump(limitedChain))
		// No timeout: the kernel forgets a source with its last connection,
		// which may be idle for long.
		open := nftables.Set{Name: name + "-open" + suffix, Size: sources}
		b.rule(b.count(open, version, &expr.Connlimit{Count: l.open, Flags: expr.NFT_CONNLIMIT_F_INV}), jump(limitedChain))
	}
	b.rule(accept())
	b.chain = b.c.AddChain(&nftables.Chain{Name: name, Table: b.t})
	if networks == nil {
		b.rule(jump(within.Name))
	}
	for _, n := range networks {
		b.rule(from(n), jump(within.Name))
	}
}

// count has what, which counts or limits, see the packet once for each source of
// the IP version, and goes on when what matches. Sources are kept in set.
func (b *builder) count(set nftables.Set, version byte, what expr.Any) []expr.Any {
	set.Table, set.Dynamic, set.KeyType = b.t, true, nftables.TypeIPAddr
	bits, operation := 32, uint32(unix.NFT_DYNSET_OP_ADD)
	if version == unix.NFPROTO_IPV6 {
		set.KeyType, bits = nftables.TypeIP6Addr, 64
	}
	if set.HasTimeout {
		operation = unix.NFT_DYNSET_OP_UPDATE // begins the timeout again
	}
	if err := b.c.AddSet(&set, nil); err != nil && b.err == nil {
		b.err = err
	}
	return append(source(version, bits), &expr.Dynset{
		SrcRegKey: 1, SetName: set.Name, SetID: set.ID, Operation: operation, Exprs: []expr.Any{what},
	})
}

// source loads the network that a packet of the IP version is from, bits long. The
// address is in octets 12 to 15 of the header of IPv4 (RFC 791 section 3.1), 8 to
// 23 of that of IPv6 (RFC 8200 section 3).
func source(version byte, bits int) []expr.Any {
	offset, length := uint32(12), uint32(4)
	if version == unix.NFPROTO_IPV6 {
		offset, length = 8, 16
	}
	mask := make([]byte, length)
	for i := range bits {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return append(family(version),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: length, Mask: mask, Xor: make([]byte, length)})
}

// from matches what comes from n.
func from(n netip.Prefix) []expr.Any {
	version := byte(unix.NFPROTO_IPV4)
	if n.Addr().Is6() {
		version = unix.NFPROTO_IPV6
	}
	return append(source(version, n.Bits()), equal(n.Masked().Addr().AsSlice()))
}

// Limited is a source that was beyond a limit within the last hour.
type Limited struct {
	Source  netip.Prefix
	Dropped uint64    // packets, each an attempt to connect
	Last    time.Time // of the last of them
}

// Sources lists those that were limited, the latest first. It is empty where
// there is no firewall.
func Sources() ([]Limited, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("firewall: %w", err)
	}
	var list []Limited
	now := time.Now()
	t := &nftables.Table{Name: table, Family: nftables.TableFamilyINet}
	for name, bits := range map[string]int{limited4: 32, limited6: 64} {
		elements, err := c.GetSetElements(&nftables.Set{Table: t, Name: name})
		if errors.Is(err, unix.ENOENT) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("firewall: %w", err)
		}
		for _, e := range elements {
			address, ok := netip.AddrFromSlice(e.Key)
			if !ok || e.Counter == nil {
				continue
			}
			list = append(list, Limited{
				Source:  netip.PrefixFrom(address, bits),
				Dropped: e.Counter.Packets,
				Last:    now.Add(e.Expires - told),
			})
		}
	}
	slices.SortFunc(list, func(a, b Limited) int { return b.Last.Compare(a.Last) })
	return list, nil
}
