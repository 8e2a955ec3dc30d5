package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
)

// monitor speaks QMP: a JSON object a command, a JSON object an answer, with
// events in between.
type monitor struct {
	conn net.Conn
	mu   sync.Mutex // one call at a time: QMP answers in order
	last int        // id of the last call

	answers chan answer   // holds the newest one
	gone    chan struct{} // closed when the connection has ended
}

type answer struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
	ID    int    `json:"id"`
}

// errMonitorGone means that QEMU closed its monitor, mostly since it ended.
var errMonitorGone = errors.New("the monitor is gone")

func newMonitor(ctx context.Context, conn net.Conn) (*monitor, error) {
	m := &monitor{conn: conn, answers: make(chan answer, 1), gone: make(chan struct{})}
	go m.read()
	if err := m.call(ctx, "qmp_capabilities", nil, nil); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// read hands on answers; the greeting and events are of no interest here.
func (m *monitor) read() {
	defer close(m.gone)
	dec := json.NewDecoder(m.conn)
	for {
		var a answer
		if dec.Decode(&a) != nil {
			return
		}
		if a.Return == nil && a.Error == nil {
			continue
		}
		select {
		case <-m.answers: // nobody waits for that one any more
		default:
		}
		m.answers <- a
	}
}

// call gives a command and reads its answer into out, unless that is nil.
func (m *monitor) call(ctx context.Context, command string, arguments map[string]any, out any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	line := map[string]any{"execute": command, "id": m.last}
	if arguments != nil {
		line["arguments"] = arguments
	}
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if _, err := m.conn.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	for {
		select {
		case a := <-m.answers:
			switch {
			case a.ID != m.last: // to a call that was given up
				continue
			case a.Error != nil:
				return fmt.Errorf("%s: %s: %s", command, a.Error.Class, a.Error.Desc)
			case out != nil:
				return json.Unmarshal(a.Return, out)
			}
			return nil
		case <-m.gone:
			return fmt.Errorf("%s: %w", command, errMonitorGone)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", command, ctx.Err())
		}
	}
}

func (m *monitor) close() { m.conn.Close() }
