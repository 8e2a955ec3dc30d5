package initramfs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/u-root/pkg/ulog"
)

// programs are ours, in cmd/. Each becomes a binary of its own, so that none
// pays for another's start.
func programs() []string {
	return []string{"init", "boxd", "maild", "healthd", "console", "mailctl"}
}

// urootCommands are u-root's tools for diagnosis on the local console.
func urootCommands() []string {
	return []string{
		"basename", "cat", "chmod", "cmp", "comm", "cp", "date", "dd", "df", "dirname", "dmesg", "du", "echo", "find", "free",
		"gosh", "gpt", "grep", "gzip", "head", "hexdump", "hostname", "hwclock", "id", "insmod", "io", "ip", "kill", "ln", "losetup",
		"ls", "lsdrivers", "lsmod", "md5sum", "mkdir", "mknod", "mktemp", "more", "mount", "mv", "netcat", "netstat", "pci", "ping",
		"printenv", "ps", "pwd", "readlink", "rm", "rmmod", "shasum", "sleep", "sort", "strings", "stty", "sync", "tail", "tar", "tee",
		"time", "timeout", "touch", "tr", "truncate", "umount", "uname", "uniq", "uptime", "wc", "wget", "which", "xargs", "blkid", "lockmsrs", "msr",
	}
}

// urootTags choose between ways the commands can be built: the shell with an
// editor of lines that asks the terminal nothing, since many a serial line does
// not answer.
func urootTags() []string { return []string{"goshliner"} }

// build compiles the programs that exist into dir and names them.
func (c *Config) build(ctx context.Context, dir string) ([]string, error) {
	var built []string
	var packages []string
	for _, name := range programs() {
		if _, err := os.Stat(filepath.Join(c.Root, "cmd", name, "main.go")); err != nil {
			continue
		}
		built = append(built, name)
		packages = append(packages, "./cmd/"+name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	flags := fmt.Sprintf("-s -w -buildid= -X pillarbox/appliance/version.number=%s -X pillarbox/appliance/version.commits=%s", c.Version, c.Time.UTC().Format(time.RFC3339))
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", dir + string(filepath.Separator)}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = c.Root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+c.Board.Arch, "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return built, nil
}

// busybox builds u-root's commands as one binary, or takes the one that was
// built from the same sources before. It answers its path.
func (c *Config) busybox(ctx context.Context) (string, error) {
	goVersion, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return "", err
	}
	// The commands are built as u-root's own module pins them: what they need
	// besides would not go with what our programs need.
	module, err := c.goList(ctx, "-m", "-f", "{{.Version}} {{.Dir}}", "github.com/u-root/u-root")
	if err != nil {
		return "", err
	}
	version, dir, ok := strings.Cut(module, " ")
	if !ok {
		return "", fmt.Errorf("u-root's module is not downloaded: %q", module)
	}
	h := sha256.New()
	fmt.Fprintln(h, string(goVersion), version, urootCommands(), urootTags(), c.Board.Arch)
	path := filepath.Join(c.Cache, "busybox-"+hex.EncodeToString(h.Sum(nil))[:16])
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	c.Log.Info("building u-root's commands; this takes a minute or two and is kept")
	commands := make([]string, len(urootCommands()))
	for i, name := range urootCommands() {
		commands[i] = filepath.Join(dir, "cmds", "core", name)
	}
	env := golang.Default(golang.DisableCGO(), golang.WithBuildTag(urootTags()...), golang.WithGOARCH(c.Board.Arch), golang.WithGOOS("linux"), golang.WithWorkingDir(dir))
	tmp, err := os.MkdirTemp(c.Cache, "bb-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	bin := filepath.Join(tmp, "bb")
	err = bb.BuildBusybox(ulog.Null, &bb.Opts{
		Env: env, GenSrcDir: filepath.Join(tmp, "src"), CommandPaths: commands, BinaryPath: bin,
		GoBuildOpts: &golang.BuildOpts{NoTrimPath: false, EnableInlining: true, NoStrip: false},
	})
	if err != nil {
		return "", fmt.Errorf("u-root's commands: %w", err)
	}
	return path, os.Rename(bin, path)
}

func (c *Config) goList(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list"}, args...)...)
	cmd.Dir = c.Root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
