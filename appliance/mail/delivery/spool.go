package delivery

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"sync"

	"pillarbox/appliance/store/store"
)

// copyBuffer is the size of the pieces a body is copied in.
const copyBuffer = 32 << 10

var buffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// spool writes the trace fields and the body to the spool and the indexer in
// one pass, and gives the facts. Errors of body's come back as they are.
func (p *Pipeline) spool(e *Envelope, spool *store.SpooledBody, body io.Reader) (store.Facts, error) {
	index := p.cfg.NewIndexer()
	out := &tee{spool, index}
	if _, err := io.WriteString(out, p.traceFields(e)); err != nil {
		return store.Facts{}, err
	}
	h := &headerEditor{out: out, submission: e.User != "", hostname: p.cfg.Hostname(), id: string(e.ID), date: e.Arrived}
	buf := buffers.Get().(*[copyBuffer]byte)
	defer buffers.Put(buf)
	limit := p.cfg.MaxSize()
	var size int64
	for {
		n, err := body.Read(buf[:])
		if size += int64(n); limit > 0 && size > limit {
			return store.Facts{}, tooLarge()
		}
		if n > 0 {
			if _, err := h.Write(buf[:n]); err != nil {
				return store.Facts{}, err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return store.Facts{}, err
		}
	}
	if err := h.Close(); err != nil {
		return store.Facts{}, err
	}
	facts, err := index.Facts()
	if err != nil {
		return store.Facts{}, fmt.Errorf("delivery: index: %w", err)
	}
	return facts, nil
}

// tee writes to the spool and the indexer.
type tee struct {
	spool *store.SpooledBody
	index Indexer
}

func (t *tee) Write(p []byte) (int, error) {
	if _, err := t.spool.Write(p); err != nil {
		return 0, fmt.Errorf("delivery: spool: %w", err)
	}
	if _, err := t.index.Write(p); err != nil {
		return 0, fmt.Errorf("delivery: index: %w", err)
	}
	return len(p), nil
}

// dateFormat is that of RFC 5322 section 3.3.
const dateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

// traceFields are the fields of RFC 5321 section 4.4 that head the stored message.
func (p *Pipeline) traceFields(e *Envelope) string {
	var b strings.Builder
	b.Grow(512)
	if e.local() {
		fmt.Fprintf(&b, "Return-Path: <%s>\r\n", e.Sender)
	}
	if e.Client.Addr.IsValid() || e.Client.Hello != "" {
		fmt.Fprintf(&b, "Received: from %s (%s)\r\n\tby %s", helloName(e.Client.Hello), addressLiteral(e.Client), p.cfg.Hostname())
		if t := tlsName(e.Client.TLS); t != "" {
			fmt.Fprintf(&b, " (%s)", t)
		}
		fmt.Fprintf(&b, "\r\n\twith %s id %s", e.protocol(), e.ID)
	} else {
		fmt.Fprintf(&b, "Received: by %s id %s", p.cfg.Hostname(), e.ID)
	}
	// More than one address would tell the recipients of each other.
	if len(e.recipients) == 1 && (e.UTF8 || !e.recipients[0].addr.NeedsUTF8()) {
		fmt.Fprintf(&b, "\r\n\tfor <%s>", e.recipients[0].addr)
	}
	fmt.Fprintf(&b, "; %s\r\n", e.Arrived.Format(dateFormat))
	return b.String()
}

// helloName is a client's HELO argument as far as it can stand in a header.
func helloName(hello string) string {
	for i := range len(hello) {
		c := hello[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._:[]", c) >= 0) {
			return "invalid"
		}
	}
	if hello == "" || len(hello) > 255 {
		return "invalid"
	}
	return hello
}

func addressLiteral(c Client) string {
	switch {
	case !c.Addr.IsValid():
		return "unknown"
	case c.Addr.Is4():
		return "[" + c.Addr.String() + "]"
	default:
		return "[IPv6:" + c.Addr.String() + "]"
	}
}

func tlsName(s *tls.ConnectionState) string {
	if s == nil {
		return ""
	}
	return strings.ReplaceAll(tls.VersionName(s.Version), " ", "") + " " + tls.CipherSuiteName(s.CipherSuite)
}
