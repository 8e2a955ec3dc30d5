package health

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// greeting reports whether an SMTP server says that it is ready (RFC 5321
// section 3.1).
func greeting(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("SMTP does not answer: %w", err)
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
		return fmt.Errorf("SMTP does not greet: %w", err)
	}
	if !strings.HasPrefix(l, "220") {
		return fmt.Errorf("SMTP greets with %q", strings.TrimSpace(l))
	}
	_, _ = fmt.Fprint(conn, "QUIT\r\n") // politeness: the answer does not matter
	return nil
}
