package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"freshet/internal/app"
)

// serveFlags are the flags of serve; those that were given go over the file and the environment.
type serveFlags struct {
	config, listen, data, logLevel, logFormat string
	insecure                                  bool
}

func (c *cli) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server. Settings come from a YAML file, from FRESHET_* variables over it
(FRESHET_LISTEN, FRESHET_LOG_LEVEL …), and from flags over both.

It listens on loopback, as there is no authentication yet: put a proxy that
authenticates in front of it. It speaks HTTPS where tls.cert and tls.key name
the files of a certificate. SIGTERM lets streams end on a whole event first.
SIGHUP does the same and starts the program anew, with its configuration read
again, on the same listening socket: no connect is refused. Another address takes a
stop and a start. Where the new configuration is wrong the server says so and goes
on as it is. A socket given by systemd (socket activation) is used in place of --listen.`,
		Example: `  freshet serve -c freshet.yaml
  freshet serve --listen 127.0.0.1:8080 --data /var/lib/freshet
  FRESHET_LOG_FORMAT=json freshet serve`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%q is too much: name a configuration file with -c %s", args[0], args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			hangup := make(chan os.Signal, 1) // from before the configuration is read: a change of it is not missed
			signal.Notify(hangup, syscall.SIGHUP)
			config, err := f.load(os.Environ())
			if err != nil {
				return err
			}
			config.Version, config.FilterCommand = c.version, filterCommand
			return serve(cmd.Context(), config, newLogger(c.err, config.Log), hangup, func() error {
				_, err := f.load(os.Environ())
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "the configuration file; FRESHET_CONFIG, else freshet.yaml if there is one")
	flags.StringVar(&f.listen, "listen", "", "host:port to listen on; "+app.DefaultListen)
	flags.StringVar(&f.data, "data", "", "directory of the journal; ./"+app.DefaultData)
	flags.BoolVar(&f.insecure, "insecure", false, "listen beyond loopback although there is no authentication")
	flags.StringVar(&f.logLevel, "log-level", "", "debug, info, warn or error; info")
	flags.StringVar(&f.logFormat, "log-format", "", "text or json; text")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	_ = cmd.MarkFlagDirname("data")
	complete(cmd, "log-level", logLevels()...)
	complete(cmd, "log-format", "text", "json")
	return cmd
}

// serve runs the server until ctx ends; on SIGHUP it puts a new process in its place, if check finds that one
// would start. The signal stays caught while the server stops: it may come twice, and must not end the process.
func serve(ctx context.Context, config app.Config, log *slog.Logger, hangup <-chan os.Signal, check func() error) (err error) {
	if config.Listener, err = app.Inherited(); err != nil {
		return err
	}
	if config.Listen == "" && app.HandedOver() { // it may have been set before
		config.Listen = app.DefaultListen
	}
	asked := ctx // ends where the server is to stop for good
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var listener *os.File
	err = app.Run(ctx, config, log, func(s app.Server) {
		go func() {
			for {
				select {
				case <-hangup:
				case <-ctx.Done():
					return
				}
				err := check()
				if err == nil {
					listener, err = s.Listener()
				}
				if err == nil {
					log.InfoContext(ctx, "restarting")
					stop()
					return
				}
				log.WarnContext(ctx, "not restarted: what runs goes on", "err", err)
			}
		}()
	})
	if err == nil && listener != nil && asked.Err() == nil {
		return app.Replace(listener)
	}
	if asked.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // it was stopped while it started, as it was asked to
	}
	return err
}

func logLevels() []cobra.Completion { return []cobra.Completion{"debug", "info", "warn", "error"} }

const defaultConfig = "freshet.yaml"

func (f serveFlags) load(env []string) (app.Config, error) {
	path := f.config
	if path == "" {
		path = os.Getenv("FRESHET_CONFIG")
	}
	if path == "" {
		if _, err := os.Stat(defaultConfig); !errors.Is(err, fs.ErrNotExist) {
			path = defaultConfig // also where it cannot be read: the error must be seen
		}
	}
	config, err := app.Load(path, env)
	if err != nil {
		return app.Config{}, err
	}
	for value, flag := range map[*string]string{
		&config.Listen: f.listen, &config.Data: f.data, &config.Log.Level: f.logLevel, &config.Log.Format: f.logFormat,
	} {
		if flag != "" {
			*value = flag
		}
	}
	config.Insecure = config.Insecure || f.insecure
	return config, inFlags(config.Check())
}

// newLogger writes to standard error. The configuration was checked.
func newLogger(w io.Writer, c app.LogConfig) *slog.Logger {
	o := &slog.HandlerOptions{ReplaceAttr: redact}
	if c.Level != "" {
		var level slog.Level
		if err := level.UnmarshalText([]byte(c.Level)); err == nil {
			o.Level = level
		}
	}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// redact is the last line of defence: nothing logs secrets, and this keeps it so.
func redact(_ []string, a slog.Attr) slog.Attr {
	secret := []string{"authorization", "cookie", "password", "secret", "token", "api-key", "apikey"}
	key := strings.ToLower(a.Key)
	if slices.ContainsFunc(secret, func(s string) bool { return strings.Contains(key, s) }) {
		a.Value = slog.StringValue("***")
	}
	return a
}
