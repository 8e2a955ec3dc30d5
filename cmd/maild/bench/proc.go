package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of the times in /proc/PID/stat: USER_HZ, 100 on
// every Linux that Go runs on.
const clockTick = time.Second / 100

type procStat struct {
	parent int
	cpu    time.Duration // own, and that of children it has waited for
}

func readStat(pid int) (procStat, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	// The command name in parentheses may hold anything: go on behind its end.
	_, rest, ok := strings.Cut(string(raw[strings.LastIndexByte(string(raw), ')'):]), " ")
	f := strings.Fields(rest)
	if !ok || len(f) < 15 {
		return procStat{}, fmt.Errorf("/proc/%d/stat: too few fields", pid)
	}
	parent, err := strconv.Atoi(f[1])
	if err != nil {
		return procStat{}, err
	}
	var ticks int64
	for _, s := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return procStat{}, err
		}
		ticks += n
	}
	return procStat{parent, time.Duration(ticks) * clockTick}, nil
}

// treeCPU is the processor time spent so far by the processes given and all
// below them, the finished ones included as far as their parents have waited for them.
func treeCPU(roots ...int) (time.Duration, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	stats := make(map[int]procStat)
	for _, d := range dirs {
		if pid, err := strconv.Atoi(d.Name()); err == nil {
			if st, err := readStat(pid); err == nil { // gone meanwhile: its parent has its time
				stats[pid] = st
			}
		}
	}
	var sum time.Duration
	for pid, st := range stats {
		for p := pid; p > 1; p = stats[p].parent {
			if contains(roots, p) {
				sum += st.cpu
				break
			}
		}
	}
	return sum, nil
}

func contains(list []int, n int) bool {
	for _, v := range list {
		if v == n {
			return true
		}
	}
	return false
}
