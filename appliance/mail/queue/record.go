package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pillarbox/appliance/mail/smtpclient"
	"pillarbox/appliance/mail/trace"
)

// recordVersion is the first byte of a Record on disk.
const recordVersion = 1

// Record is what the queue knows of an entry beside what the store keeps in
// the open. The first part comes with the message, from whoever queues it.
type Record struct {
	Trace trace.ID `json:"trace,omitempty"` // of the message in the message trace
	UTF8  bool     `json:"utf8,omitempty"`  // accepted with SMTPUTF8 (RFC 6531)

	// Wishes of the sender about reports (RFC 3461), in the form of the wire.
	EnvelopeID string `json:"envid,omitempty"`
	Return     string `json:"ret,omitempty"`    // FULL, HDRS or ""
	Notify     string `json:"notify,omitempty"` // NEVER, or a list of SUCCESS, FAILURE, DELAY
	Original   string `json:"orcpt,omitempty"`

	// The second part is the queue's own.
	Last *Failure `json:"last,omitempty"` // of the last attempt
	Held bool     `json:"held,omitempty"` // by an administrator
	// Undeliverable is set once the copy has failed for good and only its
	// bounce is outstanding: from the start where no mailbox here takes it.
	Undeliverable bool `json:"undeliverable,omitempty"`
}

// Failure is why an attempt failed.
type Failure struct {
	Time      time.Time         `json:"time"`
	Host      string            `json:"host,omitempty"`   // who said it, "" where we did
	Phase     string            `json:"phase,omitempty"`  // of the conversation
	Code      int               `json:"code,omitempty"`   // SMTP reply, 0 where it was none
	Status    smtpclient.Status `json:"status,omitempty"` // RFC 3463
	Text      string            `json:"text,omitempty"`
	Permanent bool              `json:"permanent,omitempty"`
}

func (f *Failure) String() string {
	s := ""
	if f.Host != "" {
		s = f.Host + ": "
	}
	return s + f.Reply()
}

// Reply is the other server's reply as it gave it, or our own words.
func (f *Failure) Reply() string {
	switch {
	case f.Code == 0:
		return f.Text
	case f.Status == smtpclient.Status{}:
		return fmt.Sprintf("%d %s", f.Code, f.Text)
	default:
		return fmt.Sprintf("%d %s %s", f.Code, f.Status, f.Text)
	}
}

// status is what a report gives: the enhanced code, or what RFC 3463 section
// 3.1 offers where nothing is known but the class.
func (f *Failure) status() smtpclient.Status {
	switch {
	case f.Status != smtpclient.Status{}:
		return f.Status
	case f.Permanent:
		return smtpclient.Status{5, 0, 0}
	default:
		return smtpclient.Status{4, 0, 0}
	}
}

// Encode gives the record as it stands in store.QueueEntry.Data.
func (r Record) Encode() []byte {
	b, err := json.Marshal(r)
	if err != nil { // strings, numbers and times: cannot be
		return nil
	}
	return append([]byte{recordVersion}, b...)
}

var errRecord = errors.New("queue: unknown form of record")

// DecodeRecord reads store.QueueEntry.Data. A record that cannot be read is
// no reason to lose mail: the entry is then worked on as one without wishes.
func DecodeRecord(data []byte) (Record, error) {
	var r Record
	switch {
	case len(data) == 0:
		return r, nil
	case data[0] != recordVersion:
		return r, errRecord
	}
	if err := json.Unmarshal(data[1:], &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	return r, nil
}
