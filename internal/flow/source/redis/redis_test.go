package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"freshet"
	"freshet/internal/flow/source/redis"
	"freshet/internal/freshettest"
)

// A server is a real one, all of whose writes are on disk before they are answered.
type server struct {
	*freshettest.Process
	address string
	folder  string
}

func start(t *testing.T, args ...string) *server {
	t.Helper()
	program := freshettest.Program(t, "apt-get install redis-server", "redis-server", "valkey-server")
	s := &server{address: fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t)), folder: t.TempDir()}
	_, port, _ := strings.Cut(s.address, ":")
	s.Process = freshettest.Start(t, s.address, func() *exec.Cmd {
		return exec.Command(program, append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", s.folder, "--appendonly", "yes", "--appendfsync", "always", "--save", ""}, args...)...)
	})
	return s
}

func (s *server) client(t *testing.T) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: s.address, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// add adds an entry, however often it takes, and at most once.
func add(t *testing.T, c *goredis.Client, id string, fields ...any) {
	t.Helper()
	freshettest.WaitFor(t, time.Minute, "an entry is taken", func() bool {
		err := c.XAdd(context.Background(), &goredis.XAddArgs{Stream: "s", ID: id, Values: fields}).Err()
		return err == nil || strings.Contains(err.Error(), "equal or smaller")
	})
}

func (s *server) config(options string) string {
	return fmt.Sprintf(`{"address":%q,"stream":"s"%s}`, s.address, options)
}

func connected(t *testing.T, sink *freshettest.Sink, times int) {
	t.Helper()
	freshettest.WaitFor(t, 30*time.Second, "the source is connected", func() bool { return sink.Fine() >= times })
}

// What comes is handed over once and in order, across a server that is killed and a source that is started
// anew, by the mark.
func TestStream(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.client(t)
	away := 3 * time.Second
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		away = 30 * time.Second
	}
	add(t, c, "1-0", "data", `{"n":0}`)
	sink := &freshettest.Sink{}
	env := freshettest.Env(t)
	stop := freshettest.Run(t, redis.Kind(), s.config(`,"field":"data","readFrom":"earliest"`), env, sink)
	want := []string{`{"n":0}`}
	next := func(n int) {
		for range n {
			i := len(want)
			add(t, c, fmt.Sprintf("%d-0", i+1), "data", fmt.Sprintf(`{"n":%d}`, i))
			want = append(want, fmt.Sprintf(`{"n":%d}`, i))
		}
	}
	next(300)
	sink.Await(t, want...)
	next(20)
	s.Kill()
	time.Sleep(away) //nolint:forbidigo // the server is away for so long
	s.Restart()
	next(20)
	sink.Await(t, want...)
	if f := sink.Faults(); len(f) == 0 || f[0].Code != freshet.FaultConnection {
		t.Errorf("faults: %v", f)
	}
	stop()
	next(20) // while nobody reads
	stop = freshettest.Run(t, redis.Kind(), s.config(`,"field":"data","readFrom":"earliest"`), env, sink)
	next(20)
	sink.Await(t, want...)
	stop()

	// What was deleted before it was read is told, and so is a stream that was begun anew.
	next(10)
	if err := c.XTrimMaxLen(t.Context(), "s", 2).Err(); err != nil {
		t.Fatal(err)
	}
	want = append(want[:len(want)-10:len(want)-10], want[len(want)-2:]...)
	before := len(sink.Faults())
	stop = freshettest.Run(t, redis.Kind(), s.config(`,"field":"data"`), env, sink)
	sink.Await(t, want...)
	if f := sink.Faults()[before:]; len(f) != 1 || !strings.Contains(f[0].Message, "may have been deleted from the stream before they were read") {
		t.Errorf("faults: %v", f)
	}
	stop()
	if err := c.Del(t.Context(), "s").Err(); err != nil {
		t.Fatal(err)
	}
	add(t, c, "5-0", "data", `"anew"`)
	stop = freshettest.Run(t, redis.Kind(), s.config(`,"field":"data"`), env, sink)
	sink.Await(t, append(want, `"anew"`)...)
	stop()
}

