package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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
a stored webhook has, to develop the program that takes them. Nothing is stored: it
shows what came of each event, goes on to the next one also where an event is
refused or nothing answers at the URL, and does not try again by itself. A line r on
the standard input sends the last event again. Ctrl-C ends it.`,
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
	target string // the same, as it is shown
	topic  string
	secret webhooks.Secret
	print  bool
	client *http.Client
}

// forwardTakes is how long the program may take to answer, as a webhook's default.
const forwardTakes = 15 * time.Second

// forwardURL reads --forward. The scheme may be left out where it is plain that the rest is an address.
func forwardURL(text string) (*url.URL, error) {
	u, err := url.Parse(withScheme(text))
	switch {
	case text == "" || err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https",
		!strings.Contains(text, "://") && u.Port() == "" && u.Hostname() != "localhost" && !strings.Contains(u.Hostname(), "."):
		return nil, errors.New("--forward is the URL that events are posted to, such as http://localhost:3000/hooks")
	}
	return u, nil
}

func (c *cli) listen(ctx context.Context, topic string, f listenFlags) error {
	u, err := forwardURL(f.forward)
	if err != nil {
		return usageError{err}
	}
	w := &forwarder{cli: c, url: u.String(), target: u.Redacted(), topic: topic, print: f.print, client: &http.Client{Timeout: forwardTakes, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
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
	body := addressed(u)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("--forward: %w", err)
	}
	id, timestamp := "listen_"+u.ID, strconv.FormatInt(time.Now().Unix(), 10)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Freshet/" + w.version,
		"Freshet-Subscription-Id": listener, "Freshet-Topic": w.topic, "Freshet-Event-Id": u.ID, "Freshet-Event-Type": string(u.Type),
		webhooks.HeaderID: id, webhooks.HeaderTimestamp: timestamp, webhooks.HeaderSignature: w.secret.Sign(id, timestamp, body),
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
		said = notAnswered(err)
		err = fmt.Errorf("the target of --forward, %s, does not answer: %s", w.target, said) // not wrapped: it is no error of the server's
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
		_, writeErr = fmt.Fprintf(w.out, "  %s\n", printable(string(body)))
	}
	return errors.Join(err, writeErr)
}

// notAnswered is why a program has not answered.
func notAnswered(err error) string {
	if timedOut, ok := errors.AsType[net.Error](err); ok && timedOut.Timeout() {
		return fmt.Sprintf("no answer within %v", forwardTakes)
	}
	return why(err)
}

// listener is what stands in the place of a subscription's id.
const listener = "listen"

// addressed is the body of an event's request. Faults name the subscription, as those of a stored one do.
func addressed(u client.Update) []byte {
	if u.Fault == nil || u.Fault.Code == 0 {
		return u.Data
	}
	f := *u.Fault
	f.Subscription = listener
	body, err := json.Marshal(f)
	if err != nil {
		return u.Data
	}
	return body
}
