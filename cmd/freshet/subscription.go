package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"freshet"
	"freshet/client"
)

func (c *cli) subscriptionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "subscription",
		Aliases: []string{"subscriptions"},
		Short:   "List, show, make, suspend and delete stored subscriptions",
		Long: `Stored subscriptions bring the events of a topic to a webhook or a broker, or
remember where a stream was. To follow a topic here and now use sub.`,
		Args: knows,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.serverFlag(cmd)
	c.jsonFlag(cmd)
	cmd.AddCommand(
		c.subscriptionList("", "ls", "List the subscriptions"), c.subscriptionGet(), c.subscriptionCreate(),
		c.subscriptionStatus("suspend", "End deliveries and open streams, until resume", freshet.SubscriptionSuspended),
		c.subscriptionStatus("resume", "Let subscriptions go on where they were", freshet.SubscriptionActive),
		c.subscriptionSkip(), c.subscriptionPatch(), c.subscriptionRemove(),
	)
	return cmd
}

// subscriptionList lists those of a type; empty: of every type.
func (c *cli) subscriptionList(kind, use, short string) *cobra.Command {
	var o client.SubscriptionOptions
	cmd := &cobra.Command{
		Use:               use + " [TOPIC]",
		Aliases:           []string{"list"},
		Short:             short,
		Args:              needs(0, 1, "the name of a topic"),
		ValidArgsFunction: c.completeTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Topic = freshet.TopicName(args[0])
			}
			if kind != "" {
				o.Search = strings.TrimSuffix("type:"+kind+" AND ("+o.Search+")", " AND ()")
			}
			return c.listSubscriptions(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Search, "search", "", "only those that match, such as: status!active OR progress.attempts?")
	cmd.Flags().StringArrayVar(&o.Sort, "sort", nil, "order: id, topic, type, mode, status, createTimestamp or modifyTimestamp, with ,DESC to turn it round")
	return cmd
}

func (c *cli) listSubscriptions(ctx context.Context, o client.SubscriptionOptions) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	n := 0
	for s, err := range cl.Subscriptions(ctx, o) {
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		if c.json {
			if err := c.writeJSON(s); err != nil {
				return err
			}
			continue
		}
		if n++; n == 1 {
			fmt.Fprintln(w, "ID\tTOPIC\tTYPE\tMODE\tSTATUS\tLAG\tDELIVERED\tERROR")
		}
		fmt.Fprintln(w, strings.Join(subscriptionRow(s, time.Now(), c.out.isTTY), "\t"))
	}
	if n == 0 && !c.json {
		c.err.printf("no subscriptions; make one with: %s subscription create TOPIC --url URL\n", c.program)
	}
	return w.Flush()
}

// subscriptionRow is a line of the list. Where it is cut it is for a screen; programs get the whole.
func subscriptionRow(s freshet.Subscription, now time.Time, cut bool) []string {
	p := s.Progress
	if p == nil {
		p = &freshet.Progress{}
	}
	cells := []string{string(s.ID), string(s.Topic), s.Type, string(s.Mode), string(s.Status), fmt.Sprint(p.Lag), "-", "-"}
	if !p.Delivered.IsZero() {
		cells[6] = now.Sub(p.Delivered).Truncate(time.Second).String() + " ago"
	}
	switch {
	case p.LastError != nil && (p.Attempts > 0 || p.Reason != ""): // the cause; what came of it is the status
		cells[7] = p.LastError.Message
	case p.Reason != "":
		cells[7] = p.Reason
	}
	const enough = 80 // columns; the whole message is in get
	if cut {
		cells[7] = shorten(cells[7], enough)
	}
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	return cells
}

func (c *cli) subscriptionGet() *cobra.Command {
	return &cobra.Command{
		Use:     "get ID",
		Short:   "Show a subscription and how far it is",
		Example: `  freshet subscription get billing`,
		Args:    needs(1, 1, "the id of a subscription"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			s, _, err := cl.Subscription(cmd.Context(), freshet.SubscriptionID(args[0]))
			if err != nil {
				return err
			}
			return c.writeResource(s)
		},
	}
}

