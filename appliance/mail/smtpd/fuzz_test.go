package smtpd

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"pillarbox/appliance/mail/conntest"
)

// fuzzStates are what a fuzzed client has said before.
var fuzzStates = []string{
	"",
	"EHLO client.example\r\n",
	"EHLO client.example\r\nMAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<ann@example.org>\r\n",
	"EHLO client.example\r\nMAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n",
	// To a submission server only, where AUTH is known.
	"EHLO client.example\r\nAUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=\r\nMAIL FROM:<ann@example.org>\r\n",
}

var (
	fuzzReply  = regexp.MustCompile(`^[2-5][0-9][0-9][ -][ -~]*$`)
	fuzzQueued = []byte("\n250 2.0.0 Ok, queued as ")
)

// FuzzServer says anything to the whole server, in several states, and wants
// replies that are lines of SMTP, an end of the session by itself, and as many
// messages as the client was told of, each of whole lines.
func FuzzServer(f *testing.F) {
	f.Add(uint8(1), []byte("MAIL FROM:<> SIZE=9 BODY=8BITMIME\r\nRCPT TO:<postmaster>\r\nDATA\r\n..x\r\n.\r\nRSET\r\nQUIT\r\n"))
	f.Add(uint8(2), []byte("BDAT 3\r\na\r\nBDAT 2 LAST\r\n\r\nNOOP\r\n"))
	f.Fuzz(func(t *testing.T, state uint8, said []byte) {
		synctest.Test(t, func(t *testing.T) {
			begin := fuzzStates[int(state)%len(fuzzStates)]
			cfg := Config{TLS: conntest.ServerTLS(t), AllowPlaintext: func() bool { return true }}
			if strings.Contains(begin, "AUTH") {
				cfg.Mode = Submission
			}
			r := start(cfg)
			defer r.stop(t)
			near := r.listener.Dial()
			go func() { // errors of writing mean that the server has had enough
				_, _ = io.WriteString(near, begin)
				_, _ = near.Write(said)
			}()
			answers, err := io.ReadAll(near) // until the server closes, by a time limit at last
			near.Close()
			if err != nil {
				t.Error(err)
			}
			// After STARTTLS come records of TLS, no replies.
			clear, _, _ := bytes.Cut(answers, []byte("220 2.0.0 "))
			for line := range bytes.Lines(clear) {
				if !bytes.HasSuffix(line, []byte("\r\n")) || !fuzzReply.Match(line[:len(line)-2]) {
					t.Errorf("the reply %q", line)
				}
			}
			messages := r.pipeline.accepted()
			if told := bytes.Count(answers, fuzzQueued); told != len(messages) {
				t.Errorf("%d messages, the client was told of %d", len(messages), told)
			}
			for _, m := range messages {
				if m != "" && !strings.HasSuffix(m, "\r\n") && !bytes.Contains(said, []byte("BDAT")) {
					t.Errorf("the message %.100q", m)
				}
			}
		})
	})
}
