// Command freshet is the gateway, `freshet serve` and `freshet dev`, and the tools for its topics.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set when the binary is linked: -ldflags "-X main.version=1.2.3".
var version = "devel" //nolint:gochecknoglobals // the linker needs a variable

func main() {
	// The first signal ends what runs in an orderly way, the second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	c := &cli{in: os.Stdin, out: newTerminal(os.Stdout), err: newTerminal(os.Stderr), program: program(os.Args), version: version}
	err := c.run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprint(os.Stderr, c.explain(err))
	}
	os.Exit(exitCode(err))
}