// subscribeFlags are the flags of subscription create.
type subscribeFlags struct {
	file, id, kind, url, mode, behind, format, start, description string
	headers                                                       []string
	dryRun                                                        bool
}

func (c *cli) subscriptionCreate() *cobra.Command {
	var f subscribeFlags
	cmd := &cobra.Command{
		Use:   "create TOPIC --url URL | create TOPIC --type sse | create TOPIC -f FILE",
		Short: "Make a subscription",
		Long: `Make a subscription of a topic: a webhook (--url), a stream that is remembered
(--type sse or websocket), or as a file describes it (-f): YAML or JSON, - is standard
input. A secret that the server makes is shown, this once.`,
		Example: `  freshet subscription create prices --url https://billing.example.com/prices
  freshet subscription create orders --id warehouse --url https://warehouse.example.com/ --format cloudevents-binary
  freshet subscription create prices --type sse --id wall
  freshet subscription create prices -f kafka.yaml`,
		Args:              needs(1, 1, "the name of a topic"),
		ValidArgsFunction: c.completeTopic,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.subscribe(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "a YAML or JSON file that describes the subscription; - is standard input")
	flags.StringVar(&f.id, "id", "", "what it is called; the server makes one")
	flags.StringVar(&f.kind, "type", "webhook", strings.Join(freshet.SubscriberTypes(), ", "))
	flags.StringVar(&f.url, "url", "", "of a webhook: where events are posted to")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "of a webhook: a header to send, 'Name: value'; may be repeated")
	flags.StringVar(&f.mode, "mode", "", "what is sent; the topic's default")
	flags.StringVar(&f.behind, "behind", "", "latest: superseded revisions are skipped; all: each is delivered")
	flags.StringVar(&f.format, "format", "", "raw, cloudevents-binary or cloudevents-structured")
	flags.StringVar(&f.start, "start", "", "now, beginning, the id of an event, or a time")
	flags.StringVar(&f.description, "description", "", "what it is")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check it and show what would be stored, but store nothing")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
	complete(cmd, "type", freshet.SubscriberTypes()...)
	complete(cmd, "format", "raw", "cloudevents-binary", "cloudevents-structured")
	complete(cmd, "behind", "latest", "all")
	return cmd
}

func (c *cli) subscribe(ctx context.Context, topic string, f subscribeFlags) error {
	doc, err := c.subscriptionDocument(f)
	if err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	s, err := cl.CreateSubscription(ctx, freshet.TopicName(topic), doc, client.WriteOptions{DryRun: f.dryRun})
	if err != nil && f.file == "" {
		return inFlags(err)
	}
	if err != nil {
		return err
	}
	if f.dryRun || c.json {
		return c.writeResource(s)
	}
	if _, err := fmt.Fprintf(c.out, "%s created; see what is delivered with: %s webhook log %s\n", s.ID, c.program, s.ID); err != nil {
		return err
	}
	var config struct {
		Secrets []string `json:"secrets"`
	}
	if json.Unmarshal(s.Config, &config) == nil && len(config.Secrets) == 1 && strings.HasPrefix(config.Secrets[0], "whsec_") {
		_, err = fmt.Fprintf(c.out, "requests are signed with this secret, which is not shown again: %s\n", config.Secrets[0])
	}
	return err
}

func (c *cli) subscriptionDocument(f subscribeFlags) ([]byte, error) {
	if f.file != "" {
		if f.url != "" || len(f.headers) > 0 {
			return nil, usageError{errors.New("the file describes the subscription: leave out --url and --header")}
		}
		return c.readDocument(f.file)
	}
	switch comes := f.kind == "sse" || f.kind == "websocket"; {
	case f.kind == "webhook" && f.url == "":
		return nil, usageError{errors.New("a webhook needs --url, or a file (-f)")}
	case f.kind == "webhook":
	case comes && (f.url != "" || len(f.headers) > 0):
		return nil, usageError{fmt.Errorf("--url and --header are for webhooks: subscribers of type %s come for their events, to /live/TOPIC?subscription=ID", f.kind)}
	case !comes && slices.Contains(freshet.SubscriberTypes(), f.kind):
		return nil, usageError{fmt.Errorf("--type %s needs a file (-f) that says how the broker is reached, such as %s", f.kind, brokerExample(f.kind))}
	}
	headers, err := parseHeaders(f.headers)
	if err != nil {
		return nil, err
	}
	document := map[string]any{"type": f.kind}
	for name, value := range map[string]string{"id": f.id, "mode": f.mode, "behind": f.behind, "format": f.format, "start": f.start, "description": f.description} {
		if value != "" {
			document[name] = value
		}
	}
	if f.url != "" {
		config := map[string]any{"url": f.url}
		if len(headers) > 0 {
			config["headers"] = headers
		}
		document["config"] = config
	}
	return json.Marshal(document)
}

