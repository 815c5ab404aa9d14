// Package brokers starts brokers that others made, for tests.
package brokers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	rabbit "github.com/rabbitmq/amqp091-go"

	"freshet/internal/freshettest"
	"freshet/internal/selfsigned"
)

// A RabbitMQ is a real one. Its user is guest.
type RabbitMQ struct {
	*freshettest.Process
	Address string // host:port
	Secured string // host:port with TLS
	Folder  string // where its certificate is, cert.pem

	environment []string
}

// StartRabbitMQ starts one, and returns once it can be used. It takes some seconds: what needs one shares it.
func StartRabbitMQ(t testing.TB) *RabbitMQ {
	t.Helper()
	program := "/usr/lib/rabbitmq/bin/rabbitmq-server"
	if _, err := os.Stat(program); err != nil {
		program = freshettest.Program(t, "apt-get install rabbitmq-server", "rabbitmq-server")
	}
	b := &RabbitMQ{Address: fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t)), Folder: t.TempDir()}
	pair, err := selfsigned.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Write(b.Folder+"/cert.pem", b.Folder+"/key.pem"); err != nil {
		t.Fatal(err)
	}
	secured, epmd := freshettest.Port(t), freshettest.Port(t)
	b.Secured = fmt.Sprintf("localhost:%d", secured)
	conf := fmt.Sprintf("listeners.tcp.1 = %s\nlisteners.ssl.1 = 127.0.0.1:%d\nssl_options.certfile = %s/cert.pem\nssl_options.keyfile = %s/key.pem\nloopback_users = none\n", b.Address, secured, b.Folder, b.Folder)
	for name, text := range map[string]string{"rabbitmq.conf": conf, "plugins": "[]."} {
		if err := os.WriteFile(filepath.Join(b.Folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mapper := freshettest.Program(t, "apt-get install erlang-base", "epmd") // or the broker would start one that outlives it
	freshettest.Start(t, fmt.Sprintf("127.0.0.1:%d", epmd), func() *exec.Cmd {
		return exec.Command(mapper, "-address", "127.0.0.1", "-port", fmt.Sprint(epmd)) //nolint:gosec,noctx // Process ends it
	})
	dist := freshettest.Port(t)
	b.environment = append(os.Environ(), "HOME="+b.Folder, "RABBITMQ_HOME=", "RABBITMQ_NODENAME=freshet@localhost", "RABBITMQ_CONFIG_FILE="+b.Folder+"/rabbitmq.conf",
		"RABBITMQ_MNESIA_BASE="+b.Folder+"/mnesia", "RABBITMQ_LOG_BASE="+b.Folder+"/log", "RABBITMQ_LOGS=-", "RABBITMQ_ENABLED_PLUGINS_FILE="+b.Folder+"/plugins",
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", dist), fmt.Sprintf("ERL_EPMD_PORT=%d", epmd), "ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}")
	b.Process = freshettest.Start(t, b.Address, func() *exec.Cmd {
		cmd := exec.Command(program) //nolint:gosec,noctx // Process ends it
		cmd.Env = b.environment
		return cmd
	})
	b.Channel(t)
	return b
}

// Control has the broker do something, as its administrators have, such as "set_vm_memory_high_watermark", "0.4".
func (b *RabbitMQ) Control(t testing.TB, args ...string) {
	t.Helper()
	program := "/usr/lib/rabbitmq/bin/rabbitmqctl"
	if _, err := os.Stat(program); err != nil {
		program = freshettest.Program(t, "apt-get install rabbitmq-server", "rabbitmqctl")
	}
	cmd := exec.CommandContext(t.Context(), program, args...) //nolint:gosec // the test says what
	cmd.Env = b.environment
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("rabbitmqctl %v: %v: %s", args, err, out)
	}
}

// Channel opens one, on which messages are confirmed, as soon as the broker takes connections.
func (b *RabbitMQ) Channel(t testing.TB) *rabbit.Channel {
	t.Helper()
	var channel *rabbit.Channel
	freshettest.WaitFor(t, time.Minute, "the broker is ready", func() bool {
		conn, err := rabbit.Dial("amqp://guest:guest@" + b.Address + "/")
		if err != nil {
			return false
		}
		t.Cleanup(func() { _ = conn.Close() })
		channel, err = conn.Channel()
		return err == nil && channel.Confirm(false) == nil
	})
	return channel
}

// Declare makes a durable queue.
func (b *RabbitMQ) Declare(t testing.TB, queue string, args rabbit.Table) {
	t.Helper()
	if _, err := b.Channel(t).QueueDeclare(queue, true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
}

// AwaitOnDisk waits until the broker has written down that there is a queue: to its log of transactions (Mnesia's)
// first what the queue is, and up to two seconds later, long after it has answered, that this was committed. One that
// is killed meanwhile has lost the queue, with all that was confirmed of it.
func (b *RabbitMQ) AwaitOnDisk(t testing.TB, queue string) {
	t.Helper()
	logs := filepath.Join(b.Folder, "mnesia", "*", "LATEST.LOG")
	freshettest.WaitFor(t, time.Minute, "the queue "+queue+" is on the disk", func() bool {
		files, err := filepath.Glob(logs)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file) //nolint:gosec // in our own folder
			_, after, found := bytes.Cut(text, []byte(queue))
			return err == nil && found && bytes.Contains(after, []byte("committed"))
		})
	})
}

// Take takes what a queue holds and what comes, until there is what is enough.
func (b *RabbitMQ) Take(t testing.TB, queue string, longest time.Duration, what string, enough func(all []rabbit.Delivery) bool) (all []rabbit.Delivery) {
	t.Helper()
	deliveries, err := b.Channel(t).ConsumeWithContext(t.Context(), queue, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for late := time.After(longest); !enough(all); {
		select {
		case d, ok := <-deliveries:
			if !ok {
				t.Fatalf("%s: the broker ended the connection", what)
			}
			all = append(all, d)
		case <-late:
			t.Fatalf("%s: not so within %v, with %d messages", what, longest, len(all))
		}
	}
	return all
}
