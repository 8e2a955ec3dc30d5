package store

import (
	"errors"
	"time"
)

// Identifiers are allotted by the committer and never used twice.
type (
	// AccountID names an account: one person's mailboxes, or a shared set.
	AccountID uint64
	// MailboxID names a mailbox across renames, over all accounts (RFC 8474 MAILBOXID).
	MailboxID uint64
	// EmailID names a message within its account across COPY and MOVE (RFC 8474 EMAILID).
	EmailID uint64
	// ThreadID groups the messages of a conversation within an account (RFC 8474 THREADID).
	ThreadID uint64
	// UID is a message's unique identifier in a mailbox (RFC 3501 section 2.3.1.1).
	UID uint32
	// ModSeq is a modification sequence. One counter serves a whole account,
	// so that it is also the account's state string (RFC 7162, RFC 8620).
	ModSeq uint64
	// BlobID names a stored body. Ids grow with time, so that the bodies and
	// facts of neighbouring messages lie beside each other on disk.
	BlobID uint64
	// QueueID names one recipient's entry in the outbound queue.
	QueueID uint64
)

// Errors callers tell apart with errors.Is. All other errors mean that the
// store could not do its work (disk, damage, shutdown).
var (
	ErrNotFound               = errors.New("store: not found")
	ErrExists                 = errors.New("store: exists already")
	ErrBadName                = errors.New("store: not a usable mailbox name")
	ErrHasChildren            = errors.New("store: mailbox has children")
	ErrInbox                  = errors.New("store: INBOX cannot be deleted")
	ErrOverQuota              = errors.New("store: over quota")
	ErrNoSpace                = errors.New("store: no disk space to accept mail")
	ErrReadOnly               = errors.New("store: read-only after a disk error")
	ErrConflict               = errors.New("store: changed by somebody else meanwhile")
	ErrTooMany                = errors.New("store: limit reached")
	ErrDamaged                = errors.New("store: body is damaged")
	ErrClosed                 = errors.New("store: closed")
	ErrNewerStore             = errors.New("store: written by a newer program")
	ErrBadKey                 = errors.New("store: not the key it is encrypted with")
	ErrCannotCalculateChanges = errors.New("store: changes that far back are no longer kept")
)

// Flags are a message's changing marks.
type Flags struct {
	System   SystemFlags
	Keywords []string // sorted, as first written, compared without case (RFC 3501 section 2.3.2)
}

// SystemFlags is the set of IMAP system flags (RFC 3501 section 2.3.2).
type SystemFlags uint8

