//go:build unix

package freshettest

import (
	"os/exec"
	"syscall"
)

// newGroup lets a process be killed together with those that it starts.
func newGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
