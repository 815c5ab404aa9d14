package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"freshet/client"
)

// pubFlags are those of freshet pub.
type pubFlags struct {
	whole bool
	file  string
	key   string
}

func (c *cli) pubCommand() *cobra.Command {
	var f pubFlags
	cmd := &cobra.Command{
		Use:   "pub TOPIC [JSON]...",
		Short: "Publish to a topic that takes posts",
		Long: `Publish JSON values to a topic whose source is http-post: those on the command
line, or else the lines of the standard input, as they come, each a value. Each
becomes an event, or the document of a snapshot topic; nothing is said to be
published before the journal has it.`,
		Example: `  freshet pub orders '{"id":1}' '{"id":2}'
  tail -f orders.ndjson | freshet pub orders
  freshet pub prices --whole < prices.json       # all of it is one value
  freshet pub orders --key order-1 '{"id":1}'    # once, however often this is run`,
		Args:              needs(1, 1000, "a topic and perhaps JSON values"),
		ValidArgsFunction: c.completeTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && (f.whole || f.file != "") {
				return usageError{errors.New("values on the command line and --whole or --file exclude each other")}
			}
			if f.key != "" && len(args) == 1 && !f.whole {
				return usageError{errors.New("--key is for values on the command line, or with --whole: lines are sent in as many posts as they come")}
			}
			return c.pub(cmd.Context(), args[0], args[1:], f)
		},
	}
	c.serverFlag(cmd)
	c.jsonFlag(cmd)
	cmd.Flags().BoolVar(&f.whole, "whole", false, "the input is one JSON value, over any number of lines")
	cmd.Flags().StringVarP(&f.file, "file", "f", "", "read this file in place of the standard input")
	cmd.Flags().StringVar(&f.key, "key", "", "Idempotency-Key: the same key with the same values is stored once")
	return cmd
}

func (c *cli) pub(ctx context.Context, topic string, values []string, f pubFlags) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	o := client.PublishOptions{IdempotencyKey: f.key}
	if len(values) > 0 {
		lines, err := asLines(values)
		if err != nil {
			return err
		}
		return c.published(cl.PublishLines(ctx, topic, lines, o))
	}
	in := c.in
	if f.file != "" {
		file, err := os.Open(f.file)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	if f.whole {
		value, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("read the value: %w", err)
		}
		return c.published(cl.Publish(ctx, topic, value, o))
	}
	return c.pubLines(ctx, cl, topic, in)
}

// asLines writes values with one line each.
func asLines(values []string) ([]byte, error) {
	var b bytes.Buffer
	for _, v := range values {
		if err := json.Compact(&b, []byte(v)); err != nil {
			return nil, usageError{fmt.Errorf("%.60q is not a JSON value: %w", v, err)}
		}
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// published tells what became of a post.
func (c *cli) published(p client.Published, err error) error {
	if err != nil {
		return err
	}
	if c.json {
		return c.writeJSON(p)
	}
	switch {
	case p.Repeated:
		c.err.printf("published before, by the same key: %s\n", p.ID)
	case p.Changed == 0:
		c.err.printf("nothing changed\n")
	default:
		c.err.printf("published %d, the last is %s\n", p.Changed, p.ID)
	}
	return nil
}

const (
	pubLines = 1000     // lines in a post, at most
	pubBytes = 1 << 20  // after so many bytes a post is sent
	pubLine  = 64 << 20 // of one line: what a payload may have at most
)

// pubLines publishes lines as they come: those that are there together in one post.
func (c *cli) pubLines(ctx context.Context, cl *client.Client, topic string, in io.Reader) error {
	lines := make(chan inputLine, pubLines)
	read := make(chan error, 1)
	go func() { // it ends with the input, or the process
		defer close(lines)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, pubLine)
		for number := 1; scanner.Scan(); number++ {
			if line := bytes.TrimSpace(scanner.Bytes()); len(line) > 0 {
				lines <- inputLine{number, bytes.Clone(line)}
			}
		}
		read <- scanner.Err()
	}()
	total := client.Published{}
	for {
		batch, numbers, more := gather(ctx, lines)
		if len(batch) > 0 {
			p, err := cl.PublishLines(ctx, topic, batch, client.PublishOptions{})
			if err != nil {
				c.err.printf("of lines %d to %d nothing was published\n", numbers[0], numbers[len(numbers)-1])
				return errors.Join(ofInput(topic, err, numbers), c.told(total))
			}
			total.Count, total.Changed = total.Count+p.Count, total.Changed+p.Changed
			if p.ID != "" {
				total.ID = p.ID
			}
		}
		if !more {
			break
		}
	}
	if ctx.Err() == nil {
		if err := <-read; err != nil {
			return errors.Join(fmt.Errorf("read the input: %w", err), c.told(total))
		}
	}
	return c.published(total, nil)
}

// told tells what was published before something failed.
func (c *cli) told(p client.Published) error {
	if p.Count == 0 {
		return nil
	}
	return c.published(p, nil)
}

// An inputLine is a line of the input that is not empty.
type inputLine struct {
	number int // from 1
	text   []byte
}

// ofInput makes mistakes name the lines of the input, of which the server has seen only those of a post.
func ofInput(topic string, err error, numbers []int) error {
	problem, ok := errors.AsType[*client.Problem](err)
	if !ok || len(problem.Errors) == 0 {
		return err
	}
	for i, e := range problem.Errors {
		var n int
		if _, err := fmt.Sscanf(e.Detail, "line %d:", &n); err == nil && n >= 1 && n <= len(numbers) {
			_, what, _ := strings.Cut(e.Detail, ":")
			problem.Errors[i].Detail = fmt.Sprintf("line %d:%s", numbers[n-1], what)
		}
	}
	return fmt.Errorf("publish to %s: %w", topic, problem)
}

// gather waits for a line and takes those that are there besides, with their numbers. more says that there may be
// others.
func gather(ctx context.Context, lines <-chan inputLine) (batch []byte, numbers []int, more bool) {
	var line inputLine
	select {
	case line, more = <-lines:
	case <-ctx.Done():
	}
	for more {
		batch, numbers = append(append(batch, line.text...), '\n'), append(numbers, line.number)
		if len(numbers) == pubLines || len(batch) >= pubBytes {
			return batch, numbers, true
		}
		select {
		case line, more = <-lines:
		default:
			return batch, numbers, true
		}
	}
	return batch, numbers, false
}
