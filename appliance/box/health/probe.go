package health

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// A server under the probe, and how it says that it is ready.
type greeter struct{ name, ready, goodbye string }

var (
	smtpGreets = greeter{"SMTP", "220", "QUIT\r\n"}          // RFC 5321 section 3.1
	imapGreets = greeter{"IMAP", "* OK", "probe LOGOUT\r\n"} // RFC 3501 section 7.1.1
)

// greeting reports whether the server at addr says that it is ready.
func (g greeter) greeting(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", g.name, err)
	}
	defer conn.Close()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(sourceTime)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	l, err := bufio.NewReaderSize(conn, 512).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s does not greet: %w", g.name, err)
	}
	if !strings.HasPrefix(l, g.ready) {
		return fmt.Errorf("%s greets with %q", g.name, strings.TrimSpace(l))
	}
	_, _ = fmt.Fprint(conn, g.goodbye) // politeness: the answer does not matter
	return nil
}
