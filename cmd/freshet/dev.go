package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"freshet"
	"freshet/client"
	"freshet/internal/app"
	"freshet/internal/demo"
)

// devFlags are the flags of dev.
type devFlags struct {
	listen, every, data, pointer, logLevel string
	headers                                []string
}

func (c *cli) devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev [URL…]",
		Short: "Try it: a server without configuration, of your API or a built-in demo",
		Long: `Start a server for this machine only, without configuration: of the APIs whose
URLs are given, or of a built-in demo API with four live documents. It shows a
line for each change.

Loopback only, no authentication, any URL may be made a topic, and the data is
gone afterwards unless --data says where to keep it. Pages of web servers on this
machine (http://localhost:5173 and the like) may read it: there is no CORS to set up.`,
		Example: `  freshet dev
  freshet dev https://api.example.com/prices --every 5s
  freshet dev https://api.example.com/v2 --pointer /items -H 'Authorization: Bearer …'`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, urls []string) error { return c.dev(cmd.Context(), urls, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", app.DefaultListen, "host:port on loopback to listen on")
	flags.StringVar(&f.every, "every", "2s", "how often to poll")
	flags.StringVar(&f.data, "data", "", "directory to keep the history in; a temporary one")
	flags.StringVar(&f.pointer, "pointer", "", "JSON Pointer to the part of the answer that is wanted")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "a header to send to the API, 'Name: value'; may be repeated")
	flags.StringVar(&f.logLevel, "log-level", "error", "debug, info, warn or error")
	_ = cmd.MarkFlagDirname("data")
	complete(cmd, "log-level", logLevels()...)
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) dev(ctx context.Context, urls []string, f devFlags) (err error) {
	config := app.Config{
		Listen: f.listen, Data: f.data, Dev: true, Version: c.version, FilterCommand: filterCommand, Log: app.LogConfig{Level: f.logLevel},
		Drain: freshet.Duration(2 * time.Second),
	}
	if f.data == "" {
		sweep()
		dir, err := os.MkdirTemp("", temporaryPrefix)
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // what is left is in the system's temporary directory
		config.Data = dir
		config.Journal.Sync = "1s" // there is nothing to keep over a crash
	}
	if len(urls) > 0 {
		config.Topics, err = f.topics(urls)
	} else {
		var stop func() error
		config.Topics, stop, err = startDemo(ctx)
		if err == nil {
			defer func() { err = errors.Join(err, stop()) }()
		}
	}
	if err != nil {
		return err
	}
	for i := range config.Topics {
		config.Topics[i].Source.AlwaysOn = true // the changes are to be seen here
	}
	if err := config.Check(); err != nil {
		return inFlags(err)
	}
	return c.runDev(ctx, config, f.data == "")
}

func (c *cli) runDev(ctx context.Context, config app.Config, temporary bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Where nobody reads what is shown any more (freshet dev | head), an orderly end, not the signal.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	// The server must not wait for a terminal that is held, so changes wait here, and too many are left out.
	changes := make(chan app.Change, 1024)
	config.Watch = func(ch app.Change) {
		select {
		case changes <- ch:
		default:
		}
	}
	var printer sync.WaitGroup
	defer printer.Wait()
	defer cancel()
	return app.Run(ctx, config, newLogger(c.err, config.Log), func(s app.Server) {
		w := &watcher{cli: c, changes: changes, silent: map[freshet.TopicName]string{}}
		if !c.json {
			if _, err := io.WriteString(c.out, c.banner(s, temporary)); err != nil {
				cancel()
			}
			for _, t := range s.Topics {
				if u := sourceURL(t); u != nil {
					w.silent[t.Name] = u.Host
				}
			}
		}
		printer.Go(func() {
			defer cancel()
			_ = w.run(ctx) // there is nobody left to tell
		})
	})
}

// startDemo serves the demo API on a loopback port of its own.
func startDemo(ctx context.Context) (topics []freshet.Topic, stop func() error, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("demo API: %w", err)
	}
	server := &http.Server{Handler: demo.Handler(uint64(time.Now().UnixNano()), time.Now), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	stop = func() error {
		err := server.Close()
		if failed := <-served; !errors.Is(failed, http.ErrServerClosed) {
			err = errors.Join(err, failed)
		}
		return err
	}
	return demo.Topics("http://" + l.Addr().String()), stop, nil
}

// topics makes a topic of each URL.
func (f devFlags) topics(urls []string) ([]freshet.Topic, error) {
	var topics []freshet.Topic
	taken := map[freshet.TopicName]bool{}
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil || !client.IsURL(raw) || u.Host == "" {
			return nil, usageError{fmt.Errorf("%q is not a URL such as https://api.example.com/prices", raw)}
		}
		config, err := pollerConfig(raw, f.every, f.pointer, f.headers)
		if err != nil {
			return nil, err
		}
		name := nameOf(u)
		for n := 2; taken[name]; n++ {
			name = freshet.TopicName(fmt.Sprintf("%s-%d", nameOf(u), n))
		}
		taken[name] = true
		topics = append(topics, freshet.Topic{Name: name, Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-poller", Config: config}})
	}
	return topics, nil
}

// nameOf makes a name of the last part of a URL's path, or of its host.
func nameOf(u *url.URL) freshet.TopicName {
	last := path.Base(u.Path)
	last = strings.TrimSuffix(last, ".json")
	for _, from := range []string{last, u.Hostname()} {
		if name := freshet.TopicName(slug(from)); name.Validate() == nil {
			return name
		}
	}
	return "topic"
}

// slug writes a text with what a topic's name may hold.
func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		if r < utf8.RuneSelf && strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-", r) {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "._-")
	return name[:min(len(name), 100)]
}
