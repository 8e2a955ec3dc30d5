package mailapi

import "time"

// TracedMessage is what is known of one message's way.
type TracedMessage struct {
	ID    string `json:"id"` // as in the reply to DATA and in the Received field
	Steps []Step `json:"steps"`
}

// Step is one event of a message. Fields that do not apply are empty.
type Step struct {
	Time time.Time `json:"time"`
	// Kind is accepted, sent, deferred, failed, bounced or removed.
	Kind string `json:"kind"`

	// Of accepted: how the message came in.
	MessageID string `json:"message_id,omitempty"` // without angle brackets
	Sender    string `json:"sender,omitempty"`     // "" is the null sender
	User      string `json:"user,omitempty"`       // who was logged in
	Remote    string `json:"remote,omitempty"`
	Helo      string `json:"helo,omitempty"`
	Protocol  string `json:"protocol,omitempty"` // such as ESMTPSA
	TLS       string `json:"tls,omitempty"`
	Size      int64  `json:"size,omitempty"` // octets

	Recipients []StepRecipient `json:"recipients,omitempty"`

	// Of the queue's steps: the server talked to and what it said.
	Host  string `json:"host,omitempty"`
	Reply string `json:"reply,omitempty"`
}

// StepRecipient is where one recipient's copy went.
type StepRecipient struct {
	Address   string   `json:"address"`             // as the sender gave it
	Mailboxes int      `json:"mailboxes,omitempty"` // copies that went to mailboxes of this box
	Queued    []string `json:"queued,omitempty"`    // addresses elsewhere
}
