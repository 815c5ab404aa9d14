package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"freshet"
	"freshet/client"
)

func (c *cli) topicCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "topic",
		Aliases: []string{"topics"},
		Short:   "List, show, make and delete topics",
		Args:    knows,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.serverFlag(cmd)
	c.jsonFlag(cmd)
	cmd.AddCommand(c.topicList(), c.topicGet(), c.topicCreate(), c.topicRemove())
	return cmd
}

func (c *cli) topicList() *cobra.Command {
	var o client.ListOptions
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the topics",
		Example: `  freshet topic ls
  freshet topic ls --search 'kind:snapshot AND source.type:http-poller' --sort modifyTimestamp,DESC
  freshet topic ls --json | jq -r .name`,
		Args: takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.listTopics(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.Search, "search", "", "only those that match, such as: name:prices OR kind!event")
	cmd.Flags().StringArrayVar(&o.Sort, "sort", nil, "order: name, createTimestamp, modifyTimestamp, source.type or kind, with ,DESC to turn it round")
	var orders []cobra.Completion
	for _, field := range []string{"name", "createTimestamp", "modifyTimestamp", "source.type", "kind"} {
		orders = append(orders, field, field+",DESC")
	}
	complete(cmd, "sort", orders...)
	return cmd
}

func (c *cli) listTopics(ctx context.Context, o client.ListOptions) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	var rows [][]string
	failing := false
	for t, err := range cl.Topics(ctx, o) {
		if err != nil {
			return errors.Join(err, c.table(rows, failing))
		}
		if c.json {
			if err := c.writeJSON(t); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, row(t, time.Now()))
		failing = failing || t.Status != nil && t.Status.Fault != nil
	}
	if len(rows) == 0 && !c.json {
		c.err.printf("no topics; make one with: %s topic create NAME --url URL\n", c.program)
	}
	return c.table(rows, failing)
}

