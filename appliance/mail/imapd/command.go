package imapd

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/imapd/session"
	"pillarbox/appliance/store/store"
)

// call is one command being answered.
type call struct {
	tag, name string
	uid       bool   // it came with UID before it
	code      string // response code of its OK
	text      string // text of its OK, if not the usual
	// noExpunge says that no message may lose its number at the end of this
	// command (RFC 9051 section 7.5.1).
	noExpunge bool
	// noSync says that nothing is announced at its end.
	noSync bool
}

// states is a set of the states a command is allowed in (RFC 9051 section 6).
type states uint8

const (
	inNotAuthenticated states = 1 << iota
	inAuthenticated
	inSelected

	inAny    = inNotAuthenticated | inAuthenticated | inSelected
	inLogged = inAuthenticated | inSelected
)

// command is an entry of the dispatch table.
type command struct {
	in states
	// run parses the command's arguments and answers it, but for the tagged
	// response. An *imap.Error becomes NO or BAD; store errors are translated.
	run func(c *conn, ctx context.Context, call *call) error
	// uid: there is a UID form. uidOnly: there is no other.
	uid, uidOnly bool
	// numbers: the form without UID works with message numbers.
	numbers bool
}

// commands is the dispatch table.
func commands() map[string]*command {
	return map[string]*command{
		"CAPABILITY":     {in: inAny, run: (*conn).cmdCapability},
		"NOOP":           {in: inAny, run: (*conn).cmdNoop},
		"LOGOUT":         {in: inAny, run: (*conn).cmdLogout},
		"ID":             {in: inAny, run: (*conn).cmdID},
		"STARTTLS":       {in: inNotAuthenticated, run: (*conn).cmdStartTLS},
		"AUTHENTICATE":   {in: inNotAuthenticated, run: (*conn).cmdAuthenticate},
		"LOGIN":          {in: inNotAuthenticated, run: (*conn).cmdLogin},
		"UNAUTHENTICATE": {in: inLogged, run: (*conn).cmdUnauthenticate},
		"ENABLE":         {in: inLogged, run: (*conn).cmdEnable},
		"SELECT":         {in: inLogged, run: (*conn).cmdSelect},
		"EXAMINE":        {in: inLogged, run: (*conn).cmdSelect},
		"CREATE":         {in: inLogged, run: (*conn).cmdCreate},
		"DELETE":         {in: inLogged, run: (*conn).cmdDelete},
		"RENAME":         {in: inLogged, run: (*conn).cmdRename},
		"SUBSCRIBE":      {in: inLogged, run: (*conn).cmdSubscribe},
		"UNSUBSCRIBE":    {in: inLogged, run: (*conn).cmdSubscribe},
		"LIST":           {in: inLogged, run: (*conn).cmdList},
		"LSUB":           {in: inLogged, run: (*conn).cmdLsub},
		"NAMESPACE":      {in: inLogged, run: (*conn).cmdNamespace},
		"STATUS":         {in: inLogged, run: (*conn).cmdStatus},
		"APPEND":         {in: inLogged, run: (*conn).cmdAppend},
		"NOTIFY":         {in: inLogged, run: (*conn).cmdNotify},
		"IDLE":           {in: inLogged, run: (*conn).cmdIdle},
		"CHECK":          {in: inSelected, run: (*conn).cmdNoop},
		"CLOSE":          {in: inSelected, run: (*conn).cmdClose},
		"UNSELECT":       {in: inSelected, run: (*conn).cmdUnselect},
		"EXPUNGE":        {in: inSelected, run: (*conn).cmdExpunge, uid: true},
		"GETQUOTA":       {in: inLogged, run: (*conn).cmdGetQuota},
		"GETQUOTAROOT":   {in: inLogged, run: (*conn).cmdGetQuotaRoot},
		"SETQUOTA":       {in: inLogged, run: (*conn).cmdSetQuota},
		"SETACL":         {in: inLogged, run: (*conn).cmdSetACL},
		"DELETEACL":      {in: inLogged, run: (*conn).cmdSetACL},
		"GETACL":         {in: inLogged, run: (*conn).cmdGetACL},
		"LISTRIGHTS":     {in: inLogged, run: (*conn).cmdListRights},
		"MYRIGHTS":       {in: inLogged, run: (*conn).cmdMyRights},
		"GETMETADATA":    {in: inLogged, run: (*conn).cmdGetMetadata},
		"SETMETADATA":    {in: inLogged, run: (*conn).cmdSetMetadata},
		"REPLACE":        {in: inSelected, run: (*conn).cmdReplace, uid: true, numbers: true},
		"FETCH":          {in: inSelected, run: (*conn).cmdFetch, uid: true, numbers: true},
		"SEARCH":         {in: inSelected, run: (*conn).cmdSearch, uid: true, numbers: true},
		"CANCELUPDATE":   {in: inSelected, run: (*conn).cmdCancelUpdate},
		"SORT":           {in: inSelected, run: (*conn).cmdSort, uid: true, numbers: true},
		"THREAD":         {in: inSelected, run: (*conn).cmdThread, uid: true, numbers: true},
		"COMPRESS":       {in: inLogged, run: (*conn).cmdCompress},
		"STORE":          {in: inSelected, run: (*conn).cmdStore, uid: true, numbers: true},
		"COPY":           {in: inSelected, run: (*conn).cmdCopy, uid: true, numbers: true},
		"MOVE":           {in: inSelected, run: (*conn).cmdCopy, uid: true, numbers: true},
	}
}

