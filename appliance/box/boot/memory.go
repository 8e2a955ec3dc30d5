package boot

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// memorySettles is how long after mail is first served the box has come to
// rest, consoles drawn and start-up garbage collected.
const memorySettles = 8 * time.Second

// noteMemory logs what each process holds once the box has come to rest, so
// that the log of a box in trouble says what it took when it was well.
func (s *System) noteMemory(ctx context.Context) {
	select {
	case <-time.After(memorySettles):
	case <-ctx.Done():
		return
	}
	sizes := []any{"init", residentMemory("/proc/self/status")}
	for _, svc := range s.sup.Status() {
		if svc.PID != 0 {
			sizes = append(sizes, svc.Name, residentMemory(fmt.Sprintf("/proc/%d/status", svc.PID)))
		}
	}
	s.log.Info("memory", sizes...)
}

// residentMemory reads a process's memory from its status file, such as
// "12345 kB"; it is empty when there is none.
func residentMemory(status string) string {
	text, err := os.ReadFile(status)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if size, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(size)
		}
	}
	return ""
}