// table writes topics, and where one of them fails a column that says why.
func (c *cli) table(rows [][]string, failing bool) error {
	if len(rows) == 0 {
		return nil
	}
	columns := []string{"NAME", "KIND", "SOURCE", "STATE", "SUBSCRIBERS", "REVISION", "SIZE", "CHANGED", "FAULT"}
	if !failing {
		columns = columns[:len(columns)-1]
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, cells := range append([][]string{columns}, rows...) {
		if _, err := fmt.Fprintln(w, strings.Join(cells[:len(columns)], "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

func row(t freshet.Topic, now time.Time) []string {
	s := t.Status
	if s == nil {
		s = &freshet.Status{}
	}
	cells := []string{string(t.Name), string(t.Kind), t.Source.Type, s.State, fmt.Sprint(s.Subscribers), fmt.Sprint(s.Revision), "", "", ""}
	if s.Bytes > 0 {
		cells[6] = size(s.Bytes)
	}
	if !s.LastChange.IsZero() {
		cells[7] = now.Sub(s.LastChange).Truncate(time.Second).String() + " ago"
	}
	if f := s.Fault; f != nil {
		const enough = 100 // columns; the whole message is in topic get
		cells[8] = shorten(fmt.Sprintf("%d %s", f.Code, f.Message), enough)
	}
	for i := range cells {
		if cells[i] == "" {
			cells[i] = "-"
		}
		cells[i] = printable(cells[i])
	}
	return cells
}

func (c *cli) topicGet() *cobra.Command {
	return &cobra.Command{
		Use:               "get NAME",
		Short:             "Show a topic's settings and what it is doing",
		Example:           `  freshet topic get prices`,
		Args:              needs(1, 1, "the name of a topic"),
		ValidArgsFunction: c.completeTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			t, _, err := cl.Topic(cmd.Context(), freshet.TopicName(args[0]))
			if err != nil {
				return err
			}
			return c.writeResource(t)
		},
	}
}

// writeResource writes a resource for people, or as a line.
func (c *cli) writeResource(v any) error {
	if c.json {
		return c.writeJSON(v)
	}
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (c *cli) topicRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "rm NAME…",
		Aliases:           []string{"delete"},
		Short:             "Delete topics and their histories",
		Example:           `  freshet topic rm prices old-prices`,
		Args:              needs(1, 0, "the name of a topic"),
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, names []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			return c.each(names, "deleted", func(name string) error {
				return cl.DeleteTopic(cmd.Context(), freshet.TopicName(name), client.WriteOptions{})
			})
		},
	}
}

// each does something to topics, or other things, and says of each what became of it. What fails with one keeps it
// from none of the others, unless no server answers.
func (c *cli) each(names []string, what string, do func(name string) error) error {
	var failed []error
	for _, name := range names {
		err := do(name)
		if err == nil {
			err = c.report(name, what)
		}
		if err != nil {
			failed = append(failed, err)
		}
		if _, answered := errors.AsType[*client.Problem](err); err != nil && !answered {
			break
		}
	}
	if len(failed) == 1 {
		return failed[0]
	}
	return errors.Join(failed...)
}

// report says what became of something.
func (c *cli) report(name, what string) error {
	if c.json {
		return c.writeJSON(map[string]string{"name": name, "result": what})
	}
	_, err := fmt.Fprintf(c.out, "%s %s\n", name, what)
	return err
}

// createFlags are the flags of topic create.
type createFlags struct {
	file, url, every, pointer, kind, description string
	headers                                      []string
	post, alwaysOn, dryRun                       bool
}

func (c *cli) topicCreate() *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "create NAME --url URL | create NAME --post | create -f FILE",
		Short: "Make a topic",
		Long: `Make a topic of a JSON API that is polled (--url), of what is posted to it (--post),
or as a file describes it (-f): YAML or JSON, - is standard input.`,
		Example: `  freshet topic create prices --url https://api.example.com/prices --every 5s
  freshet topic create prices --url https://api.example.com/v2 --pointer /items --header 'Authorization: Bearer …'
  freshet topic create orders --post --kind event --always-on
  freshet topic create -f prices.yaml`,
		Args: needs(0, 1, "the name of a topic"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.createTopic(cmd.Context(), args, f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "a YAML or JSON file that describes the topic; - is standard input")
	flags.StringVar(&f.url, "url", "", "the API to poll")
	flags.BoolVar(&f.post, "post", false, "what is posted to the topic is its data")
	flags.StringVar(&f.every, "every", "", "how often to poll; 5s")
	flags.StringVar(&f.pointer, "pointer", "", "JSON Pointer to the part of the answer that is wanted")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "a header to send to the API, 'Name: value'; may be repeated")
	flags.StringVar(&f.kind, "kind", string(freshet.KindSnapshot), "snapshot: a document that changes; event: messages")
	flags.StringVar(&f.description, "description", "", "what it is")
	flags.BoolVar(&f.alwaysOn, "always-on", false, "poll, or accept what is posted, without subscribers too")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check it and show what would be stored, but store nothing")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
	complete(cmd, "kind", string(freshet.KindSnapshot), string(freshet.KindEvent))
	return cmd
}

func (c *cli) createTopic(ctx context.Context, args []string, f createFlags) error {
	doc, err := c.topicDocument(args, f)
	if err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	t, err := cl.CreateTopicJSON(ctx, doc, client.WriteOptions{DryRun: f.dryRun})
	if err != nil && f.file == "" {
		return inFlags(err)
	}
	if err != nil {
		return err
	}
	if f.dryRun || c.json {
		return c.writeResource(t)
	}
	_, err = fmt.Fprintf(c.out, "%s created; follow it with: %s sub %s\n", t.Name, c.program, t.Name)
	return err
}

func (c *cli) topicDocument(args []string, f createFlags) ([]byte, error) {
	if f.file != "" {
		if len(args) > 0 || f.url != "" || f.post {
			return nil, usageError{errors.New("the file describes the topic: leave out its name, --url and --post")}
		}
		return c.readDocument(f.file)
	}
	if len(args) == 0 || (f.url == "") == !f.post {
		return nil, usageError{errors.New("a topic needs a name and either --url or --post, or a file (-f)")}
	}
	t := freshet.Topic{
		Name: freshet.TopicName(args[0]), Kind: freshet.Kind(f.kind), Description: f.description,
		Source: freshet.Source{Type: "http-post", AlwaysOn: f.alwaysOn},
	}
	if f.url != "" {
		config, err := pollerConfig(f.url, f.every, f.pointer, f.headers)
		if err != nil {
			return nil, err
		}
		t.Source.Type, t.Source.Config = "http-poller", config
	}
	return json.Marshal(t)
}

// pollerConfig is the configuration of an http-poller.
func pollerConfig(url, every, pointer string, headerLines []string) (json.RawMessage, error) {
	headers, err := parseHeaders(headerLines)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		URL     string            `json:"url"`
		Period  string            `json:"pollingPeriod,omitempty"`
		Pointer string            `json:"payloadPointer,omitempty"`
		Headers map[string]string `json:"headers,omitempty"`
	}{url, every, pointer, headers})
}

// readDocument reads a file as JSON. JSON stays as it is, so that the server speaks of what was written.
func (c *cli) readDocument(path string) ([]byte, error) {
	var data []byte
	var err error
	if path == "-" {
		data, err = io.ReadAll(io.LimitReader(c.in, 1<<20))
	} else {
		data, err = os.ReadFile(path) //nolint:gosec // the user named it
	}
	if err != nil {
		return nil, err
	}
	if json.Valid(data) {
		return data, nil
	}
	doc, err := yaml.YAMLToJSON(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return doc, nil
}
