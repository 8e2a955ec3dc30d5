package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// hangTries is how often the processors are looked at until both are in
	// the kernel, where an idle one nearly always is.
	hangTries = 50

	hangPause = 20 * time.Millisecond
)

// endless is the code CLI; JMP $: a loop that no interrupt ends.
const endless = "faebfe"

// processor finds what matters of a processor in the monitor's list of
// registers: the privilege level and the next instruction's address.
var processor = regexp.MustCompile(`(?s)CPU#(\d+)\b.*?RIP=([0-9a-f]+) .*?CPL=(\d)`)

// Hang lets the guest's processors turn in circles for good, as a fault in a
// driver does: nothing runs any more, and nobody is told. It goes in by QEMU's
// door for debuggers.
func (v *VM) Hang(ctx context.Context) error {
	if err := v.hang(ctx); err != nil {
		return fmt.Errorf("hang: %w", err)
	}
	return nil
}

func (v *VM) hang(ctx context.Context) (err error) {
	path := filepath.Join(v.sockets, "gdb")
	if _, err := v.Monitor(ctx, "gdbserver unix:"+path+",server=on,wait=off"); err != nil {
		return err
	}
	// Connecting stops the machine, leaving lets it go on.
	for range hangTries {
		done, err := v.hangOnce(ctx, path)
		if done || err != nil {
			return err
		}
		time.Sleep(hangPause)
	}
	return errors.New("the processors were never all in the kernel")
}

// hangOnce stops the machine and, if all processors are in the kernel, puts
// the loop where each is to go on.
func (v *VM) hangOnce(ctx context.Context, path string) (done bool, err error) {
	conn, err := v.dial(ctx, path)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return false, err
		}
	}
	g := debugger{conn, bufio.NewReader(conn)}
	if _, err := g.ask("qAttached"); err != nil { // it has stopped when that is answered
		return false, err
	}
	text, err := v.Monitor(ctx, "info registers -a")
	if err != nil {
		return false, err
	}
	list := processor.FindAllStringSubmatch(text, -1)
	all := len(list) > 0
	for _, p := range list {
		all = all && p[3] == "0"
	}
	for _, p := range list {
		if !all {
			break
		}
		n, err := strconv.Atoi(p[1])
		if err != nil {
			return false, err
		}
		// Threads of the debugger's protocol are processors, from 1.
		for _, command := range []string{fmt.Sprintf("Hg%x", n+1), fmt.Sprintf("M%s,%x:%s", p[2], len(endless)/2, endless)} {
			answer, err := g.ask(command)
			if err == nil && answer != "OK" {
				err = fmt.Errorf("answer %q", answer)
			}
			if err != nil {
				return false, fmt.Errorf("%s: %w", command, err)
			}
		}
	}
	_, err = g.ask("D")
	return all, err
}

// debugger speaks GDB's remote protocol.
type debugger struct {
	conn net.Conn
	r    *bufio.Reader
}

// ask sends a packet, $command#sum, and returns what the answer holds.
func (g debugger) ask(command string) (string, error) {
	var sum byte
	for i := range len(command) {
		sum += command[i]
	}
	if _, err := fmt.Fprintf(g.conn, "$%s#%02x", command, sum); err != nil {
		return "", err
	}
	answer := ""
	for answer == "" || answer[0] == 'T' { // what it stopped for is told without being asked
		if _, err := g.r.ReadString('$'); err != nil { // after the "+" that confirms
			return "", err
		}
		text, err := g.r.ReadString('#')
		if err != nil {
			return "", err
		}
		if _, err := g.r.Discard(2); err != nil { // the sum
			return "", err
		}
		if _, err := g.conn.Write([]byte("+")); err != nil {
			return "", err
		}
		answer = strings.TrimSuffix(text, "#")
	}
	return answer, nil
}
