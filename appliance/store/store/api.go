package store

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Options sets up a store. The zero value of each field is a sound default.
type Options struct {
	Log *slog.Logger
	// Now is the clock; time.Now where nil.
	Now func() time.Time
	// MinFree is the free space in bytes below which no mail is accepted.
	MinFree int64
	// Reserve is the size in bytes of the file that keeps room for Badger to
	// open on a full disk; 0 means none (tests).
	Reserve int64
	// UndeleteFor is how long expunged mail stays restorable; 14 days where 0, none where negative.
	UndeleteFor time.Duration
	// ChangesFor is how long the change log is kept; 60 days where 0.
	ChangesFor time.Duration
	// EncryptionKey, 16, 24 or 32 bytes, encrypts the store at rest.
	EncryptionKey []byte
}

// Accepting reports whether mail can be stored now: nil, ErrNoSpace or
// ErrReadOnly. Servers ask it before they take a body.
func (s *Store) Accepting() error { panic("store") }

// Spool starts a new body. Write the message to it, then pass it in a
// Delivery; Abort (safe after delivery) drops what was not delivered. Bytes
// are compressed and on disk as they come: memory stays bounded.
func (s *Store) Spool(ctx context.Context) (*SpooledBody, error) { panic("store") }

// SpooledBody is a body being written. It is not for concurrent use.
type SpooledBody struct{}

// Write appends to the body.
func (b *SpooledBody) Write(p []byte) (int, error) { panic("store") }

// Size is the number of bytes written so far.
func (b *SpooledBody) Size() int64 { panic("store") }

// Reader reads what was written, before delivery too (checks and filters).
func (b *SpooledBody) Reader(ctx context.Context) (Body, error) { panic("store") }

// Abort drops the body unless it was delivered.
func (b *SpooledBody) Abort() { panic("store") }

// Body is a stored body open for reading; safe for one reader at a time.
type Body interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
	Size() int64
}

// Deliver makes a delivery durable: when it returns nil, it survives a power
// cut. Its errors leave nothing behind: ErrOverQuota (names the account by
// *AccountError), ErrNotFound, ErrConflict, ErrNoSpace, ErrReadOnly.
func (s *Store) Deliver(ctx context.Context, d Delivery) (Receipt, error) { panic("store") }

// AccountError tells which account an error is about.
type AccountError struct {
	Account AccountID
	Err     error
}

func (e *AccountError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *AccountError) Unwrap() error { return e.Err }

// OpenBody opens a body by id. Damage shows as ErrDamaged when the bad part is read.
func (s *Store) OpenBody(ctx context.Context, id BlobID) (Body, error) { panic("store") }

// Facts reads the facts of bodies in the order asked and calls fn for each;
// fn's error ends it. A body without facts gives a zero Facts with its size.
// The byte slices are valid only during the call.
func (s *Store) Facts(ctx context.Context, ids []BlobID, want FactsWant, fn func(i int, f *Facts) error) error {
	panic("store")
}

// CreateAccount makes an account with INBOX and the special-use mailboxes
// Drafts, Sent, Junk, Trash and Archive, all subscribed, together with docs.
func (s *Store) CreateAccount(ctx context.Context, q Quota, docs func(AccountID) []DocOp) (AccountID, error) {
	panic("store")
}

// DeleteAccount removes an account with all its mail, together with docs.
func (s *Store) DeleteAccount(ctx context.Context, id AccountID, docs []DocOp) error { panic("store") }

// Quota reads use and limits.
func (s *Store) Quota(ctx context.Context, id AccountID) (Quota, error) { panic("store") }

// SetQuota sets the limits (LimitBytes, LimitMessages).
func (s *Store) SetQuota(ctx context.Context, id AccountID, q Quota) error { panic("store") }

// CheckQuota reports ErrOverQuota where a message of size bytes would not fit now.
func (s *Store) CheckQuota(ctx context.Context, id AccountID, size int64) error { panic("store") }

// Mailboxes lists an account's mailboxes by name, subscribed names without a
// mailbox included (NonExistent).
func (s *Store) Mailboxes(ctx context.Context, id AccountID) ([]Mailbox, error) { panic("store") }

// MailboxByName finds one; ErrNotFound.
func (s *Store) MailboxByName(ctx context.Context, id AccountID, name string) (Mailbox, error) {
	panic("store")
}

// Mailbox reads one by id; ErrNotFound.
func (s *Store) Mailbox(ctx context.Context, id MailboxID) (Mailbox, error) { panic("store") }

// CreateMailbox makes a mailbox and its missing parents. ErrExists, ErrBadName, ErrTooMany.
func (s *Store) CreateMailbox(ctx context.Context, id AccountID, name, specialUse string) (Mailbox, error) {
	panic("store")
}

// RenameMailbox renames a mailbox with all below it. Renaming INBOX moves its
// messages into a new mailbox and leaves it empty (RFC 3501 section 6.3.5).
func (s *Store) RenameMailbox(ctx context.Context, id AccountID, from, to string) error {
	panic("store")
}

// DeleteMailbox removes a mailbox with its messages. One with children stays
// as a name that holds no messages (RFC 9051 section 6.3.5): ErrHasChildren.
func (s *Store) DeleteMailbox(ctx context.Context, id AccountID, name string) error { panic("store") }

// Subscribe sets or clears a subscription, also for names that do not exist.
func (s *Store) Subscribe(ctx context.Context, id AccountID, name string, on bool) error {
	panic("store")
}

// SetSpecialUse changes a mailbox's special use.
func (s *Store) SetSpecialUse(ctx context.Context, id MailboxID, use string) error { panic("store") }

