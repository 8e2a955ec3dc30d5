package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/ulikunitz/xz"
)

// corpus is the text that messages are made of.
type corpus struct {
	origin   string
	messages [][]byte // whole messages, CRLF line ends, no line over 998 bytes
}

// maxLine keeps every line within what RFC 5322 section 2.1.1 allows.
const maxLine = 998

// loadCorpus reads a tar.xz of one message a file, or makes up messages.
func loadCorpus(ctx context.Context, path string) (*corpus, error) {
	if path == "" {
		return madeUp(), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	x, err := xz.NewReader(f)
	if err != nil {
		return nil, err
	}
	c := &corpus{origin: "a corpus of real mail"}
	for tr := tar.NewReader(x); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg || h.Size == 0 {
			continue
		}
		raw, err := io.ReadAll(tr)
		if err != nil {
			return nil, err
		}
		if m := wireForm(raw); m != nil {
			c.messages = append(c.messages, m)
		}
	}
	if len(c.messages) == 0 {
		return nil, fmt.Errorf("%s holds no messages", path)
	}
	c.origin = fmt.Sprintf("%s, %d messages", c.origin, len(c.messages))
	return c, nil
}

// wireForm makes a file a message as SMTP carries it, nil where it is none.
func wireForm(raw []byte) []byte {
	if bytes.HasPrefix(raw, []byte("From ")) {
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			raw = raw[i+1:]
		}
	}
	if !bytes.Contains(raw, []byte("\n\n")) || bytes.IndexByte(raw, 0) >= 0 {
		return nil
	}
	raw = bytes.ReplaceAll(raw, []byte("\r"), nil)
	var out bytes.Buffer
	for line := range bytes.Lines(raw) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		for len(line) > maxLine {
			out.Write(line[:maxLine])
			out.WriteString("\r\n")
			line = line[maxLine:]
		}
		out.Write(line)
		out.WriteString("\r\n")
	}
	return out.Bytes()
}

// madeUp stands in where no corpus is given: text of words with a natural
// spread of frequencies, so that it compresses about as prose does.
func madeUp() *corpus {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 4000)
	for i := range words {
		var w strings.Builder
		for range 2 + r.IntN(9) {
			w.WriteByte("etaoinshrdlucmfwypvbgkjqxz"[min(25, int(r.ExpFloat64()*6))])
		}
		words[i] = w.String()
	}
	c := &corpus{origin: "made-up words (no corpus given)"}
	for n := range 2000 {
		var m strings.Builder
		fmt.Fprintf(&m, "From: Sender %d <s%d@elsewhere.example>\r\nTo: u1@bench.example\r\nSubject: %s %s\r\nDate: Mon, 02 Nov 2026 10:%02d:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
			n, n, words[r.IntN(len(words))], words[r.IntN(len(words))], n%60)
		for m.Len() < 2000+r.IntN(6000) {
			for range 10 {
				m.WriteString(words[min(len(words)-1, int(r.ExpFloat64()*400))])
				m.WriteByte(' ')
			}
			m.WriteString("\r\n")
		}
		c.messages = append(c.messages, []byte(m.String()))
	}
	return c
}

// sized makes the nth message of just over size bytes: its own headers and id,
// the body cut from the corpus's text, each one different.
func (c *corpus) sized(n, size int) []byte {
	var m bytes.Buffer
	fmt.Fprintf(&m, "From: <sender@elsewhere.example>\r\nTo: <someone@bench.example>\r\nSubject: message %d\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <bench-%d-%d@elsewhere.example>\r\n\r\n", n, n, size)
	for i := n; m.Len() < size; i++ {
		src := c.messages[i%len(c.messages)]
		if j := bytes.Index(src, []byte("\r\n\r\n")); j >= 0 {
			src = src[j+4:]
		}
		for line := range bytes.Lines(src) {
			if m.Len() >= size {
				break
			}
			if line[0] == '.' {
				continue // no dot-stuffing to think of
			}
			m.Write(line)
		}
		m.WriteString("\r\n")
	}
	return m.Bytes()
}
