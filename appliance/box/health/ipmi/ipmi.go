// Package ipmi asks a server's management controller (BMC) about its sensors,
// its event log and its identify light, as IPMI 2.0 has it.
//
// Messages go through a [Transport]: the kernel's device [Device], or a recorded
// conversation in tests. What a controller answers is taken with suspicion:
// records that are cut short or make no sense are left out, walks through the
// repository and the log are bounded, and no answer makes more than one sensor
// silent.
//
// Sensors of other controllers behind the BMC (satellites on the IPMB) are not
// read: what matters of them the BMC shows as its own.
package ipmi

import (
	"errors"
	"fmt"
)

// Network functions and commands (IPMI 2.0 appendix G).
const (
	netChassis = 0x00
	netSensor  = 0x04
	netStorage = 0x0a

	cmdChassisIdentify = 0x04

	cmdReadingFactors = 0x23
	cmdThresholds     = 0x27
	cmdReading        = 0x2d

	cmdRepositoryInfo = 0x20
	cmdReserveSDR     = 0x22
	cmdGetSDR         = 0x23
	cmdLogInfo        = 0x40
	cmdGetEntry       = 0x43
)

// Completion codes (IPMI 2.0 table 5-2).
const (
	codeOK          = 0x00
	codeReservation = 0xc5 // the reservation was cancelled
	codeNotPresent  = 0xcb // the sensor or record
)

// Transport carries one request to the controller and brings its response,
// whose first octet is the completion code.
type Transport interface {
	Exchange(netFn, lun, cmd byte, data []byte) ([]byte, error)
}

// Refused is a completion code other than success.
type Refused struct{ NetFn, Cmd, Code byte }

func (r *Refused) Error() string {
	return fmt.Sprintf("the management controller refuses command %02x/%02x: code %02x", r.NetFn, r.Cmd, r.Code)
}

// errShort is a response that lacks octets which the command promises.
var errShort = errors.New("the management controller's answer is cut short")

// Controller is a management controller. It is not safe for concurrent use.
type Controller struct {
	t Transport

	// sensors as of version, which tells a repository that was changed.
	sensors []Sensor
	version string
}

// New speaks with the controller at the other end of t.
func New(t Transport) *Controller { return &Controller{t: t} }

// ask sends a request and returns what follows the completion code, at least
// least octets.
func (c *Controller) ask(least int, netFn, lun, cmd byte, data ...byte) ([]byte, error) {
	r, err := c.t.Exchange(netFn, lun, cmd, data)
	switch {
	case err != nil:
		return nil, err
	case len(r) == 0:
		return nil, errShort
	case r[0] != codeOK:
		return nil, &Refused{netFn, cmd, r[0]}
	case len(r) < 1+least:
		return nil, errShort
	}
	return r[1:], nil
}

func refusedWith(err error, code byte) bool {
	var r *Refused
	return errors.As(err, &r) && r.Code == code
}

// Identify lights the chassis' identify light for so many seconds; 0 ends it
// (IPMI 2.0 section 28.5).
func (c *Controller) Identify(seconds byte) error {
	_, err := c.ask(0, netChassis, 0, cmdChassisIdentify, seconds)
	return err
}
