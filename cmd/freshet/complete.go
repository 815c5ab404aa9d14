package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freshet/client"
)

// completeTopics completes names of topics, asking the server that runs. Without one there are none.
func (c *cli) completeTopics(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const patience, most = time.Second, 1000 // somebody waits with a finger on the tab key
	cl, err := c.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	var names []cobra.Completion
	for t, err := range cl.Topics(ctx, client.ListOptions{PageSize: most}) {
		if err != nil || len(names) == most {
			break
		}
		if strings.HasPrefix(string(t.Name), prefix) {
			names = append(names, cobra.CompletionWithDesc(string(t.Name), t.Description))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeTopic completes the first argument only.
func (c *cli) completeTopic(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeTopics(cmd, args, prefix)
}
