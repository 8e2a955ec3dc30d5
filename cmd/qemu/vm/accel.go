package vm

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"time"
)

// probeWait is how long the firmware has to say something under KVM: it takes
// two seconds where KVM works.
const probeWait = 15 * time.Second

// Accelerator finds out what guests can run on, "kvm" or "tcg". A /dev/kvm that
// can be opened proves nothing: on machines that are guests themselves it may
// be there and hang. So the processor must say that it can, and firmware must
// have come to life.
func Accelerator(ctx context.Context, log *slog.Logger) string {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !regexp.MustCompile(`(?m)^flags\s*:.* (vmx|svm)\b`).Match(cpu) {
		log.Info("KVM is not used: the processor does not offer it")
		return "tcg"
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		log.Info("KVM is not used", "error", err)
		return "tcg"
	}
	f.Close()
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	seen := &firstOutput{cancel: cancel}
	cmd := exec.CommandContext(ctx, program, "-nodefaults", "-no-user-config", "-M", "q35", "-cpu", "max", "-accel", "kvm", "-m", "256", "-display", "none",
		"-drive", "if=pflash,format=raw,readonly=on,file="+firmware, "-drive", "if=pflash,format=raw,snapshot=on,file="+variables,
		"-serial", "stdio")
	cmd.Stdout = seen
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	if !seen.alive {
		log.Info("KVM is not used: firmware does not start under it", "error", err)
		return "tcg"
	}
	return "kvm"
}

// firstOutput ends the probe once the firmware tells of its boot options.
type firstOutput struct {
	text   bytes.Buffer
	alive  bool
	cancel func()
}

func (o *firstOutput) Write(p []byte) (int, error) {
	o.text.Write(p)
	if !o.alive && bytes.Contains(o.text.Bytes(), []byte("Bds")) {
		o.alive = true
		o.cancel()
	}
	return len(p), nil
}
