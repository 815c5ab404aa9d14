package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"freshet"
	"freshet/client"
	"freshet/webhooks"
)

func (c *cli) webhookCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "webhook",
		Aliases: []string{"webhooks"},
		Short:   "See what was delivered, deliver again, test and verify",
		Args:    knows,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.serverFlag(cmd)
	c.jsonFlag(cmd)
	cmd.AddCommand(c.subscriptionList("webhook", "ls", "List the webhooks"), c.webhookLog(), c.webhookRedeliver(), c.webhookRecover(), c.webhookTest(), c.webhookVerify())
	return cmd
}

func (c *cli) webhookLog() *cobra.Command {
	var o client.ExchangeOptions
	var since string
	var failed, bodies bool
	cmd := &cobra.Command{
		Use:   "log ID",
		Short: "List attempts to deliver, the newest first",
		Example: `  freshet webhook log billing
  freshet webhook log billing --failed --since 24h
  freshet webhook log billing --event 5-2dc-72ab84a8 --body`,
		Args: needs(1, 1, "the id of a subscription"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if failed {
				o.Outcome = freshet.OutcomeFailed
			}
			var err error
			if o.Since, err = ago(since); err != nil {
				return usageError{err}
			}
			return c.exchanges(cmd.Context(), freshet.SubscriptionID(args[0]), o, bodies)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "from a time, or so long ago, such as 24h or 7d; the last five minutes")
	flags.BoolVar(&failed, "failed", false, "only attempts that failed")
	flags.IntVar(&o.Status, "status", 0, "only answers with this status of HTTP")
	flags.StringVar(&o.Event, "event", "", "only those of an event, by its id")
	flags.BoolVar(&bodies, "body", false, "show headers and bodies too")
	return cmd
}

// ago is a time that --since gives as one, or as how long ago it was; empty: the zero time.
func ago(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := freshet.ParseDuration(withDays(strings.TrimPrefix(text, "-")))
	if err != nil {
		return time.Time{}, fmt.Errorf("--since %s: neither a time such as 2006-01-02T15:04:05Z nor how long ago, such as 24h, 30d or P1DT12H", text)
	}
	return time.Now().Add(-time.Duration(d)), nil
}

// withDays writes a duration with days or weeks, such as 30d or 1d12h, as ISO 8601 has it; others stay as they are.
func withDays(text string) string {
	text = strings.ToLower(text)
	last := strings.LastIndexAny(text, "dw")
	if last < 0 || strings.HasPrefix(text, "p") {
		return text
	}
	date, clock := text[:last+1], text[last+1:]
	return strings.TrimSuffix("P"+date+"T"+clock, "T")
}

func (c *cli) exchanges(ctx context.Context, id freshet.SubscriptionID, o client.ExchangeOptions, bodies bool) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	n := 0
	for e, err := range cl.Exchanges(ctx, id, o) {
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		if c.json {
			if err := c.writeJSON(e); err != nil {
				return err
			}
			continue
		}
		if n++; n == 1 && !bodies {
			fmt.Fprintln(w, "TIME\tEVENT\tATTEMPT\tOUTCOME\tSTATUS\tTOOK\tNEXT\tERROR")
		}
		fmt.Fprintln(w, strings.Join(exchangeRow(e, time.Now()), "\t"))
		if bodies {
			fmt.Fprintln(w, wire(e))
		}
	}
	if n == 0 && !c.json {
		c.err.printf("no attempts; --since 24h looks further back\n")
	}
	return w.Flush()
}

func exchangeRow(e freshet.Exchange, now time.Time) []string {
	cells := []string{e.Start.Local().Format("2006-01-02 15:04:05"), e.EventID, strconv.Itoa(e.Attempt), e.Outcome, "-", fmt.Sprintf("%.0f ms", e.Millis), "-", "-"}
	if e.Purpose != "event" {
		cells[3] += " (" + e.Purpose + ")"
	}
	if e.Response != nil && e.Response.Status > 0 {
		cells[4] = strconv.Itoa(e.Response.Status)
	}
	if !e.Next.IsZero() {
		cells[6] = e.Next.Local().Format(time.TimeOnly)
		if day := e.Next.Local().Format(time.DateOnly); day != now.Local().Format(time.DateOnly) {
			cells[6] = day + " " + cells[6]
		}
	}
	if e.Error != "" {
		cells[7] = e.Error
	}
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	return cells
}

// wire is what went over the wire, as far as it was kept.
func wire(e freshet.Exchange) string {
	var b strings.Builder
	part := func(mark, headers, body string, size int) {
		for line := range strings.SplitSeq(strings.ReplaceAll(headers, "\r\n", "\n"), "\n") {
			b.WriteString("  " + mark + " " + printable(line) + "\n")
		}
		if body == "" {
			return
		}
		b.WriteString("  " + mark + "\n  " + mark + " " + printable(body))
		if size > len(body) {
			fmt.Fprintf(&b, " … (%d bytes)", size)
		}
		b.WriteString("\n")
	}
	part(">", e.Request.Headers, e.Request.Body, e.Request.Size)
	if e.Response != nil {
		part("<", e.Response.Headers, e.Response.Body, e.Response.Size)
	}
	return b.String()
}

