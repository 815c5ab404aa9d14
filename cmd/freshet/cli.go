package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"freshet/client"
	"freshet/jsonpatch"
)

// cli is what every command works with.
type cli struct {
	in       io.Reader
	out, err *terminal
	program  string // how it was called, for commands to paste
	version  string

	started bool   // past the parsing of arguments
	command string // such as freshet topic ls, by program
	json    bool
	server  string
	cacert  string
	headers []string
}

// run parses the arguments and runs the command that they name.
func (c *cli) run(ctx context.Context, args []string) error {
	root := c.root()
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	cmd, err := root.ExecuteContextC(ctx)
	c.command = c.program + strings.TrimPrefix(cmd.CommandPath(), root.Name())
	if err != nil && !c.started {
		return usageError{err}
	}
	return err
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "freshet",
		Short: "Any JSON API, live",
		Long: `Freshet polls a JSON API, or takes what is posted to it, and pushes every change
to any number of subscribers: small patches over one HTTP stream, resumable,
from a durable history.`,
		Example: `  freshet dev                                  # try it with a built-in demo API
  freshet dev https://api.example.com/prices   # or with yours
  freshet sub prices                           # watch it change
  freshet serve -c freshet.yaml                # run it for others`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { c.started = true },
		Version:          c.version,
		Args:             knows,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate(c.versionLine())
	root.AddCommand(c.devCommand(), c.serveCommand(), c.subCommand(), c.getCommand(), c.pubCommand(), c.topicCommand(), c.subscriptionCommand(), c.webhookCommand(), c.listenCommand(), c.sourcesCommand(), c.errorsCommand(), c.benchCommand(), c.versionCommand(), c.filterCommand())
	return root
}

func (c *cli) versionLine() string {
	return fmt.Sprintf("freshet %s (%s, %s/%s)\n", c.version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (c *cli) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  takesNone,
		RunE: func(*cobra.Command, []string) error {
			if c.json {
				return c.writeJSON(map[string]string{"version": c.version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
			}
			_, err := io.WriteString(c.out, c.versionLine())
			return err
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

const defaultServer = "http://127.0.0.1:4440"

// serverFlag is for every command that talks to a server.
func (c *cli) serverFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&c.server, "server", "", "address of the server; FRESHET_SERVER, else "+defaultServer)
	cmd.PersistentFlags().StringVar(&c.cacert, "cacert", "", "PEM file of the authorities that vouch for an https server, in place of the system's; FRESHET_CACERT")
	_ = cmd.MarkPersistentFlagFilename("cacert", "pem", "crt")
}

// jsonFlag is for every command that tells something to programs too.
func (c *cli) jsonFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().BoolVar(&c.json, "json", false, "write JSON, one value a line, for programs")
}

// headerFlag is for commands that read a topic: for one that is a URL, its API gets the headers too.
func (c *cli) headerFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&c.headers, "header", "H", nil, "a header to send, 'Name: value'; may be repeated")
}

func (c *cli) address() string {
	return cmp.Or(c.server, os.Getenv("FRESHET_SERVER"), defaultServer)
}

func (c *cli) client() (*client.Client, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	return c.trusting(roots)
}

// trusting is a client of the server that these authorities vouch for; nil: the system's.
func (c *cli) trusting(roots *x509.CertPool) (*client.Client, error) {
	headers, err := parseHeaders(c.headers)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	for name, value := range headers {
		header.Set(name, value)
	}
	cl, err := client.New(withScheme(c.address()), client.Config{Header: header, UserAgent: "freshet/" + c.version, RootCAs: roots})
	if err != nil {
		return nil, usageError{err}
	}
	return cl, nil
}

// roots are the authorities that vouch for the server; nil: the system's.
func (c *cli) roots() (*x509.CertPool, error) {
	path := cmp.Or(c.cacert, os.Getenv("FRESHET_CACERT"))
	if path == "" {
		return nil, nil //nolint:nilnil // as the standard library has it
	}
	pem, err := os.ReadFile(path) //nolint:gosec // who runs the command names it
	if err != nil {
		return nil, usageError{fmt.Errorf("--cacert: %w", err)}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usageError{fmt.Errorf("--cacert: %s holds no certificate in PEM", path)}
	}
	return pool, nil
}

// parseHeaders reads lines such as "Accept: text/plain". What is wrong with one is said without its
// value, which may be secret.
func parseHeaders(lines []string) (map[string]string, error) {
	headers := map[string]string{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || name == "" || strings.Trim(strings.ToLower(name), fieldNameChars) != "" || strings.ContainsAny(value, "\r\n\x00") {
			return nil, usageError{fmt.Errorf("a --header is not of the form 'Name: value'")}
		}
		headers[http.CanonicalHeaderKey(name)] = value
	}
	return headers, nil
}

// fieldNameChars are what a field name is made of (RFC 9110 section 5.6.2), but for upper case.
const fieldNameChars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"

// needs checks the number of arguments. A most of 0 is any number.
func needs(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("%s is needed", what)
		case most > 0 && len(args) > most:
			return fmt.Errorf("%q is too much: only %s is taken", args[most], what)
		}
		return nil
	}
}

// takesNone checks that there are no arguments.
func takesNone(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is too much: %s takes no arguments", args[0], cmd.Name())
	}
	return nil
}

// knows checks the first word after a command that has only others below it.
func knows(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // letters that may be wrong
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += ": did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(text)
}

// complete completes a flag whose values are known.
func complete(cmd *cobra.Command, flag string, values ...cobra.Completion) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // fails where there is no such flag
}

// writeJSON writes a value on one line of standard output. Text stays as it is: no HTML escapes.
func (c *cli) writeJSON(v any) error {
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// A usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Exit codes.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitNotFound = 5
)

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if p, ok := errors.AsType[*client.Problem](err); errors.Is(err, jsonpatch.ErrPath) || ok && p.Status == http.StatusNotFound {
		return exitNotFound
	}
	return exitError
}
