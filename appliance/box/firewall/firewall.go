// Package firewall lets in what the box serves and nothing else, by nftables.
//
// Services listen on all addresses and look after their own limits; the firewall
// stands before programs that nobody meant to open, and before the accept queue
// when one network opens connections faster than any client does. Everything that
// the box itself begins is let out, and the answers in.
//
// Invariants: the rules are one table of their own, replaced in one transaction,
// so that there is never a moment with half of them; rules of others are not
// touched. They stay when this program ends. Memory is bounded: sources is the
// most networks that are counted at once, and where there are more, the further
// ones are let through uncounted rather than shut out.
package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// table is the name of the table.
const table = "pillarbox"

const (
	// perSecond and burst bound the new connections of one IPv4 address or one
	// IPv6 network of 64 bits, which is what one customer has at least. An
	// office of a hundred people behind one address opens a few hundred at once
	// in the morning; a flood is thousands.
	perSecond = 50
	burst     = 1000

	// sources is how many of them are counted at once, in some megabytes.
	sources = 65536

	// forget is when a source that was silent is no longer counted.
	forget = 2 * time.Minute

	// pings is how many echo requests a second are answered, of all the world.
	pings = 50
)

// Ports that other than the services of Config need.
const (
	dhcpClient   = 68
	dhcp6Client  = 546
	multicastDNS = 5353
)

// Config says what is let in.
type Config struct {
	Services []uint16 // TCP ports that anybody may connect to
}

// Apply puts the rules of cfg in place of those there are.
func Apply(cfg Config) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	b := &builder{c: c, t: &nftables.Table{Name: table, Family: nftables.TableFamilyINet}}
	// A table has to be there to be deleted.
	c.AddTable(b.t)
	c.DelTable(b.t)
	c.AddTable(b.t)
	drop := nftables.ChainPolicyDrop
	c.AddChain(&nftables.Chain{
		Name: "forward", Table: b.t, Type: nftables.ChainTypeFilter, Policy: &drop,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	b.chain = c.AddChain(&nftables.Chain{
		Name: "input", Table: b.t, Type: nftables.ChainTypeFilter, Policy: &drop,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
	})
	b.input(cfg)
	if b.err == nil {
		b.err = c.Flush()
	}
	if b.err != nil {
		return fmt.Errorf("firewall: %w", b.err)
	}
	return nil
}

// Remove takes the rules away.
func Remove() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	c.DelTable(&nftables.Table{Name: table, Family: nftables.TableFamilyINet})
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("firewall: %w", err)
	}
	return nil
}

// builder adds rules to a chain.
type builder struct {
	c     *nftables.Conn
	t     *nftables.Table
	chain *nftables.Chain
	err   error // the first
}

// input writes the rules for what comes in.
func (b *builder) input(cfg Config) {
	b.rule(interfaceIs("lo"), accept())
	b.rule(state(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept())
	b.rule(state(expr.CtStateBitINVALID), drop())

	// Errors and, with IPv6, the search for neighbours and routers must pass
	// (RFC 4890 section 4.4); a flood of pings must not keep them out.
	for _, icmp := range []struct {
		protocol, echo byte
	}{{unix.IPPROTO_ICMP, 8}, {unix.IPPROTO_ICMPV6, 128}} {
		b.rule(protocol(icmp.protocol), transport(0, []byte{icmp.echo}), limitOver(pings, pings), drop())
		b.rule(protocol(icmp.protocol), accept())
	}
	b.rule(family(unix.NFPROTO_IPV4), protocol(unix.IPPROTO_IGMP), accept())

	// The first answer of a DHCP server is to a broadcast, so no connection
	// that is known.
	for _, port := range []uint16{dhcpClient, dhcp6Client, multicastDNS} {
		b.rule(protocol(unix.IPPROTO_UDP), destination(port), accept())
	}

	b.rule(protocol(unix.IPPROTO_TCP), b.over("flood4", unix.NFPROTO_IPV4), drop())
	b.rule(protocol(unix.IPPROTO_TCP), b.over("flood6", unix.NFPROTO_IPV6), drop())
	for _, port := range cfg.Services {
		b.rule(protocol(unix.IPPROTO_TCP), destination(port), accept())
	}
	// A clear no for TCP: servers that mail is sent to may ask who connects
	// (RFC 1413), and silence would hold up the mail.
	b.rule(protocol(unix.IPPROTO_TCP), limitUpTo(pings, pings), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
}

func (b *builder) rule(parts ...[]expr.Any) {
	r := &nftables.Rule{Table: b.t, Chain: b.chain}
	for _, p := range parts {
		r.Exprs = append(r.Exprs, p...)
	}
	b.c.AddRule(r)
}

// over matches what a source of the IP version nfproto sends beyond the limit,
// with the set called name to count in.
func (b *builder) over(name string, nfproto byte) []expr.Any {
	set := &nftables.Set{
		Table: b.t, Name: name, KeyType: nftables.TypeIPAddr, Dynamic: true,
		HasTimeout: true, Timeout: forget, Size: sources,
	}
	// The source address: octets 12 to 15 of the IPv4 header (RFC 791 section
	// 3.1), octets 8 to 23 of that of IPv6 (RFC 8200 section 3).
	source := []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}}
	if nfproto == unix.NFPROTO_IPV6 {
		set.KeyType = nftables.TypeIP6Addr
		network := make([]byte, 16)
		binary.BigEndian.PutUint64(network, ^uint64(0))
		source = []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 16},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 16, Mask: network, Xor: make([]byte, 16)},
		}
	}
	if err := b.c.AddSet(set, nil); err != nil && b.err == nil {
		b.err = err
	}
	match := append(family(nfproto), source...)
	return append(match, &expr.Dynset{
		SrcRegKey: 1, SetName: set.Name, SetID: set.ID,
		Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: limitOver(perSecond, burst),
	})
}

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() []expr.Any   { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }

// limitOver matches beyond rate packets a second.
func limitOver(rate uint64, burst uint32) []expr.Any {
	return []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: rate, Unit: expr.LimitTimeSecond, Burst: burst, Over: true}}
}

// limitUpTo matches up to rate packets a second.
func limitUpTo(rate uint64, burst uint32) []expr.Any {
	return []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: rate, Unit: expr.LimitTimeSecond, Burst: burst}}
}

// interfaceIs matches what comes in by the interface called name.
func interfaceIs(name string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, equal(append([]byte(name), 0))}
}

// family matches the IP version.
func family(nfproto byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal([]byte{nfproto})}
}

// protocol matches what IP carries.
func protocol(p byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{p})}
}

// transport matches octets of the header of what IP carries.
func transport(offset uint32, value []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: uint32(len(value))},
		equal(value),
	}
}

// destination matches the port that TCP or UDP goes to.
func destination(port uint16) []expr.Any {
	return transport(2, binary.BigEndian.AppendUint16(nil, port))
}

// state matches any of the states of a connection.
func state(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binary.NativeEndian.AppendUint32(nil, bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }
