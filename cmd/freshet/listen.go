package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"freshet"
	"freshet/client"
	"freshet/webhooks"
)

type listenFlags struct {
	forward, secret, mode, from string
	once, print                 bool
}

func (c *cli) listenCommand() *cobra.Command {
	var f listenFlags
	cmd := &cobra.Command{
		Use:   "listen TOPIC --forward URL",
		Short: "Post the events of a topic to a program of yours, as a webhook would",
		Long: `Follow a topic and post each event to a URL, with the headers and the signature that
a stored webhook has, to develop the program that takes them. Nothing is stored: an
event that is refused is shown, and goes on to the next. A line r on the standard
input sends the last event again. Ctrl-C ends it.`,
		Example: `  freshet listen orders --forward http://localhost:3000/hooks/orders
  freshet listen orders --forward http://localhost:3000/ --from beginning --once`,
		Args:              needs(1, 1, "the name of a topic"),
		ValidArgsFunction: c.completeTopic,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.listen(cmd.Context(), args[0], f) },
	}
	c.serverFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.forward, "forward", "", "where events are posted to")
	flags.StringVar(&f.secret, "secret", "", "by which requests are signed, whsec_…; one is made and shown")
	flags.StringVar(&f.mode, "mode", "", "what is sent; the topic's default")
	flags.StringVar(&f.from, "from", "", "beginning: with the oldest message kept; or the id of an event")
	flags.BoolVar(&f.once, "once", false, "end after the first event; the exit code says whether it was accepted")
	flags.BoolVar(&f.print, "print", false, "show the bodies too")
	return cmd
}

// A forwarder posts events.
type forwarder struct {
	*cli
	url    string
	topic  string
	secret webhooks.Secret
	print  bool
	client *http.Client
}

func (c *cli) listen(ctx context.Context, topic string, f listenFlags) error {
	u, err := url.Parse(withScheme(f.forward))
	if f.forward == "" || err != nil || u.Host == "" {
		return usageError{errors.New("--forward is the URL that events are posted to, such as http://localhost:3000/hooks")}
	}
	w := &forwarder{cli: c, url: u.String(), topic: topic, print: f.print, client: &http.Client{Timeout: 15 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if f.secret != "" {
		if w.secret, err = webhooks.ParseSecret(f.secret); err != nil {
			return usageError{fmt.Errorf("--secret %w", err)}
		}
	} else {
		var text string
		w.secret, text = webhooks.NewSecret()
		c.err.printf("requests are signed with this secret: %s\n", text)
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	o := client.FollowOptions{Mode: freshet.Mode(f.mode), From: "beginning"}
	if f.from != "beginning" {
		o.From, o.LastEventID = "", f.from
	}
	o.OnRetry = func(err error, wait time.Duration) error {
		c.err.printf("%s: %s; trying again in %.1f s\n", topic, why(err), wait.Seconds())
		return nil
	}
	return w.follow(ctx, cl, o, f.once)
}

// follow posts each event, and the last one again when it is asked to.
func (w *forwarder) follow(ctx context.Context, cl *client.Client, o client.FollowOptions, once bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates, failed := make(chan client.Update), make(chan error, 1)
	go func() {
		var err error
		for u, e := range cl.Follow(ctx, w.topic, o) {
			if err = e; e != nil {
				break
			}
			select {
			case updates <- u:
			case <-ctx.Done():
			}
		}
		failed <- err
	}()
	again := repeats(ctx, w.in)
	var last *client.Update
	for {
		select {
		case u := <-updates:
			last = &u
			if err := w.post(ctx, u); once {
				return err
			}
		case <-again:
			if last == nil {
				w.err.printf("no event has come yet\n")
				continue
			}
			_ = w.post(ctx, *last) // it was told
		case err := <-failed:
			if errors.Is(err, client.ErrEnded) {
				return fmt.Errorf("topic %s was deleted", w.topic)
			}
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// repeats tells of each line r.
func repeats(ctx context.Context, in io.Reader) <-chan struct{} {
	again := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			if lines.Text() != "r" {
				continue
			}
			select {
			case again <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return again
}

// post posts an event and says what came of it.
func (w *forwarder) post(ctx context.Context, u client.Update) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(u.Data))
	if err != nil {
		return fmt.Errorf("--forward: %w", err)
	}
	id, timestamp := "listen_"+u.ID, strconv.FormatInt(time.Now().Unix(), 10)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Freshet/" + w.version,
		"Freshet-Subscription-Id": "listen", "Freshet-Topic": w.topic, "Freshet-Event-Id": u.ID, "Freshet-Event-Type": string(u.Type),
		webhooks.HeaderID: id, webhooks.HeaderTimestamp: timestamp, webhooks.HeaderSignature: w.secret.Sign(id, timestamp, u.Data),
	} {
		r.Header.Set(name, value)
	}
	if u.Reset != "" {
		r.Header.Set("Freshet-Reset", u.Reset)
	}
	start := time.Now()
	resp, err := w.client.Do(r)
	took := time.Since(start).Round(time.Millisecond)
	said := ""
	switch {
	case err != nil:
		said = why(err)
	default:
		said = resp.Status
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		_ = resp.Body.Close()
		if resp.StatusCode < 200 || resp.StatusCode > 299 {
			err = fmt.Errorf("not accepted: %s", resp.Status)
		}
	}
	_, writeErr := fmt.Fprintf(w.out, "%s  %s  %s  %s  %s\n", start.Format("15:04:05"), u.ID, u.Type, printable(said), took)
	if w.print && writeErr == nil {
		_, writeErr = fmt.Fprintf(w.out, "  %s\n", printable(string(u.Data)))
	}
	return errors.Join(err, writeErr)
}