// Entries calls fn with the entries of UIDs lo to hi (0: no end), ascending,
// as of one moment, with the mailbox of that moment. It opens no facts and no bodies.
func (s *Store) Entries(ctx context.Context, id MailboxID, lo, hi UID, fn func(Entry) error) (Mailbox, error) {
	panic("store")
}

// EntriesOf reads the entries of the UIDs given that exist, ascending.
func (s *Store) EntriesOf(ctx context.Context, id MailboxID, uids []UID) ([]Entry, error) {
	panic("store")
}

// ChangeFlags applies a flag change to the messages that exist among uids.
func (s *Store) ChangeFlags(ctx context.Context, id MailboxID, uids []UID, c FlagChange) (FlagResult, error) {
	panic("store")
}

// Copy copies messages to another mailbox (of any account), all or none. ErrOverQuota, ErrNotFound.
func (s *Store) Copy(ctx context.Context, from MailboxID, uids []UID, to MailboxID) (CopyResult, error) {
	panic("store")
}

// Move moves messages, all or none.
func (s *Store) Move(ctx context.Context, from MailboxID, uids []UID, to MailboxID) (CopyResult, error) {
	panic("store")
}

// Expunge removes the messages that exist among uids, and answers those it
// removed, with the mailbox's new mod-sequence. With onlyDeleted it removes
// just those that have the Deleted flag at that moment (UID EXPUNGE, RFC 4315).
func (s *Store) Expunge(ctx context.Context, id MailboxID, uids []UID, onlyDeleted bool) ([]UID, ModSeq, error) {
	panic("store")
}

// ChangesSince tells what changed in a mailbox after a mod-sequence;
// ErrCannotCalculateChanges where that is further back than is kept.
func (s *Store) ChangesSince(ctx context.Context, id MailboxID, since ModSeq) (Changes, error) {
	panic("store")
}

// AccountChangesSince tells what changed in an account, at most limit ids.
func (s *Store) AccountChangesSince(ctx context.Context, id AccountID, since ModSeq, limit int) (AccountChanges, error) {
	panic("store")
}

// Watch tells of all that happens in an account, in commit order, until
// Close. The queue is bounded: a listener that does not keep up gets one
// EventResync in place of what was dropped.
func (s *Store) Watch(id AccountID) *Watcher { panic("store") }

// Watcher is a listener's end. Events come one at a time from C.
type Watcher struct {
	C <-chan Event
}

// Close ends the listening; C is closed.
func (w *Watcher) Close() { panic("store") }

// WithActor marks changes made with ctx as caused by a session, so that the
// session can tell its own events from others'. Actors come from NewActor.
func WithActor(ctx context.Context, actor uint64) context.Context { panic("store") }

// NewActor allots an actor number for WithActor.
func (s *Store) NewActor() uint64 { panic("store") }

// Doc reads a document; ErrNotFound.
func (s *Store) Doc(ctx context.Context, t Table, key string) (Doc, error) { panic("store") }

// Docs calls fn with the documents whose key has the prefix and is greater
// than after, by key; fn's error ends it. Doc.Value is valid only during the call.
func (s *Store) Docs(ctx context.Context, t Table, prefix, after string, fn func(Doc) error) error {
	panic("store")
}

// UpdateDocs applies all ops or none, durably. ErrConflict.
func (s *Store) UpdateDocs(ctx context.Context, ops ...DocOp) error { panic("store") }

// QueueDue calls fn with entries due at now or before, earliest first, and
// tells when the next one after those is due (zero: none).
func (s *Store) QueueDue(ctx context.Context, now time.Time, limit int, fn func(QueueEntry) error) (next time.Time, err error) {
	panic("store")
}

// QueueList calls fn with all entries by id, after the id given.
func (s *Store) QueueList(ctx context.Context, after QueueID, fn func(QueueEntry) error) error {
	panic("store")
}

// QueueGet reads one entry; ErrNotFound.
func (s *Store) QueueGet(ctx context.Context, id QueueID) (QueueEntry, error) { panic("store") }

// QueueUpdate applies changes durably. A body nobody refers to any more is
// removed with its last entry. ErrNotFound names no entry that is gone: those are passed over.
func (s *Store) QueueUpdate(ctx context.Context, changes ...QueueChange) error { panic("store") }

// Stats are the store's own figures, cheap to read.
type Stats struct {
	Accounts, Mailboxes, Messages, Blobs, Queued int64
	StoredBytes                                  int64 // sum of message sizes over all mailboxes
	DiskTotal, DiskFree                          int64
	LSMBytes, ValueLogBytes                      int64
	OldestQueued                                 time.Time
}

// Stats reads the figures.
func (s *Store) Stats(ctx context.Context) (Stats, error) { panic("store") }

// CheckOptions says how deep a check goes.
type CheckOptions struct {
	Bodies bool // read every body and compare its hash
	Repair bool
	// Progress, where set, is called now and then with done and total rows.
	Progress func(done, total int64)
}

// CheckReport lists what a check found.
type CheckReport struct {
	Accounts, Mailboxes, Messages, Blobs, Queued int64
	Problems                                     []Problem
}

// Problem is one thing wrong with the store.
type Problem struct {
	Where    string // the record, in words
	What     string
	Repaired bool
}

// Check verifies every reference, count and hash.
func (s *Store) Check(ctx context.Context, o CheckOptions) (*CheckReport, error) { panic("store") }

// Close waits for work under way, then closes. Calls after it answer ErrClosed.
func (s *Store) Close() error { panic("store") }

// Open opens the store in dir, making it where there is none. ErrNewerStore.
func Open(ctx context.Context, dir string, o Options) (*Store, error) { panic("store") }

// Store is the mail store. Its methods are safe for concurrent use.
type Store struct{}
