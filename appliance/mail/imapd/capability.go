package imapd

import (
	"context"
	"strconv"
	"strings"
)

// base is what everybody is offered: what can be done before the login.
const base = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ENABLE ID IDLE"

// full is what is offered after the login, beyond base.
const full = " NAMESPACE UNSELECT UIDPLUS MOVE CHILDREN SPECIAL-USE CREATE-SPECIAL-USE" +
	" LIST-EXTENDED LIST-STATUS LIST-MYRIGHTS LIST-METADATA METADATA STATUS=SIZE BINARY MULTIAPPEND CATENATE REPLACE" +
	" CONDSTORE QRESYNC UIDONLY ESEARCH SEARCHRES PARTIAL CONTEXT=SEARCH CONTEXT=SORT WITHIN SAVEDATE OBJECTID PREVIEW" +
	" SORT SORT=DISPLAY ESORT THREAD=REFERENCES THREAD=ORDEREDSUBJECT I18NLEVEL=1 INPROGRESS" +
	" QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE ACL RIGHTS=kxte UTF8=ACCEPT NOTIFY UNAUTHENTICATE"

// capabilities is what the connection is offered in its state (RFC 9051 section 6.1.1).
func (c *conn) capabilities() string {
	var b strings.Builder
	b.WriteString(base)
	if c.user == nil {
		if c.canStartTLS() {
			b.WriteString(" STARTTLS")
		}
		if !c.passwordsAllowed() {
			b.WriteString(" LOGINDISABLED")
		} else {
			for _, m := range c.mechanisms() {
				b.WriteString(" AUTH=")
				b.WriteString(m)
			}
		}
		return b.String()
	}
	b.WriteString(full)
	if !c.compressed {
		b.WriteString(" COMPRESS=DEFLATE") // RFC 4978 section 3
	}
	b.WriteString(" APPENDLIMIT=")
	b.WriteString(strconv.FormatInt(c.srv.cfg.AppendLimit(), 10))
	return b.String()
}

// cmdCapability answers CAPABILITY (RFC 9051 section 6.1.1).
func (c *conn) cmdCapability(_ context.Context, _ *call) error {
	if err := c.dec.End(); err != nil {
		return err
	}
	c.enc.Raw("* CAPABILITY ").Raw(c.capabilities()).End()
	return nil
}

// cmdEnable answers ENABLE (RFC 5161, RFC 9051 section 6.3.1). What is not
// known, or not offered, is passed over.
func (c *conn) cmdEnable(_ context.Context, _ *call) error {
	var names []string
	for c.dec.SP() {
		names = append(names, c.dec.Keyword())
		if !c.dec.More() {
			break
		}
	}
	if err := c.dec.End(); err != nil {
		return err
	}
	var did []string
	for _, name := range names {
		switch name {
		case "CONDSTORE":
			c.enableCondstore()
		case "QRESYNC":
			c.enableCondstore()
			c.on.qresync = true
		case "IMAP4REV2":
			name = "IMAP4rev2"
			c.on.rev2 = true
			c.dec.UTF8, c.enc.UTF8 = true, true
		case "UIDONLY": // RFC 9586
			c.on.uidonly = true
		case "UTF8=ACCEPT":
			c.on.utf8 = true
			c.dec.UTF8, c.enc.UTF8 = true, true
		default:
			continue
		}
		did = append(did, name)
	}
	c.enc.Raw("* ENABLED")
	for _, name := range did {
		c.enc.SP().Raw(name)
	}
	c.enc.End()
	return nil
}

// enableCondstore turns CONDSTORE on, as ENABLE does and every command that
// uses it (RFC 7162 section 3.1). In a selected mailbox the client must learn
// where it stands.
func (c *conn) enableCondstore() {
	if c.on.condstore {
		return
	}
	c.on.condstore = true
	if c.sel != nil {
		c.enc.Raw("* OK [HIGHESTMODSEQ ").Num(uint64(c.sel.ModSeq())).Raw("] CONDSTORE is on").End()
	}
}