// brokerExample is the document of a subscription of a type, with what is required, on one line of YAML.
func brokerExample(kind string) string {
	config := map[string]string{
		"kafka": "bootstrapServers: kafka.example:9092, topic: prices",
		"mqtt":  "url: mqtt://mqtt.example:1883",
		"nats":  "servers: nats://nats.example:4222",
		"amqp":  "url: amqp://rabbitmq.example:5672",
	}[kind]
	return "{type: " + kind + ", config: {" + config + "}}"
}

func (c *cli) subscriptionStatus(use, short string, status freshet.SubscriptionStatus) *cobra.Command {
	return &cobra.Command{
		Use:     use + " ID…",
		Short:   short,
		Example: "  freshet subscription " + use + " billing",
		Args:    needs(1, 0, "the id of a subscription"),
		RunE: func(cmd *cobra.Command, ids []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			return c.each(ids, string(status), func(id string) error {
				_, _, err := cl.PatchSubscription(cmd.Context(), freshet.SubscriptionID(id), []byte(`{"status":"`+string(status)+`"}`), client.WriteOptions{})
				return err
			})
		},
	}
}

func (c *cli) subscriptionSkip() *cobra.Command {
	return &cobra.Command{
		Use:   "skip ID [EVENT]",
		Short: "Go on after the event that cannot be delivered",
		Long: `Let a subscription go on after the one delivery that failed, an event or a batch, such
as one that is larger than its receiver takes. It is never delivered. Where EVENT is
given it has to be that one. A subscription that was disabled is active again.`,
		Example: `  freshet subscription skip billing
  freshet subscription skip billing 5-2dc-72ab84a8`,
		Args: needs(1, 2, "the id of a subscription and perhaps the id of an event"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			s, err := cl.SkipEvent(cmd.Context(), freshet.SubscriptionID(args[0]), strings.Join(args[1:], ""))
			if err != nil {
				return err
			}
			if c.json {
				return c.writeJSON(s)
			}
			what := "event " + s.EventID
			if s.Events > 1 {
				what = fmt.Sprintf("the %d events up to %s", s.Events, s.EventID)
			}
			_, err = fmt.Fprintf(c.out, "%s goes on after %s\n", args[0], what)
			return err
		},
	}
}

func (c *cli) subscriptionPatch() *cobra.Command {
	return &cobra.Command{
		Use:     "patch ID JSON",
		Short:   "Change a subscription by a JSON Merge Patch",
		Example: `  freshet subscription patch billing '{"minInterval":"PT5S","config":{"parallel":4}}'`,
		Args:    needs(2, 2, "the id of a subscription and a JSON Merge Patch"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			s, _, err := cl.PatchSubscription(cmd.Context(), freshet.SubscriptionID(args[0]), []byte(args[1]), client.WriteOptions{})
			if err != nil {
				return err
			}
			return c.writeResource(s)
		},
	}
}

func (c *cli) subscriptionRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "rm ID…",
		Aliases: []string{"delete"},
		Short:   "Delete subscriptions",
		Example: `  freshet subscription rm billing`,
		Args:    needs(1, 0, "the id of a subscription"),
		RunE: func(cmd *cobra.Command, ids []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			return c.each(ids, "deleted", func(id string) error {
				return cl.DeleteSubscription(cmd.Context(), freshet.SubscriptionID(id), client.WriteOptions{})
			})
		},
	}
}