// The system flags.
const (
	Seen SystemFlags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

// Mailbox is one mailbox with its counters, as of one moment.
type Mailbox struct {
	ID            MailboxID
	Account       AccountID
	Name          string // UTF-8, hierarchy separator "/", "INBOX" in capitals
	SpecialUse    string // "" or one of `\Archive \Drafts \Junk \Sent \Trash \All \Flagged` (RFC 6154)
	Subscribed    bool
	NonExistent   bool // a subscribed name without a mailbox: only Name and Subscribed hold
	UIDValidity   uint32
	UIDNext       UID
	HighestModSeq ModSeq
	Messages      uint32
	Unseen        uint32   // messages without Seen
	DeletedCount  uint32   // messages with Deleted
	Size          int64    // sum of the messages' sizes, bytes
	FirstUnseen   UID      // 0 where unknown or none
	Keywords      []string // keywords in use in the mailbox
	Created       time.Time
}

// Entry is a message's place in a mailbox: the small, changing record. Reading
// it never touches headers or bodies.
type Entry struct {
	UID          UID
	ModSeq       ModSeq
	Email        EmailID
	Thread       ThreadID
	Blob         BlobID
	Flags        Flags
	InternalDate time.Time // RFC 3501 section 2.3.3, second precision, zone kept
	SaveDate     time.Time // RFC 8514
	Size         int64     // RFC822.SIZE, bytes
}

// Facts are what is known of a message for ever once it has been read: they
// are computed by the caller, kept once per body and served without it.
type Facts struct {
	Size       int64     // bytes of the whole message
	MessageID  string    // without angle brackets, "" where there is none
	References []string  // ids of References, else In-Reply-To, oldest first, at most 100
	Subject    string    // base subject (RFC 5256 section 2.1), for threading
	Sent       time.Time // Date header; zero where unreadable
	Preview    string    // RFC 8970, at most 200 characters
	Index      []byte    // the structure index, opaque to the store
	Header     []byte    // raw header block of the message, at most 64 KiB
}

// FactsWant says which of the larger facts a reader needs.
type FactsWant uint8

// What a reader of facts may ask for beyond the small fields.
const (
	WantIndex FactsWant = 1 << iota
	WantHeader
)

// Placement puts a delivered body into one mailbox.
type Placement struct {
	Account      AccountID
	Mailbox      MailboxID // 0: by Name
	Name         string    // mailbox name, created where missing; "" means INBOX
	SpecialUse   string    // where set (e.g. `\Junk`), the mailbox with this use is taken before Name
	Flags        Flags
	InternalDate time.Time
	// IgnoreQuota lets a message in over the limit: bounces to the owner, restores.
	IgnoreQuota bool
}

// Placed answers a Placement.
type Placed struct {
	Account     AccountID
	Mailbox     MailboxID
	UIDValidity uint32
	UID         UID
	ModSeq      ModSeq
	Email       EmailID
}

// QueueEntry is one recipient's copy on its way out.
type QueueEntry struct {
	ID        QueueID // 0 on creation
	Blob      BlobID  // filled from the delivery on creation
	Size      int64
	Sender    string // RFC 5321 reverse-path, "" for bounces
	Recipient string
	Created   time.Time
	Due       time.Time // next attempt
	Attempts  int
	Data      []byte // the queue's own record, opaque to the store
}

// Delivery is one accepted message with all its consequences: they become
// durable together or not at all.
type Delivery struct {
	Body       *SpooledBody // from Store.Spool; nil where only Docs or Queue changes are made
	Facts      Facts
	Placements []Placement
	Queue      []QueueEntry  // new entries for Body
	Changes    []QueueChange // of other entries, as when a bounce replaces a failed one
	Docs       []DocOp
}

// Receipt answers a Delivery. Placed is in the order of Placements.
type Receipt struct {
	Blob   BlobID
	Placed []Placed
	Queued []QueueID
}

// QueueChange replaces (Entry not nil) or removes a queue entry.
type QueueChange struct {
	ID    QueueID
	Entry *QueueEntry
}

// Doc is a small document of another package (people, settings, trace), kept
// by table and key. Rev changes with every write.
type Doc struct {
	Key   string
	Value []byte
	Rev   uint64
}

// DocOp writes or removes a document. The whole list of ops it stands in is
// applied or refused together.
type DocOp struct {
	Table Table
	Key   string
	Value []byte // nil removes
	// IfRev: 0 writes whatever is there; IfAbsent demands there is none; any
	// other value demands that revision. ErrConflict otherwise.
	IfRev uint64
	// Expires removes the document by itself after that time; zero keeps it.
	Expires time.Time
}

// IfAbsent as DocOp.IfRev demands that the document does not exist yet.
const IfAbsent = ^uint64(0)

// Table names a set of documents. Numbers are on disk: never change or reuse one.
type Table uint8

// The tables of documents.
const (
	TableSetting  Table = 1  // settings of the mail daemon
	TableDomain   Table = 2  // hosted domains by name
	TableUser     Table = 3  // people by address
	TableAlias    Table = 4  // aliases by address
	TableGroup    Table = 5  // groups by address
	TableTrace    Table = 6  // message trace
	TableEvent    Table = 7  // the box's events
	TableTLS      Table = 8  // policies of other servers
	TableMetadata Table = 9  // IMAP METADATA (RFC 5464)
	TableACL      Table = 10 // IMAP ACL (RFC 4314)
	TableApp      Table = 11 // app passwords
)

// FlagOp says what a flag change does with the flags it names.
type FlagOp uint8

// The flag changes (RFC 3501 section 6.4.6).
const (
	FlagsSet FlagOp = iota
	FlagsAdd
	FlagsRemove
)

// FlagChange is one STORE over a set of messages.
type FlagChange struct {
	Op    FlagOp
	Flags Flags
	// UnchangedSince, where UseUnchangedSince is set, leaves out messages with
	// a higher mod-sequence (RFC 7162 section 3.1.3).
	UnchangedSince    ModSeq
	UseUnchangedSince bool
	// Keep are flags that FlagsSet leaves as they are.
	Keep FlagMask
}

// FlagMask says which flags are meant: some of the system's, and all keywords or none.
type FlagMask struct {
	System   SystemFlags
	Keywords bool
}

// FlagResult answers a FlagChange.
type FlagResult struct {
	Changed  []Entry // new state of the messages that were found and allowed, also where nothing changed for them
	Modified []UID   // refused by UnchangedSince
}

// CopyResult answers COPY and MOVE: From[i] became To[i] (RFC 4315 COPYUID).
type CopyResult struct {
	UIDValidity uint32
	From, To    []UID
	// Expunged is the source's mod-sequence after a MOVE, 0 for COPY.
	Expunged ModSeq
}

// Changes is what happened to a mailbox after a mod-sequence.
type Changes struct {
	HighestModSeq ModSeq
	Changed       []Entry // new or changed messages, by UID
	Vanished      []UID   // expunged since, ascending
}

// AccountChanges is what happened to an account after a mod-sequence (JMAP).
type AccountChanges struct {
	State              ModSeq
	Created            []EmailID
	Updated            []EmailID
	Destroyed          []EmailID
	Mailboxes          []MailboxID // created or changed
	MailboxesDestroyed []MailboxID
	More               bool // cut at the limit; go on from State
}

// Quota is an account's use and limits. A limit of 0 means none.
type Quota struct {
	Bytes, LimitBytes       int64
	Messages, LimitMessages int64
}

// EventKind says what a listener is told.
type EventKind uint8

// What happens in an account.
const (
	EventNew      EventKind = iota + 1 // messages arrived
	EventFlags                         // flags changed
	EventExpunged                      // messages went
	EventMailbox                       // a mailbox was created, renamed, deleted, subscribed
	EventResync                        // events were dropped: read the state anew
)

// Event is told to listeners after the commit that caused it.
type Event struct {
	Kind    EventKind
	Account AccountID
	Mailbox MailboxID
	ModSeq  ModSeq
	Entries []Entry // new state for EventNew and EventFlags
	UIDs    []UID   // for EventExpunged
	Source  uint64  // the Actor that caused it (see WithActor), 0 where none
}
