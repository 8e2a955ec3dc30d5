// Package initapi is the API of init, the first process of the box: which
// services run, what they say, what went wrong on the way up, and how to stop
// the box in order. It is served on Socket, which root alone may use.
//
//	GET  /v1/status    Status
//	GET  /v1/services  []ServiceStatus
//	GET  /v1/log       []LogLine; ?service=NAME (all without), ?lines=N
//	GET  /v1/log/stream   LogItem, one a line, as they come; see LogQuery
//	GET  /v1/events    []Event
//	POST /v1/services/{name}/restart
//	POST /v1/mail-disk   UseDiskRequest; answered when mail is kept there
//	POST /v1/poweroff, /v1/reboot   body: StopRequest, answered before it begins
//
// The package holds types, the glue of the server and the client; init decides.
package initapi

import (
	"context"
	"time"
)

// Socket is where init listens on the box.
const Socket = "/run/init.sock"

// States of a service.
const (
	StateWaiting  = "waiting"  // for a service that must be ready before it
	StateStarting = "starting" // runs, not yet ready
	StateRunning  = "running"  // runs and is ready
	StateBackoff  = "backoff"  // died; will be started again at the end of a pause
	StateFailed   = "failed"   // keeps dying; still tried, at the longest pause
	StateStopped  = "stopped"  // stopped on purpose
)

// Service is what init offers; Client is the same over the socket.
type Service interface {
	Status(ctx context.Context) (*Status, error)
	Services(ctx context.Context) ([]ServiceStatus, error)
	// Log returns the last lines (0: all kept) of one service, or of all,
	// merged by time, when service is empty.
	Log(ctx context.Context, service string, lines int) ([]LogLine, error)
	// StreamLog calls fn with lines, oldest first, until there are no more (with
	// Follow: until ctx ends) or fn fails, whose error it returns. The end of
	// ctx while following is no error.
	StreamLog(ctx context.Context, q LogQuery, fn func(LogItem) error) error
	Events(ctx context.Context) ([]Event, error)
	Restart(ctx context.Context, service string) error
	// UseDisk has the data volume of another disk used, which boxd made ready, or
	// that of the system disk again. Mail stops and goes on meanwhile; what is on
	// the volume before is not taken along.
	UseDisk(ctx context.Context, req UseDiskRequest) error
	// PowerOff and Reboot return when the request is accepted; stopping takes
	// up to half a minute more.
	PowerOff(ctx context.Context, req StopRequest) error
	Reboot(ctx context.Context, req StopRequest) error
}

// Status is the state of the box as init knows it.
type Status struct {
	Version     string  `json:"version"`
	Serving     bool    `json:"serving"`      // mail is served, or was since boot
	BootSeconds float64 `json:"boot_seconds"` // kernel start to mail served; 0 until then
	Stopping    bool    `json:"stopping"`
	State       Volume  `json:"state"`
	Data        Volume  `json:"data"`
	ESP         Volume  `json:"esp"`
	// Problems are sentences about what is wrong since boot and still is.
	Problems []string `json:"problems,omitempty"`
}

// Volume is a file system that init mounts.
type Volume struct {
	Mounted   bool   `json:"mounted"`
	ReadOnly  bool   `json:"read_only"`
	Device    string `json:"device,omitempty"` // as under /dev, such as sda4
	Disk      string `json:"disk,omitempty"`   // the whole disk, such as sda
	Size      int64  `json:"size"`             // of the file system, octets
	Free      int64  `json:"free"`             // for its users, octets
	Grown     int64  `json:"grown"`            // octets gained at this boot
	FSErrors  int    `json:"fs_errors"`        // errors the superblock has counted
	LastError string `json:"last_error,omitempty"`
}

// ServiceStatus is the state of one service.
type ServiceStatus struct {
	Name     string    `json:"name"`
	State    string    `json:"state"`
	PID      int       `json:"pid,omitempty"`
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since"` // of the present state
	LastExit string    `json:"last_exit,omitempty"`
}

// LogLine is one line a service wrote.
type LogLine struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Text    string    `json:"text"`
}

// UseDiskRequest names a data volume by the GUID of its partition, in lower case;
// empty: the one of the system disk.
type UseDiskRequest struct {
	Partition string `json:"partition"`
}

// LogQuery says which lines of the log are wanted. The zero value is all that
// are in memory.
type LogQuery struct {
	Service  string    // empty: all
	Contains string    // text that a line has; case does not matter
	Since    time.Time // no older lines
	Lines    int       // at most so many of what is there; 0: all
	Stored   bool      // from the disk, earlier starts included; needs Service, excludes Follow
	Follow   bool      // then those that come
}

// LogItem is a line, or the fact that some are missing.
type LogItem struct {
	LogLine
	// Missed lines came faster than they were taken and are left out here;
	// the line is empty then.
	Missed int `json:"missed,omitempty"`
}

// Levels of an Event.
const (
	LevelInfo  = "info"
	LevelWarn  = "warn"
	LevelAlert = "alert" // somebody must look
)

// Event is something that happened and that a person may want to know.
type Event struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Service string    `json:"service,omitempty"`
	Text    string    `json:"text"`
}

// StopRequest says who wants the box stopped, for the log.
type StopRequest struct {
	Reason string `json:"reason,omitempty"`
}
