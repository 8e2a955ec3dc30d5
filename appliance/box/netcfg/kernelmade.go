package netcfg

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"pillarbox/appliance/api/boxapi"
)

// watchBond is how often a bond looks at its cards' carriers, in milliseconds, and
// thus how long mail stands still when a cable is pulled.
const watchBond = 100

// peerNotices is how often a bond tells the network that another card has its
// address now: one notice may be lost.
const peerNotices = 3

var bondModes = map[string]netlink.BondMode{
	boxapi.BondActiveBackup: netlink.BOND_MODE_ACTIVE_BACKUP,
	boxapi.BondLACP:         netlink.BOND_MODE_802_3AD,
}

// bondModeName is the name of a mode in the settings.
func bondModeName(mode netlink.BondMode) string {
	for name, m := range bondModes {
		if m == mode {
			return name
		}
	}
	return "other"
}

func (k Linux) SetMTU(index, mtu int) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	return netlink.LinkSetMTU(l, mtu)
}

func (k Linux) MakeBond(name, mode string, primary int) error {
	bond := netlink.NewLinkBond(netlink.LinkAttrs{Name: name, TxQLen: -1})
	bond.Mode = bondModes[mode]
	bond.Miimon = watchBond
	switch bond.Mode {
	case netlink.BOND_MODE_ACTIVE_BACKUP:
		bond.NumPeerNotif = peerNotices
		if primary != 0 {
			bond.Primary = primary
		}
	case netlink.BOND_MODE_802_3AD:
		bond.LacpRate = netlink.BOND_LACP_RATE_FAST
		// Several connections of one peer take different cards.
		bond.XmitHashPolicy = netlink.BOND_XMIT_HASH_POLICY_LAYER3_4
	}
	return netlink.LinkAdd(bond)
}

func (k Linux) MakeVLAN(name string, parent, id int) error {
	return netlink.LinkAdd(&netlink.Vlan{
		LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: parent, TxQLen: -1}, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q,
	})
}

func (k Linux) Remove(index int) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil // it went with what it was on
		}
		return err
	}
	return netlink.LinkDel(l)
}

// Join turns the card off first: the kernel takes none that is on. The bond turns
// it on.
func (k Linux) Join(card, bond int) error {
	l, err := netlink.LinkByIndex(card)
	if err != nil {
		return err
	}
	if bond == 0 {
		return netlink.LinkSetNoMaster(l)
	}
	if err := k.Clear(card); err != nil {
		return err
	}
	if err := netlink.LinkSetDown(l); err != nil {
		return fmt.Errorf("turn it off: %w", err)
	}
	return netlink.LinkSetMasterByIndex(l, bond)
}