// answer is a NO or BAD that the client gets as it is.
func answer(typ imap.StatusResponseType, code imap.ResponseCode, text string) error {
	return &imap.Error{Type: typ, Code: code, Text: text}
}

func no(code imap.ResponseCode, text string) error {
	return answer(imap.StatusResponseTypeNo, code, text)
}

// errUIDRequired answers the use of a message number with UIDONLY (RFC 9586 section 3).
var errUIDRequired = answer(imap.StatusResponseTypeBad, "UIDREQUIRED", "Message numbers are disabled")

func bad(text string) error { return answer(imap.StatusResponseTypeBad, "", text) }

// maxTag is the longest tag that is repeated for a command that cannot be read.
const maxTag = 100

var errTooManyBad = errors.New("imapd: too many bad commands")

// command answers the command that was begun. Its error ends the connection.
func (c *conn) command() error {
	start := time.Now()
	cl := &call{tag: c.dec.Tag()}
	if err := c.dec.Err(); err != nil {
		if cl.tag == "" || len(cl.tag) > maxTag {
			cl.tag = "*"
		}
		return c.tagged(cl, err)
	}
	c.dec.SP()
	cl.name = c.dec.Keyword()
	if cl.name == "UID" && c.dec.SP() {
		cl.uid = true
		cl.name = c.dec.Keyword()
	}
	ctx := c.context()
	err := c.run(ctx, cl)
	if broken := c.dec.SourceError(); broken != nil {
		return broken
	}
	var broken *connError
	if errors.As(err, &broken) {
		return broken.err
	}
	if err := c.enc.Err(); err != nil {
		return err
	}
	if errors.Is(err, errAnswered) {
		return nil
	}
	if fatal(err) {
		return err
	}
	if !cl.noSync && c.sel != nil {
		if err := c.sync(ctx, !cl.noExpunge); err != nil {
			return err
		}
		if cl.noExpunge && cl.code == "" && c.sel.Pending() {
			cl.code = codeExpungeIssued
		}
	}
	if c.log.Enabled(ctx, levelTrace) {
		c.log.Log(ctx, levelTrace, "imap command", "name", cl.name, "uid", cl.uid, "took", time.Since(start), "error", err)
	}
	return c.tagged(cl, err)
}

// codeExpungeIssued says that messages are gone that could not be told of yet
// (RFC 5530 section 3): a client learns of them by NOOP.
const codeExpungeIssued = "EXPUNGEISSUED"

// levelTrace is the level every command is logged at.
const levelTrace = -8

// fatal reports whether an error ends the connection.
func fatal(err error) bool {
	return errors.Is(err, session.ErrGone) || errors.Is(err, errTLSLeftover) || errors.Is(err, errDropped)
}

