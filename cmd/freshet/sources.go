package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"freshet"
	"freshet/internal/app"
)

func (c *cli) sourcesCommand() *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:   "sources [TYPE]",
		Short: "List what can feed a topic, with all options",
		Long: `Lists the types of source that this program knows, or the options of one: what a
topic's source.type and source.config may say. No server is asked; one tells the
same at /v1/sources.`,
		Example: `  freshet sources
  freshet sources http-poller
  freshet sources --json | jq .name`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return typeNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if markdown {
				_, err := io.WriteString(c.out, app.SourcesDocument())
				return err
			}
			return c.listSources(args)
		},
	}
	c.jsonFlag(cmd)
	cmd.Flags().BoolVar(&markdown, "markdown", false, "write all of it as a document")
	return cmd
}

func typeNames() (names []string) {
	for _, t := range app.SourceTypes() {
		names = append(names, t.Name)
	}
	return names
}

func (c *cli) listSources(args []string) error {
	types := app.SourceTypes()
	if len(args) == 1 {
		i := slices.IndexFunc(types, func(t freshet.SourceType) bool { return t.Name == args[0] })
		if i < 0 {
			return usageError{fmt.Errorf("there is no type of source %q: use %s", args[0], strings.Join(typeNames(), ", "))}
		}
		types = types[i : i+1]
	}
	if c.json {
		for _, t := range types {
			if err := c.writeJSON(t); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	if len(args) == 0 {
		fmt.Fprintln(w, "TYPE\tWHAT IT DOES")
		for _, t := range types {
			fmt.Fprintf(w, "%s\t%s\n", t.Name, t.Summary)
		}
		return w.Flush()
	}
	return c.describeSource(w, types[0])
}

// describeSource writes the options below each other, each with its sentence, which tables have no room for.
func (c *cli) describeSource(w *tabwriter.Writer, t freshet.SourceType) error {
	fmt.Fprintf(w, "%s: %s\n", t.Name, t.Summary)
	for _, o := range t.Options {
		var facts []string
		if o.Required {
			facts = append(facts, "required")
		}
		if o.Default != "" {
			facts = append(facts, "default "+o.Default)
		}
		if len(o.OneOf) > 0 {
			facts = append(facts, "one of "+strings.Join(o.OneOf, ", "))
		}
		if o.Least != "" {
			facts = append(facts, o.Least+" to "+o.Most)
		}
		fmt.Fprintf(w, "\n%s (%s)\n    %s.\n", o.Name, strings.Join(append([]string{o.Type}, facts...), "; "), strings.TrimRight(o.Summary, "."))
	}
	if t.Notes != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(t.Notes))
	}
	return w.Flush()
}
