package filter

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// Children run filters in processes of their own, one value at a time each. They are started when they are needed, and
// ended when they are not for a while, or do not do as they may. Close them.
type Children struct {
	command func() *exec.Cmd // a process that calls Serve
	room    chan struct{}

	mu     sync.Mutex
	idle   []*child
	closed bool
}

const (
	mostChildren = 4
	startTakes   = 10 * time.Second
	idleFor      = time.Minute
)

// NewChildren are processes that command makes, each of which has to call Serve with its standard input and output.
func NewChildren(command func() *exec.Cmd) *Children {
	return &Children{command: command, room: make(chan struct{}, min(mostChildren, runtime.GOMAXPROCS(0)))}
}

// A child is a process. Only one at a time uses it.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	enc  *gob.Encoder
	dec  *gob.Decoder
	idle *time.Timer
}

// Run is that of Runner. What a filter may take is bounded: ErrSlow, ErrMemory.
func (c *Children) Run(ctx context.Context, filter string, value []byte, limit int64) ([]byte, error) {
	select {
	case c.room <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.room }()
	r := request{filter, value, limit}
	one, kept, err := c.take()
	if err != nil {
		return nil, err
	}
	a, err := one.ask(ctx, &r, Takes)
	if errors.Is(err, errEnded) && kept { // it may have been ended by whoever cleans up, since it was used last
		if one, err = c.start(); err != nil {
			return nil, err
		}
		a, err = one.ask(ctx, &r, Takes)
	}
	if err != nil {
		return nil, err
	}
	c.put(one)
	return a.result()
}

var errEnded = errors.New("the process of filters has ended")

func (c *Children) take() (one *child, kept bool, err error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		one = c.idle[n-1]
		c.idle = c.idle[:n-1]
	}
	c.mu.Unlock()
	if one != nil && one.idle.Stop() {
		return one, true, nil
	}
	one, err = c.start()
	return one, false, err
}

func (c *Children) start() (*child, error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return nil, errEnded
	}
	cmd := c.command()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a process for filters: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a process for filters: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process for filters: %w", err)
	}
	one := &child{cmd: cmd, in: in, enc: gob.NewEncoder(in), dec: gob.NewDecoder(out)}
	if _, err := one.ask(context.Background(), nil, startTakes); err != nil { // it says that it is ready
		return nil, fmt.Errorf("start a process for filters: %w", err)
	}
	return one, nil
}

// put keeps a child for the next value.
func (c *Children) put(one *child) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		one.end()
		return
	}
	one.idle = time.AfterFunc(idleFor, func() {
		c.mu.Lock()
		for i, other := range c.idle {
			if other == one {
				c.idle = append(c.idle[:i:i], c.idle[i+1:]...)
				break
			}
		}
		c.mu.Unlock()
		one.end()
	})
	c.idle = append(c.idle, one)
}

// Close ends the processes that do nothing, and each of the others once it has done what it does.
func (c *Children) Close() {
	c.mu.Lock()
	idle := c.idle
	c.idle, c.closed = nil, true
	c.mu.Unlock()
	for _, one := range idle {
		if one.idle.Stop() {
			one.end()
		}
	}
}

// ask sends a request, if there is one, and returns the answer. After an error the child is gone.
func (c *child) ask(ctx context.Context, r *request, takes time.Duration) (a answer, err error) {
	var slow bool
	done := make(chan struct{})
	limited, cancel := context.WithTimeout(ctx, takes+takes/2) // the filter itself may take as long as takes
	defer cancel()
	stop := context.AfterFunc(limited, func() {
		slow = true
		_ = c.cmd.Process.Kill()
		close(done)
	})
	if r != nil {
		err = c.enc.Encode(r)
	}
	if err == nil {
		err = c.dec.Decode(&a)
	}
	if !stop() {
		<-done
	}
	if err == nil && !slow {
		return a, nil
	}
	c.end()
	switch {
	case ctx.Err() != nil:
		return answer{}, ctx.Err()
	case slow:
		return answer{}, ErrSlow
	case c.cmd.ProcessState.ExitCode() == tooMuch:
		return answer{}, ErrMemory
	}
	return answer{}, errEnded
}

// end ends the process, and returns once it has.
func (c *child) end() {
	_ = c.in.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}