// run finds the command and runs it where it is allowed.
func (c *conn) run(ctx context.Context, cl *call) error {
	if err := c.dec.Err(); err != nil {
		return err
	}
	cmd := c.srv.table[cl.name]
	switch {
	case cmd == nil, cl.uid && !cmd.uid, !cl.uid && cmd.uidOnly:
		return bad("Unknown command")
	case cmd.in&c.inState() == 0:
		switch {
		case c.user == nil:
			return bad("Log in first")
		case cmd.in == inSelected:
			return bad("No mailbox is selected")
		}
		return bad("Not allowed after the login")
	case cmd.numbers && !cl.uid && c.on.uidonly:
		return errUIDRequired
	}
	if cmd.in == inSelected {
		lost, err := c.sel.Recheck(ctx)
		if err != nil {
			return err
		}
		if lost {
			c.writeFlagsInUse()
		}
	}
	return cmd.run(c, ctx, cl)
}

func (c *conn) inState() states {
	switch c.state() {
	case imap.ConnStateNotAuthenticated:
		return inNotAuthenticated
	case imap.ConnStateAuthenticated:
		return inAuthenticated
	case imap.ConnStateSelected:
		return inSelected
	}
	return 0
}

// tagged ends the command with its tagged response.
func (c *conn) tagged(cl *call, err error) error {
	if err != nil {
		e := c.translate(err)
		c.enc.Raw(cl.tag).SP().Raw(string(e.Type)).SP()
		if e.Code != "" {
			c.enc.Byte('[').Raw(string(e.Code)).Raw("] ")
		}
		c.enc.Raw(e.Text).End()
		return c.countBad(e.Type == imap.StatusResponseTypeBad)
	}
	c.enc.Raw(cl.tag).Raw(" OK ")
	if cl.code != "" {
		c.enc.Byte('[').Raw(cl.code).Raw("] ")
	}
	if cl.text != "" {
		c.enc.Raw(cl.text)
	} else {
		if cl.uid {
			c.enc.Raw("UID ")
		}
		c.enc.Raw(cl.name).Raw(" completed")
	}
	c.enc.End()
	return c.countBad(false)
}

func (c *conn) countBad(isBad bool) error {
	if !isBad {
		if c.user != nil {
			c.bad = 0
		}
		return nil
	}
	c.bad++
	if c.user == nil && c.bad >= badLimitBefore || c.bad >= badLimit {
		return errTooManyBad
	}
	return nil
}

// translate makes an answer of an error. What is not expected is logged, and
// the client sees nothing of it.
func (c *conn) translate(err error) *imap.Error {
	var e *imap.Error
	if errors.As(err, &e) {
		return e
	}
	reply := func(code imap.ResponseCode, text string) *imap.Error {
		return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return reply(imap.ResponseCodeNonExistent, "No such mailbox")
	case errors.Is(err, store.ErrExists):
		return reply(imap.ResponseCodeAlreadyExists, "Mailbox exists already")
	case errors.Is(err, store.ErrBadName):
		return reply(imap.ResponseCodeCannot, "Not a usable mailbox name")
	case errors.Is(err, store.ErrHasChildren):
		return reply(imap.ResponseCodeHasChildren, "Mailbox has children")
	case errors.Is(err, store.ErrInbox):
		return reply(imap.ResponseCodeCannot, "INBOX cannot be deleted")
	case errors.Is(err, store.ErrOverQuota):
		return reply(imap.ResponseCodeOverQuota, "Over quota")
	case errors.Is(err, store.ErrTooMany):
		return reply(imap.ResponseCodeLimit, "Limit reached")
	case errors.Is(err, store.ErrConflict):
		return reply(imap.ResponseCodeInUse, "Changed by somebody else meanwhile, try again")
	case errors.Is(err, store.ErrNoSpace), errors.Is(err, store.ErrReadOnly), errors.Is(err, store.ErrClosed),
		errors.Is(err, context.Canceled):
		return reply(imap.ResponseCodeUnavailable, "Not possible at the moment")
	case errors.Is(err, store.ErrDamaged):
		c.log.Error("imap: damaged message", "error", err)
		return reply(imap.ResponseCodeCorruption, "The message is damaged on disk")
	}
	c.log.Error("imap command failed", "error", err)
	return reply(imap.ResponseCodeServerBug, "Internal error")
}

// oneLine keeps text from others out of the protocol's lines.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f || r == ']' {
			return -1
		}
		return r
	}, s)
}
