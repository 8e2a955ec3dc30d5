// Package firewall lets in what the box serves and nothing else, by nftables.
//
// Services listen on all addresses and look after their own limits; the firewall
// stands before programs that nobody meant to open, and before the accept queue
// when one source opens connections faster, or holds more of them, than any
// office does. Ports that the box is managed by are for the networks of a list.
// Everything that the box itself begins is let out, and the answers in.
//
// A source is one IPv4 address, or one IPv6 network of 64 bits, which is what one
// customer has at least. What is beyond a limit is dropped, not refused: TCP asks
// again after a second, so that an honest client is late rather than turned away.
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
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// table is the name of the table.
const table = "pillarbox"

// pings is how many echo requests a second are answered, of all the world.
const pings = 50

// Ports that other than the services of Config need.
const (
	dhcpClient   = 68
	dhcp6Client  = 546
	multicastDNS = 5353
)

// Config says what is let in, by TCP port.
type Config struct {
	Servers []uint16 // what other servers ask the box, mail first of all, from anywhere
	People  []uint16 // where people log in, from anywhere
	// Administration is for Networks alone; where there are none, for Local.
	Administration []uint16
	Networks       []netip.Prefix
}

// Local lists the networks that nobody is in who is not near the box: those for
// private use (RFC 1918, RFC 4193) and of the link (RFC 3927, RFC 4291).
func Local() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
	}
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
	b.limited()
	if len(cfg.Networks) == 0 {
		cfg.Networks = Local()
	}
	b.serve("servers", servers(), nil)
	b.serve("people", people(), nil)
	b.serve("administration", people(), cfg.Networks)
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

	for _, class := range []struct {
		chain string
		ports []uint16
	}{{"servers", cfg.Servers}, {"people", cfg.People}, {"administration", cfg.Administration}} {
		for _, port := range class.ports {
			b.rule(protocol(unix.IPPROTO_TCP), destination(port), jump(class.chain))
		}
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

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

// jump goes on in another chain, and comes back where that does not decide.
func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func drop() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }

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
