package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"freshet"
	"freshet/internal/app"
)

func (c *cli) errorsCommand() *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:   "errors [CODE]",
		Short: "Say what the codes of errors mean, and what to do",
		Long: `Lists the codes of the error events in streams and the types of problems that the
HTTP API answers with, or says what one of them means. No server is asked; one
tells the same at /v1/errors.`,
		Example: `  freshet errors
  freshet errors 70404
  freshet errors topic-not-found`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return errorNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case markdown:
				_, err := io.WriteString(c.out, app.ErrorsDocument())
				return err
			case len(args) == 1:
				return c.describeError(args[0])
			}
			return c.listErrors()
		},
	}
	c.jsonFlag(cmd)
	cmd.Flags().BoolVar(&markdown, "markdown", false, "write all of it as a document")
	return cmd
}

func errorNames() (names []string) {
	for _, k := range freshet.FaultKinds() {
		names = append(names, strconv.Itoa(k.Code))
	}
	for _, p := range app.ProblemTypes() {
		names = append(names, p.Slug)
	}
	return names
}

func (c *cli) listErrors() error {
	if c.json {
		for _, k := range freshet.FaultKinds() {
			if err := c.writeJSON(k); err != nil {
				return err
			}
		}
		for _, p := range app.ProblemTypes() {
			if err := c.writeJSON(p); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CODE\tCATEGORY\tWHAT IT IS")
	for _, k := range freshet.FaultKinds() {
		fmt.Fprintf(w, "%d\t%s\t%s\n", k.Code, k.Category, k.Title)
	}
	fmt.Fprintln(w, "\nPROBLEM\tSTATUS\tWHAT IT IS")
	for _, p := range app.ProblemTypes() {
		fmt.Fprintf(w, "%s\t%d\t%s\n", p.Slug, p.Status, p.Title)
	}
	return w.Flush()
}

func (c *cli) describeError(name string) error {
	kinds, types := freshet.FaultKinds(), app.ProblemTypes()
	if i := slices.IndexFunc(kinds, func(k freshet.FaultKind) bool { return strconv.Itoa(k.Code) == name }); i >= 0 {
		k := kinds[i]
		if c.json {
			return c.writeJSON(k)
		}
		_, err := fmt.Fprintf(c.out, "%d, %s: %s\n\n%s\n\n%s\n", k.Code, k.Category, k.Title, k.Meaning, k.Remedy)
		return err
	}
	for _, p := range types {
		if p.Slug != name {
			continue
		}
		if c.json {
			return c.writeJSON(p)
		}
		_, err := fmt.Fprintf(c.out, "%s, %d: %s\n\n%s\n", p.Slug, p.Status, p.Title, p.Meaning)
		return err
	}
	return usageError{fmt.Errorf("there is no error %q: freshet errors lists them", name)}
}
