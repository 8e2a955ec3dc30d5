package boot

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
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

// noteProcessor logs how long each process has had a processor, in seconds,
// beside how long the machine has run.
func (s *System) noteProcessor() {
	times := []any{"uptime", math.Round(sinceKernelStart()), "init", processorSeconds("/proc/self/stat")}
	for _, svc := range s.sup.Status() {
		if svc.PID != 0 {
			times = append(times, svc.Name, processorSeconds(fmt.Sprintf("/proc/%d/stat", svc.PID)))
		}
	}
	s.log.Info("processor", times...)
}

// processorSeconds reads what a process has used from its stat file: fields 14
// and 15 of proc(5), in hundredths of a second, of which the second is the name
// in brackets. It is 0 when there is none.
func processorSeconds(stat string) float64 {
	text, err := os.ReadFile(stat)
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, userErr := strconv.ParseUint(fields[11], 10, 64)
	system, systemErr := strconv.ParseUint(fields[12], 10, 64)
	if userErr != nil || systemErr != nil {
		return 0
	}
	return float64(user+system) / 100
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