func TestOptions(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.client(t)
	env := freshettest.Env(t)
	env.Limit = 100
	if err := c.XAdd(t.Context(), &goredis.XAddArgs{Stream: "s", Values: []any{"a", "old"}}).Err(); err != nil {
		t.Fatal(err)
	}

	// By default it begins with what comes, and takes all fields. A stream that is not there yet is waited for.
	sink, missing := &freshettest.Sink{}, &freshettest.Sink{}
	freshettest.Run(t, redis.Kind(), s.config(``), env, sink)
	freshettest.Run(t, redis.Kind(), strings.Replace(s.config(``), `"s"`, `"later"`, 1), env, missing)
	connected(t, sink, 1)
	connected(t, missing, 1)
	for _, stream := range []string{"s", "later"} {
		if err := c.XAdd(t.Context(), &goredis.XAddArgs{Stream: stream, Values: []any{"b", "2", "a", "é\"\n"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	sink.Await(t, `{"a":"é\"\n","b":"2"}`)
	missing.Await(t, `{"a":"é\"\n","b":"2"}`)

	// What is wrong with an entry is told, and the next is read.
	poison := &freshettest.Sink{}
	freshettest.Run(t, redis.Kind(), s.config(`,"field":"data"`), env, poison)
	connected(t, poison, 1)
	ids := []string{"90000000000000-0", "90000000000000-1", "90000000000000-2", "90000000000000-3"}
	for i, value := range []string{`1`, `no JSON`, `"` + strings.Repeat("x", 200) + `"`, `2`} {
		add(t, c, ids[i], "data", value)
	}
	add(t, c, "90000000000000-4", "other", "3")
	add(t, c, "*", "data", "4")
	poison.Await(t, "1", "2", "4")
	var codes []int
	for _, f := range poison.Faults() {
		codes = append(codes, f.Code)
		if !strings.Contains(f.Message, "the entry 90000000000000-") {
			t.Errorf("a fault does not say of which entry: %v", f)
		}
	}
	if got := fmt.Sprint(codes); got != "[70016 70015 70016]" {
		t.Errorf("faults %s: %v", got, poison.Faults())
	}

	// Another database.
	other := &freshettest.Sink{}
	freshettest.Run(t, redis.Kind(), s.config(`,"db":3,"readFrom":"earliest"`), env, other)
	second := goredis.NewClient(&goredis.Options{Addr: s.address, DB: 3})
	defer func() { _ = second.Close() }()
	add(t, second, "*", "db", "3")
	other.Await(t, `{"db":"3"}`)
}

// Who may not read is told so, without a word of the password.
func TestAccess(t *testing.T) {
	t.Parallel()
	s := start(t, "--requirepass", "s3cret")
	c := goredis.NewClient(&goredis.Options{Addr: s.address, Password: "s3cret"})
	defer func() { _ = c.Close() }()
	freshettest.WaitFor(t, 10*time.Second, "users are made", func() bool {
		return c.Do(t.Context(), "ACL", "SETUSER", "ann", "on", ">s3cret", "~s", "+@all").Err() == nil
	})
	add(t, c, "*", "a", "1")
	if err := c.Set(t.Context(), "text", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	env := freshettest.Env(t)
	for _, tt := range []struct {
		options string
		code    int
	}{
		{`,"password":"s3cret"`, 0},
		{`,"username":"ann","password":"s3cret"`, 0},
		{``, 70401},
		{`,"password":"wrong"`, 70401},
		{`,"username":"bob","password":"s3cret"`, 70401},
		{`,"username":"ann","password":"s3cret","stream":"text"`, 70403},
		{`,"password":"s3cret","stream":"text"`, freshet.FaultConfig},
		{`,"password":"file:/etc/passwd"`, freshet.FaultConfig},
	} {
		sink := &freshettest.Sink{}
		options := tt.options
		config := s.config(`,"readFrom":"earliest"` + options)
		if strings.Contains(options, `"stream"`) {
			config = strings.Replace(config, `"stream":"s",`, ``, 1)
		}
		stop := freshettest.Run(t, redis.Kind(), config, env, sink)
		if tt.code == 0 {
			sink.Await(t, `{"a":"1"}`)
		} else {
			freshettest.WaitFor(t, 20*time.Second, "a fault is told", func() bool { return len(sink.Faults()) > 0 })
			if f := sink.Faults()[0]; f.Code != tt.code || strings.Contains(f.Message, "s3cret") {
				t.Errorf("%s: %v, want %d", options, f, tt.code)
			}
		}
		stop()
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	folder, cert, key, _ := freshettest.Certificate(t)
	secured := freshettest.Port(t)
	s := start(t, "--tls-port", fmt.Sprint(secured), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert)
	add(t, s.client(t), "*", "a", "1")
	env := freshettest.Env(t)
	env.Secrets.Files = []string{folder}
	config := func(tls string) string {
		return fmt.Sprintf(`{"address":"localhost:%d","stream":"s","readFrom":"earliest","tls":{"enabled":true%s}}`, secured, tls)
	}
	sink := &freshettest.Sink{}
	freshettest.Run(t, redis.Kind(), config(fmt.Sprintf(`,"ca":"file:%s","cert":"file:%s","key":"file:%s"`, cert, cert, key)), env, sink)
	sink.Await(t, `{"a":"1"}`)
	untrusted := &freshettest.Sink{}
	freshettest.Run(t, redis.Kind(), config(``), env, untrusted)
	freshettest.WaitFor(t, 20*time.Second, "a fault is told", func() bool { return len(untrusted.Faults()) > 0 })
	if f := untrusted.Faults()[0]; !strings.Contains(f.Message, "certificate is not trusted") {
		t.Error(f)
	}
}

// Nothing but the guard's ways are used.
func TestEgress(t *testing.T) {
	env := freshettest.Env(t)
	sink := &freshettest.Sink{}
	freshettest.Run(t, redis.Kind(), `{"address":"10.1.2.3:6379","stream":"s"}`, env, sink)
	freshettest.WaitFor(t, 20*time.Second, "a fault is told", func() bool { return len(sink.Faults()) > 0 })
	if f := sink.Faults()[0]; f.Code != freshet.FaultConfig || !strings.Contains(f.Message, "egress.allow") {
		t.Error(f)
	}
}

func TestConfig(t *testing.T) {
	for config, want := range map[string]string{
		`{"address":"a:6379","stream":"s"}`:                                "",
		`{"stream":"s"}`:                                                   "/address: is required",
		`{"address":"a:6379"}`:                                             "/stream: is required",
		`{"address":"a","stream":"s"}`:                                     "/address: \"a\" is not host:port",
		`{"address":"a:0","stream":"s"}`:                                   "/address: \"a:0\" is not host:port",
		`{"address":"a:1","stream":"s","readFrom":"now"}`:                  "/readFrom: must be earliest or latest",
		`{"address":"a:1","stream":"s","username":"u"}`:                    "/password: a user has a password",
		`{"address":"a:1","stream":"s","db":-1}`:                           "/db: must be from 0",
		`{"address":"a:1","stream":"s","tls":{"enabled":true,"cert":"x"}}`: "/tls/key: a certificate and its key",
		`{"address":"a:1","stream":"s","tls":{"serverName":"x"}}`:          "/tls/enabled: must be true",
		`{"address":"a:1","stream":"s","password":"***"}`:                  "/password: *** stands for",
		`{"address":"a:1","stream":"s","tls":{"insecure":true}}`:           "/tls/insecure: unknown member",
	} {
		got := redis.Kind().Check(json.RawMessage(config))
		if (want == "") != (got == nil) || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].Pointer+": "+got[0].Detail, want)) {
			t.Errorf("%s: %v, want %s", config, got, want)
		}
	}
}
