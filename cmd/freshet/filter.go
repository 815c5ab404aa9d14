package main

import (
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"freshet/internal/app"
)

const filterWorker = "filter-worker"

// filterCommand is a process of this program that runs filters of jq for a server. It gets nothing of the server's
// environment, in which there may be secrets.
func filterCommand() *exec.Cmd {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	cmd := exec.Command(program, filterWorker)                  //nolint:gosec,noctx // itself; it lives as long as it is of use
	cmd.Env = []string{"SYSTEMROOT=" + os.Getenv("SYSTEMROOT")} // without which no program starts on Windows
	return cmd
}

func (c *cli) filterCommand() *cobra.Command {
	return &cobra.Command{
		Use:    filterWorker,
		Short:  "Run filters of jq for a server, which starts this by itself",
		Hidden: true,
		Args:   takesNone,
		RunE: func(*cobra.Command, []string) error {
			app.ServeFilters(os.Stdin, os.Stdout)
			return nil
		},
	}
}