// attempted tells what came of an attempt; one that failed is an error.
func (c *cli) attempted(e freshet.Exchange, err error) error {
	if err != nil {
		return err
	}
	if c.json {
		err = c.writeJSON(e)
	} else {
		_, err = fmt.Fprintln(c.out, strings.Join(exchangeRow(e, time.Now()), "  "))
	}
	if err == nil && e.Outcome == freshet.OutcomeFailed {
		return fmt.Errorf("not delivered: %s", e.Error)
	}
	return err
}

func (c *cli) webhookRedeliver() *cobra.Command {
	return &cobra.Command{
		Use:     "redeliver ID EVENT",
		Short:   "Deliver an event of the history again, once",
		Example: `  freshet webhook redeliver billing 5-2dc-72ab84a8`,
		Args:    needs(2, 2, "the id of a subscription and the id of an event"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			return c.attempted(cl.Redeliver(cmd.Context(), freshet.SubscriptionID(args[0]), args[1]))
		},
	}
}

func (c *cli) webhookTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test ID [JSON]",
		Short: "Deliver any JSON once, outside of the subscription's order",
		Example: `  freshet webhook test billing
  freshet webhook test billing '{"hello":"world"}'`,
		Args: needs(1, 2, "the id of a subscription and perhaps a JSON value"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			data := `{"test":true}`
			if len(args) > 1 {
				data = args[1]
			}
			return c.attempted(cl.TestSubscription(cmd.Context(), freshet.SubscriptionID(args[0]), []byte(data)))
		},
	}
}

func (c *cli) webhookRecover() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use:   "recover ID --since TIME",
		Short: "Deliver again what came since a time, and go on from there",
		Long: `Set a subscription back to a time: everything that came since is delivered again, in
order. One that was suspended or disabled is active again.`,
		Example: `  freshet webhook recover billing --since 2h
  freshet webhook recover billing --since 2026-01-02T15:04:05Z`,
		Args: needs(1, 1, "the id of a subscription"),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := ago(since)
			if err == nil && at.IsZero() {
				err = errors.New("--since says from when on events are delivered again, such as 2h")
			}
			if err != nil {
				return usageError{err}
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			s, err := cl.RecoverSubscription(cmd.Context(), freshet.SubscriptionID(args[0]), at)
			if err != nil {
				return inFlags(err)
			}
			if c.json {
				return c.writeJSON(s)
			}
			_, err = fmt.Fprintf(c.out, "%s goes on from %s\n", s.ID, at.Local().Format("2006-01-02 15:04:05"))
			return err
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "a time, or so long ago, such as 2h or 30d")
	return cmd
}

func (c *cli) webhookVerify() *cobra.Command {
	var secret, id, timestamp, signature, file string
	var tolerance time.Duration
	cmd := &cobra.Command{
		Use:   "verify --secret SECRET --id ID --timestamp SECONDS --signature SIGNATURE [-f FILE]",
		Short: "Verify the signature of a request",
		Long: `Verify a request by its headers webhook-id, webhook-timestamp and webhook-signature,
and its body: the standard input, or a file. It has to be the body as it came, byte
for byte. Without --signature it prints the right one.`,
		Example: `  freshet webhook verify --secret whsec_… --id billing_5-2dc-72ab84a8 --timestamp 1795635537 --signature v1,… < body.json`,
		Args:    takesNone,
		RunE: func(*cobra.Command, []string) error {
			s, err := webhooks.ParseSecret(secret)
			if err != nil {
				return usageError{fmt.Errorf("--secret %w", err)}
			}
			if id == "" || timestamp == "" {
				return usageError{errors.New("--id and --timestamp are the headers webhook-id and webhook-timestamp")}
			}
			body, err := c.readBody(file)
			if err != nil {
				return err
			}
			if signature == "" {
				_, err := fmt.Fprintln(c.out, s.Sign(id, timestamp, body))
				return err
			}
			if err := s.Verify(id, timestamp, signature, body, time.Now(), tolerance); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.out, "the signature is right")
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&secret, "secret", "", "whsec_…")
	flags.StringVar(&id, "id", "", "webhook-id")
	flags.StringVar(&timestamp, "timestamp", "", "webhook-timestamp")
	flags.StringVar(&signature, "signature", "", "webhook-signature")
	flags.StringVarP(&file, "file", "f", "", "the body, in place of the standard input")
	flags.DurationVar(&tolerance, "tolerance", webhooks.Tolerance, "how far the timestamp may be from now; 0: any distance")
	return cmd
}

func (c *cli) readBody(file string) ([]byte, error) {
	if file == "" || file == "-" {
		return io.ReadAll(c.in)
	}
	return os.ReadFile(file) //nolint:gosec // the user named it
}
