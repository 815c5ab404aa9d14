package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"freshet"
	"freshet/client"
)

func (c *cli) getCommand() *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use:   "get TOPIC|URL [POINTER]",
		Short: "Show a topic's document, or a part of it, now or in the past",
		Long: `Show the document of a topic, or the part that a JSON Pointer (RFC 6901) leads to.

On a terminal it is indented; otherwise the bytes are exactly those of the server.
The exit code is 5 where the topic, or what the pointer leads to, does not exist.`,
		Example: `  freshet get prices
  freshet get prices /17/price
  freshet get prices --at 2026-01-02T15:04:05Z
  freshet get prices --at -15m                 # as it was then
  freshet get prices --at 42-1k3-9f86d081      # an event id`,
		Args:              needs(1, 2, "a topic or a URL and perhaps a pointer"),
		ValidArgsFunction: c.completeTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			pointer := ""
			if len(args) == 2 {
				pointer = args[1]
			}
			if pointer != "" && pointer[0] != '/' {
				return usageError{fmt.Errorf("%q is not a JSON Pointer: write /%s", pointer, pointer)}
			}
			return c.get(cmd.Context(), args[0], pointer, at)
		},
	}
	c.serverFlag(cmd)
	c.jsonFlag(cmd)
	c.headerFlag(cmd)
	cmd.Flags().StringVar(&at, "at", "", "the document as it was: an event id, a time, or an age such as -15m")
	return cmd
}

func (c *cli) get(ctx context.Context, topic, pointer, at string) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	topic = c.topicOf(topic)
	if at, err = when(at); err != nil {
		return usageError{fmt.Errorf("--at: %w", err)}
	}
	d, err := cl.Get(ctx, topic, client.GetOptions{At: at, Pointer: pointer})
	if err != nil {
		return err
	}
	if d.Stale {
		c.err.printf("freshet: the source of %s cannot be reached; this is the last good document\n", printable(topic))
	}
	if c.json {
		return c.writeJSON(struct {
			Topic    string           `json:"topic"`
			ID       string           `json:"id"`
			Revision freshet.Revision `json:"revision"`
			Modified time.Time        `json:"modified,omitzero"`
			Stale    bool             `json:"stale,omitzero"`
			Data     json.RawMessage  `json:"data"`
		}{topic, d.ID(), d.Revision, d.Modified, d.Stale, d.Body})
	}
	if c.out.isTTY {
		return c.writeDocument(d.Body)
	}
	_, err = c.out.Write(d.Body)
	return err
}
