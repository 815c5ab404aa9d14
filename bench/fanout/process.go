package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"freshet/internal/load"
)

// A contender is a server that is measured.
type contender struct {
	name, version string
	// prepare builds or unpacks the server below a directory, once. An error means that it cannot be
	// measured here, and why.
	prepare func(ctx context.Context, dir string) error
	// command makes the command that listens on a port and keeps its files in a directory, and says how
	// the server is spoken to.
	command func(dir string, port int, r row) (argv []string, server *load.Server, err error)

	clean func() error // undoes what prepare did outside of its directory; nil: nothing
	skip  string       // why it is not measured; "": it is
}

// A process is a server that runs.
type process struct {
	cmd    *exec.Cmd
	dir    string
	output string
	server *load.Server
	ended  chan error
}

// start runs a contender on the first processor and waits until it listens.
func (c *contender) start(ctx context.Context, pin bool, r row) (*process, error) {
	dir, err := os.MkdirTemp("", "fanout-server-")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, output: filepath.Join(dir, "output"), ended: make(chan error, 1)}
	if err := p.run(ctx, c, pin, r); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return p, nil
}

func (p *process) run(ctx context.Context, c *contender, pin bool, r row) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	argv, server, err := c.command(p.dir, port, r)
	if err != nil {
		return err
	}
	if pin {
		argv = append([]string{"taskset", "-c", "0"}, argv...)
	}
	output, err := os.Create(p.output)
	if err != nil {
		return err
	}
	defer output.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...) //nolint:noctx // it is ended in order, below
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, output, output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt of ours is not one of theirs
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() { p.ended <- p.cmd.Wait() }()
	server.Addr = "127.0.0.1:" + strconv.Itoa(port)
	p.server = server
	if err := p.listening(ctx); err != nil {
		text, _ := os.ReadFile(p.output)
		return errors.Join(fmt.Errorf("%w: %.500s", err, text), p.end())
	}
	time.Sleep(300 * time.Millisecond) // what starting left to do
	server.Processes = family(p.cmd.Process.Pid)
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (p *process) listening(ctx context.Context) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.server.Addr)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			return fmt.Errorf("it ended at once: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// family is a process and its children, such as the workers of nginx.
func family(pid int) []int {
	pids := []int{pid}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return pids
	}
	for _, f := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(f); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// end stops the process, in order if it can.
func (p *process) end() error {
	if p.cmd.Process == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // its own group: it and its children
		<-p.ended
	}
	return nil
}

func (p *process) close() error { return errors.Join(p.end(), os.RemoveAll(p.dir)) }

// pinned runs this program again on the second processor, unless it is there, or there is only one.
// The servers get the first.
func pinned() (bool, error) {
	const mark = "FANOUT_PINNED"
	if os.Getenv(mark) != "" {
		// One loop of subscribers, and the publishers and the origin beside it: let the kernel share.
		runtime.GOMAXPROCS(4)
		return true, nil
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil || runtime.NumCPU() < 2 {
		return false, nil
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	argv := append([]string{taskset, "-c", "1", self}, os.Args[1:]...)
	return false, syscall.Exec(taskset, argv, append(os.Environ(), mark+"=1")) //nolint:gosec // it is this program
}
