package nats_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/nats"
	"freshet/internal/freshettest"
	"freshet/internal/freshettest/brokers"
	"freshet/internal/settings"
)

// start runs a server in this process, with JetStream, and returns its address.
func start(t *testing.T, change func(*server.Options)) string {
	t.Helper()
	address, _ := brokers.ServeNATS(t, change)
	return address
}

func config(address, more string) string { return fmt.Sprintf(`{"servers":%q,%s}`, address, more) }

func publish(t *testing.T, js jetstream.JetStream, subject string, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if _, err := js.Publish(t.Context(), subject, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}

func connected(t *testing.T, to *freshettest.Sink, times int) {
	t.Helper()
	freshettest.WaitFor(t, 20*time.Second, "connected", func() bool { return to.Fine() >= times })
}

func await(t *testing.T, to *freshettest.Sink, code int) (f freshet.Fault) {
	t.Helper()
	freshettest.WaitFor(t, 20*time.Second, fmt.Sprintf("a fault with the code %d", code), func() bool {
		for _, f = range to.Faults() {
			if f.Code == code {
				return true
			}
		}
		return false
	})
	return f
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

func TestSubject(t *testing.T) {
	t.Parallel()
	address := start(t, nil)
	nc, _ := brokers.DialNATS(t, address)
	a, b, all := &freshettest.Sink{}, &freshettest.Sink{}, &freshettest.Sink{}
	env := freshettest.Env(t)
	env.Limit = 1000
	freshettest.Run(t, nats.Kind(), config(address, `"subject":"prices.*.eur","queueGroup":"g"`), env, a)
	freshettest.Run(t, nats.Kind(), config("localhost:1, nats://"+address, `"subject":"prices.*.eur","queueGroup":"g"`), env, b)
	freshettest.Run(t, nats.Kind(), config(address, `"subject":"prices.>"`), env, all)
	connected(t, a, 1)
	connected(t, b, 1)
	connected(t, all, 1)
	for i := range 200 {
		_ = nc.Publish("prices.x.eur", []byte(strconv.Itoa(i)))
	}
	for _, poison := range []string{"no JSON", "", `"` + strings.Repeat("x", 999) + `"`} {
		_ = nc.Publish("prices.x.eur", []byte(poison))
	}
	_ = nc.Publish("prices.x.usd", []byte("200"))
	_ = nc.Publish("price.x.eur", []byte("300"))
	all.Await(t, numbers(0, 201)...)
	if f := all.Faults(); len(f) != 2 || f[0].Code != freshet.FaultFormat || f[1].Code != freshet.FaultSize {
		t.Error(f)
	}
	freshettest.WaitFor(t, 10*time.Second, "each message once", func() bool { return len(a.Payloads())+len(b.Payloads()) == 200 })
	shared := append(a.Payloads(), b.Payloads()...)
	slices.SortFunc(shared, func(a, b string) int { return len(a)*1000 - len(b)*1000 + strings.Compare(a, b) })
	if !slices.Equal(shared, numbers(0, 200)) || len(a.Payloads()) == 0 || len(b.Payloads()) == 0 {
		t.Errorf("%d and %d", len(a.Payloads()), len(b.Payloads()))
	}
}

// What core NATS sends faster than it can be stored is lost at some point, which is told.
func TestTooFast(t *testing.T) {
	t.Parallel()
	address := start(t, nil)
	nc, _ := brokers.DialNATS(t, address)
	var open atomic.Bool
	to := &freshettest.Sink{Refuse: func(source.Payload) error {
		if !open.Load() {
			return freshet.ErrUnavailable
		}
		return nil
	}}
	freshettest.Run(t, nats.Kind(), config(address, `"subject":"a"`), freshettest.Env(t), to)
	connected(t, to, 1)
	large := []byte(`"` + strings.Repeat("x", 500_000) + `"`)
	for range 80 {
		if err := nc.Publish("a", large); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // on their way
	open.Store(true)
	if f := await(t, to, freshet.FaultPublication); !strings.Contains(f.Message, "lost") {
		t.Error(f)
	}
	freshettest.WaitFor(t, 10*time.Second, "those that there was room for", func() bool { return len(to.Payloads()) > 20 })
	_ = nc.Publish("a", []byte("1"))
	freshettest.WaitFor(t, 10*time.Second, "the next", func() bool { return slices.Contains(to.Payloads(), "1") })
	if n := len(to.Payloads()); n > 80 {
		t.Errorf("%d payloads", n)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	address := start(t, func(o *server.Options) { o.JetStreamDomain = "hub" })
	_, js := brokers.DialNATS(t, address)
	for options, want := range map[string][2][]string{
		`"stream":"S"`: {nil, {"3", "4", "5"}},
		`"stream":"S","deliver":"new","subject":"a"`:  {nil, {"3", "5"}},
		`"stream":"S","deliver":"last"`:               {{"2"}, {"3", "4", "5"}},
		`"stream":"S","deliver":"last","subject":"*"`: {{"2"}, {"3", "4", "5"}},
		`"stream":"S","deliver":"all"`:                {{"0", "1", "2"}, {"3", "4", "5"}},
		`"stream":"S","deliver":"all","subject":"b"`:  {{"2"}, {"4"}},
		`"stream":"S","deliver":"all","domain":"hub"`: {{"0", "1", "2"}, {"3", "4", "5"}},
		`"stream":"S","deliver":"all","durable":"d"`:  {{"0", "1", "2"}, {"3", "4", "5"}},
		`"stream":"S","durable":"e","subject":"a"`:    {nil, {"3", "5"}},
		`"stream":"S","durable":"f","deliver":"last"`: {{"2"}, {"3", "4", "5"}},
	} {
		t.Run(options, func(t *testing.T) {
			brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"a", "b"}})
			publish(t, js, "a", "0", "1", "no JSON", "")
			publish(t, js, "b", "2")
			to := &freshettest.Sink{}
			stop := freshettest.Run(t, nats.Kind(), config(address, options), freshettest.Env(t), to)
			connected(t, to, 1)
			to.Await(t, want[0]...)
			publish(t, js, "a", "3")
			publish(t, js, "b", "4")
			publish(t, js, "a", "5")
			to.Await(t, append(want[0], want[1]...)...)
			stop()
			if err := js.DeleteStream(t.Context(), "S"); err != nil {
				t.Fatal(err)
			}
		})
	}
	to := &freshettest.Sink{}
	freshettest.Run(t, nats.Kind(), config(address, `"stream":"S","domain":"spoke"`), freshettest.Env(t), to)
	await(t, to, freshet.FaultConfig)
}

// A restart goes on after the last message that was stored, for whatever reason others were not.
func TestResume(t *testing.T) {
	t.Parallel()
	address := start(t, nil)
	_, js := brokers.DialNATS(t, address)
	for _, durable := range []string{"", `,"durable":"d"`} {
		name := "S" + strconv.Itoa(len(durable))
		s := brokers.CreateStream(t, js, jetstream.StreamConfig{Name: name, Subjects: []string{name + ".*"}})
		conf := config(address, `"stream":"`+name+`","subject":"`+name+`.a","deliver":"all"`+durable)
		to := &freshettest.Sink{}
		for i := range 900 {
			publish(t, js, name+".a", strconv.Itoa(i))
			publish(t, js, name+".other", "-1")
		}
		var count atomic.Int64
		to.Refuse = func(source.Payload) error {
			if count.Add(1) > 300 { // the journal is full
				return freshet.ErrUnavailable
			}
			return nil
		}
		stop := freshettest.Run(t, nats.Kind(), conf, freshettest.Env(t), to)
		freshettest.WaitFor(t, 20*time.Second, "a journal that is full", func() bool { return count.Load() > 302 })
		stop()
		if n := len(to.Payloads()); n > 300 {
			t.Fatalf("%d payloads", n)
		}
		to.Refuse = nil
		stop = freshettest.Run(t, nats.Kind(), conf, freshettest.Env(t), to)
		if durable == "" {
			to.Await(t, numbers(0, 900)...)
		} else { // what was on its way comes when its time is over, after what is newer
			freshettest.WaitFor(t, time.Minute, "all", func() bool { return len(to.Payloads()) >= 900 })
			if n := s.CachedInfo().State.Msgs; n != 0 && len(to.Payloads()) != 900 {
				t.Errorf("%d payloads", len(to.Payloads()))
			}
			got := to.Payloads()
			slices.SortFunc(got, func(a, b string) int { return (len(a)-len(b))*1000 + strings.Compare(a, b) })
			if !slices.Equal(got, numbers(0, 900)) {
				t.Error("some are missing, or repeated")
			}
		}
		stop()
		publish(t, js, name+".a", "900")
		freshettest.Run(t, nats.Kind(), conf, freshettest.Env(t), to)
		freshettest.WaitFor(t, time.Minute, "the last", func() bool { return slices.Contains(to.Payloads(), "900") })
		if n := len(to.Payloads()); n != 901 || len(to.Faults()) != 0 {
			t.Errorf("%d payloads, %v", n, to.Faults())
		}
	}
}

// What comes between two connections before the first message is read as well; a stream that was made anew is
// read from its beginning, and one that has dropped messages says so.
func TestStreamThatChanges(t *testing.T) {
	t.Parallel()
	address := start(t, nil)
	_, js := brokers.DialNATS(t, address)
	c := jetstream.StreamConfig{Name: "S", Subjects: []string{"a"}, MaxMsgs: 3}
	brokers.CreateStream(t, js, c)
	publish(t, js, "a", "0")
	to := &freshettest.Sink{}
	stop := freshettest.Run(t, nats.Kind(), config(address, `"stream":"S"`), freshettest.Env(t), to)
	connected(t, to, 1)
	publish(t, js, "a", "1")
	to.Await(t, "1")
	stop()
	publish(t, js, "a", "2", "3", "4", "5", "6")
	stop = freshettest.Run(t, nats.Kind(), config(address, `"stream":"S"`), freshettest.Env(t), to)
	to.Await(t, "1", "4", "5", "6")
	if f := await(t, to, freshet.FaultPublication); !strings.Contains(f.Message, "2 messages") {
		t.Error(f)
	}
	stop()
	if err := js.DeleteStream(t.Context(), "S"); err != nil {
		t.Fatal(err)
	}
	freshettest.Run(t, nats.Kind(), config(address, `"stream":"S"`), freshettest.Env(t), to)
	await(t, to, freshet.FaultHTTP+404)
	c.MaxMsgs, c.MaxMsgsPerSubject = -1, 1
	brokers.CreateStream(t, js, c)
	publish(t, js, "a", "7")
	to.Await(t, "1", "4", "5", "6", "7")
}

// The latest of each subject is all that such a stream keeps, which is no loss.
func TestLatestOnly(t *testing.T) {
	t.Parallel()
	address := start(t, nil)
	_, js := brokers.DialNATS(t, address)
	brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "KV_b", Subjects: []string{"$KV.b.>"}, MaxMsgsPerSubject: 1})
	publish(t, js, "$KV.b.key", "1")
	to := &freshettest.Sink{}
	conf := config(address, `"stream":"KV_b","subject":"$KV.b.key","deliver":"last"`)
	stop := freshettest.Run(t, nats.Kind(), conf, freshettest.Env(t), to)
	to.Await(t, "1")
	stop()
	publish(t, js, "$KV.b.key", "2", "3")
	freshettest.Run(t, nats.Kind(), conf, freshettest.Env(t), to)
	to.Await(t, "1", "3")
	if len(to.Faults()) > 0 {
		t.Error(to.Faults())
	}
}

// A work queue drops what is acknowledged, which is what the journal has.
func TestWorkQueue(t *testing.T) {
	t.Parallel()
	address := start(t, nil)
	_, js := brokers.DialNATS(t, address)
	s := brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"a"}, Retention: jetstream.WorkQueuePolicy})
	publish(t, js, "a", "0", "no JSON", "", "1")
	count := 0
	to := &freshettest.Sink{Refuse: func(source.Payload) error {
		if count++; count < 4 {
			info, err := s.Info(t.Context())
			if err != nil || info.State.Msgs != 4 {
				t.Errorf("%d messages, %v", info.State.Msgs, err)
			}
			return freshet.ErrUnavailable
		}
		return nil
	}}
	freshettest.Run(t, nats.Kind(), config(address, `"stream":"S","durable":"d"`), freshettest.Env(t), to)
	to.Await(t, "0", "1")
	freshettest.WaitFor(t, 10*time.Second, "an empty queue", func() bool {
		info, err := s.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	})
	other := &freshettest.Sink{}
	freshettest.Run(t, nats.Kind(), config(address, `"stream":"S"`), freshettest.Env(t), other)
	await(t, other, freshet.FaultConfig)
	if said := other.Faults()[0].Message; !strings.Contains(said, "workqueue") {
		t.Errorf("the fault does not say why: %s", said)
	}
}

func TestConsumersThatDoNotFit(t *testing.T) {
	t.Parallel()
	address := start(t, nil)
	_, js := brokers.DialNATS(t, address)
	s := brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"a"}})
	if _, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "silent", AckPolicy: jetstream.AckNonePolicy}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreatePushConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "pushes", DeliverSubject: "x", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	for _, durable := range []string{"silent", "pushes"} {
		to := &freshettest.Sink{}
		freshettest.Run(t, nats.Kind(), config(address, `"stream":"S","durable":"`+durable+`"`), freshettest.Env(t), to)
		await(t, to, freshet.FaultConfig)
	}
	// One that is deleted meanwhile is made again, at the next message.
	to := &freshettest.Sink{}
	freshettest.Run(t, nats.Kind(), config(address, `"stream":"S","durable":"d","deliver":"all"`), freshettest.Env(t), to)
	publish(t, js, "a", "0", "1")
	to.Await(t, "0", "1")
	if err := s.DeleteConsumer(t.Context(), "d"); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "a", "2")
	to.Await(t, "0", "1", "2")
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	userKey, _ := nkeys.CreateUser()
	public, _ := userKey.PublicKey()
	seed, _ := userKey.Seed()
	address := start(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "s3cret"}, {
			Username: "limited", Password: "s3cret",
			Permissions: &server.Permissions{Subscribe: &server.SubjectPermission{Allow: []string{"a", "_MINE.>"}}, Publish: &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.S", "$JS.API.CONSUMER.>"}}},
		}}
		o.Nkeys = []*server.NkeyUser{{Nkey: public}}
	})
	withToken := start(t, func(o *server.Options) { o.Authorization = "s3cret" })
	withJWT, creds := operated(t)
	_, js := brokers.DialNATS(t, address, client.UserInfo("u", "s3cret"))
	brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	env := freshettest.Env(t)
	env.Secrets = settings.Vault{Named: map[string]settings.Secret{"password": "s3cret", "seed": settings.Secret(seed), "creds": settings.Secret(creds)}}
	for _, tt := range []struct {
		address, options string
		code             int // 0: it works
	}{
		{address, `"subject":"a","user":"u","password":"secret:password"`, 0},
		{address, `"subject":"a","user":"u","password":"s3cretX"`, 70401},
		{address, `"subject":"a"`, 70401},
		{address, `"subject":"a","token":"s3cret"`, 70401},
		{address, `"subject":"a","user":"u","password":"secret:nothing"`, freshet.FaultConfig},
		{address, `"subject":"a","nkey":"secret:seed"`, 0},
		{address, `"subject":"a","nkey":"secret:password"`, freshet.FaultConfig},
		{withToken, `"subject":"a","token":"secret:password"`, 0},
		{withToken, `"subject":"a","token":"s3cretX"`, 70401},
		{withJWT, `"subject":"a","creds":"secret:creds"`, 0},
		{withJWT, `"subject":"a","nkey":"secret:seed"`, 70401},
		{withJWT, `"subject":"a","creds":"secret:password"`, freshet.FaultConfig},
		{address, `"subject":"a","user":"limited","password":"s3cret"`, 0},
		{address, `"subject":"b","user":"limited","password":"s3cret"`, 70403},
		{address, `"stream":"S","user":"limited","password":"s3cret"`, 70403},
		{address, `"stream":"S","user":"limited","password":"s3cret","inboxPrefix":"_MINE"`, 0},
	} {
		to := &freshettest.Sink{}
		stop := freshettest.Run(t, nats.Kind(), config(tt.address, tt.options), env, to)
		if tt.code == 0 {
			connected(t, to, 1)
			if len(to.Faults()) > 0 {
				t.Errorf("%s: %v", tt.options, to.Faults())
			}
		} else if f := await(t, to, tt.code); strings.Contains(f.Message, "s3cret") || to.Fine() > 0 {
			t.Errorf("%s: %v, fine %d times", tt.options, f, to.Fine())
		}
		stop()
	}
}

// operated is a server that knows users by JWTs, and the credentials of one.
func operated(t *testing.T) (address, creds string) {
	t.Helper()
	must := func(text string, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	operator, _ := nkeys.CreateOperator()
	account, _ := nkeys.CreateAccount()
	user, _ := nkeys.CreateUser()
	operatorClaims := jwt.NewOperatorClaims(must(operator.PublicKey()))
	accountID := must(account.PublicKey())
	accountJWT := must(jwt.NewAccountClaims(accountID).Encode(operator))
	userJWT := must(jwt.NewUserClaims(must(user.PublicKey())).Encode(account))
	seed, _ := user.Seed()
	file, err := jwt.FormatUserConfig(userJWT, seed)
	if err != nil {
		t.Fatal(err)
	}
	must(operatorClaims.Encode(operator))
	address = start(t, func(o *server.Options) {
		resolver := &server.MemAccResolver{}
		if err := resolver.Store(accountID, accountJWT); err != nil {
			t.Fatal(err)
		}
		o.JetStream, o.TrustedOperators, o.AccountResolver = false, []*jwt.OperatorClaims{operatorClaims}, resolver
	})
	return address, string(file)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	folder, cert, key, _ := freshettest.Certificate(t)
	secure := func(first bool) string {
		return start(t, brokers.MutualTLS(t, cert, key, first))
	}
	env := freshettest.Env(t)
	env.Secrets = settings.Vault{Files: []string{folder}}
	address, first, plain := secure(false), secure(true), start(t, nil)
	files := fmt.Sprintf(`"ca":"file:%s","cert":"file:%s","key":"file:%s","serverName":"localhost"`, cert, cert, key)
	for _, tt := range []struct {
		servers, options string
		code             int
	}{
		{"tls://" + address, `"tls":{` + files + `}`, 0},
		{address, `"tls":{"enabled":true,` + files + `}`, 0},
		{"tls://" + first, `"tlsFirst":true,"tls":{` + files + `}`, 0},
		{"tls://" + address, `"tls":{}`, freshet.FaultConnection},
		{address, `"tls":{}`, freshet.FaultConnection},
		{"tls://" + plain, `"tls":{}`, freshet.FaultConfig},
		{"tls://" + address, `"tls":{"ca":"file:/etc/passwd"}`, freshet.FaultConfig},
	} {
		to := &freshettest.Sink{}
		stop := freshettest.Run(t, nats.Kind(), config(tt.servers, `"subject":"a",`+tt.options), env, to)
		if tt.code == 0 {
			connected(t, to, 1)
		} else {
			await(t, to, tt.code)
		}
		stop()
	}
}

// The guard is asked, a server that says nothing is left, and both within a second where the source ends.
func TestConnections(t *testing.T) {
	t.Parallel()
	to := &freshettest.Sink{}
	freshettest.Run(t, nats.Kind(), config("10.0.0.1", `"subject":"a"`), freshettest.Env(t), to)
	await(t, to, freshet.FaultConfig)
	to = &freshettest.Sink{}
	freshettest.Run(t, nats.Kind(), config("127.0.0.1:"+strconv.Itoa(freshettest.Port(t)), `"subject":"a"`), freshettest.Env(t), to)
	if f := await(t, to, freshet.FaultConnection); !strings.Contains(f.Message, "refused") {
		t.Error(f)
	}
	to = &freshettest.Sink{}
	freshettest.Run(t, nats.Kind(), config("no-such-host.invalid", `"subject":"a"`), freshettest.Env(t), to)
	await(t, to, freshet.FaultHost)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	address := start(t, nil)
	for _, conf := range []string{
		config(silent.Addr().String(), `"subject":"a"`), config(address, `"subject":"a"`),
		config(address, `"stream":"S"`),
	} {
		stop := freshettest.Run(t, nats.Kind(), conf, freshettest.Env(t), &freshettest.Sink{})
		time.Sleep(200 * time.Millisecond) // amid the connection, or after it
		began := time.Now()
		if stop(); time.Since(began) > time.Second {
			t.Errorf("%s: stopped after %v", conf, time.Since(began))
		}
	}
}

func TestMistakes(t *testing.T) {
	for config, pointer := range map[string]string{
		`{"subject":"a"}`:                                                    "/servers",
		`{"servers":"http://x","subject":"a"}`:                               "/servers",
		`{"servers":"x:0","subject":"a"}`:                                    "/servers",
		`{"servers":"x,","subject":"a"}`:                                     "/servers",
		`{"servers":"nats://u:p@x","subject":"a"}`:                           "/servers",
		`{"servers":"x/path","subject":"a"}`:                                 "/servers",
		`{"servers":"x"}`:                                                    "/subject",
		`{"servers":"x","subject":"a..b"}`:                                   "/subject",
		`{"servers":"x","subject":"a b"}`:                                    "/subject",
		`{"servers":"x","subject":"a.>.b"}`:                                  "/subject",
		`{"servers":"x","stream":"a.b"}`:                                     "/stream",
		`{"servers":"x","stream":"a","queueGroup":"g"}`:                      "/queueGroup",
		`{"servers":"x","subject":"a","queueGroup":"g g"}`:                   "/queueGroup",
		`{"servers":"x","subject":"a","durable":"d"}`:                        "/durable",
		`{"servers":"x","stream":"a","durable":"d*"}`:                        "/durable",
		`{"servers":"x","subject":"a","domain":"d"}`:                         "/domain",
		`{"servers":"x","subject":"a","deliver":"all"}`:                      "/deliver",
		`{"servers":"x","stream":"a","deliver":"some"}`:                      "/deliver",
		`{"servers":"x","subject":"a","inboxPrefix":"a.*"}`:                  "/inboxPrefix",
		`{"servers":"x","subject":"a","password":"p"}`:                       "/user",
		`{"servers":"x","subject":"a","user":"u","token":"t"}`:               "/token",
		`{"servers":"x","subject":"a","nkey":"secret:u","creds":"secret:t"}`: "/creds",
		`{"servers":"x","subject":"a","token":"u","nkey":"secret:t"}`:        "/nkey",
		`{"servers":"x","subject":"a","nkey":"SUs3cret"}`:                    "/nkey",
		`{"servers":"x","subject":"a","creds":"s3cret"}`:                     "/creds",
		`{"servers":"x","subject":"a","tls":{"ca":"secret:t"}}`:              "/tls/enabled",
		`{"servers":"tls://x","subject":"a","tls":{"ca":"garbage"}}`:         "/tls/ca",
		`{"servers":"tls://x","subject":"a","tls":{"cert":"c","key":"k"}}`:   "/tls/key",
		`{"servers":"x","subject":"a","tlsFirst":true}`:                      "/tls/enabled",
		`{"servers":"tls://x","subject":"a","tls":{"cert":"c"}}`:             "/tls/key",
		`{"servers":"x","subject":"a","subjects":["b"]}`:                     "/subjects",
	} {
		if wrong := nats.Kind().Check(json.RawMessage(config)); len(wrong) != 1 || wrong[0].Pointer != pointer {
			t.Errorf("%s: %v, want one at %s", config, wrong, pointer)
		}
	}
}

// The real thing: nats-server, killed amid a stream, while it is written to and while the source is restarted.
// No message is lost, and none comes twice.
func TestServerThatIsKilled(t *testing.T) {
	t.Parallel()
	process := brokers.StartNATS(t)
	address := process.Address
	_, js := brokers.DialNATS(t, address, client.MaxReconnects(-1), client.ReconnectWait(100*time.Millisecond))
	var s jetstream.Stream
	freshettest.WaitFor(t, 20*time.Second, "a stream", func() bool {
		var err error
		s, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"a", "b"}, Duplicates: 10 * time.Minute})
		return err == nil
	})
	if _, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, FilterSubject: "a"}); err != nil {
		t.Fatal(err)
	}
	conf := config(address, `"stream":"S","subject":"a","deliver":"all"`)
	withConsumer := config(address, `"stream":"S","durable":"d"`)
	to, durable := &freshettest.Sink{}, &freshettest.Sink{}
	stop := freshettest.Run(t, nats.Kind(), conf, freshettest.Env(t), to)
	stopDurable := freshettest.Run(t, nats.Kind(), withConsumer, freshettest.Env(t), durable)

	down := 5 * time.Second
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		down = 30 * time.Second
	}
	const all = 3000
	published := make(chan int, all)
	go func() {
		defer close(published)
		for i := range all {
			for _, subject := range []string{"a", "b"} {
				send := func() error {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_, err := js.Publish(ctx, subject, []byte(strconv.Itoa(i)), jetstream.WithMsgID(subject+strconv.Itoa(i)))
					return err
				}
				for send() != nil {
					if t.Context().Err() != nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			}
			published <- i
		}
	}()
	for i := range published {
		switch i {
		case 1000:
			process.Kill()
			time.Sleep(down / 2)
			stop()
			stopDurable()
			stop = freshettest.Run(t, nats.Kind(), conf, freshettest.Env(t), to)
			stopDurable = freshettest.Run(t, nats.Kind(), withConsumer, freshettest.Env(t), durable)
			time.Sleep(down / 2)
			process.Restart()
		case 1500:
			process.Kill()
			process.Restart()
		case 2000:
			stop()
			stopDurable()
			stop = freshettest.Run(t, nats.Kind(), conf, freshettest.Env(t), to)
			stopDurable = freshettest.Run(t, nats.Kind(), withConsumer, freshettest.Env(t), durable)
		}
	}
	to.Await(t, numbers(0, all)...)
	freshettest.WaitFor(t, time.Minute, "all by the durable consumer", func() bool { return len(durable.Payloads()) >= all })
	time.Sleep(3 * time.Second) // longer than its acknowledgement time: what it would repeat comes
	got := durable.Payloads()
	slices.SortFunc(got, func(a, b string) int { return (len(a)-len(b))*100_000 + strings.Compare(a, b) })
	if !slices.Equal(got, numbers(0, all)) {
		t.Errorf("%d messages by the durable consumer: some are missing, or repeated", len(got))
	}
	stop()
	stopDurable()
}

// counted counts the writes that the journal would make.
type counted struct {
	*freshettest.Sink
	writes, most atomic.Int64
}

func (c *counted) Payload(ctx context.Context, ps ...source.Payload) error {
	time.Sleep(time.Millisecond)
	c.writes.Add(1)
	c.most.Store(max(c.most.Load(), int64(len(ps))))
	return c.Sink.Payload(ctx, ps...)
}

// What is there together is written together.
func TestBatches(t *testing.T) {
	t.Parallel()
	address := start(t, nil)
	nc, js := brokers.DialNATS(t, address)
	brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	for _, options := range []string{`"subject":"a"`, `"stream":"S","deliver":"all"`, `"stream":"S","deliver":"all","durable":"d"`} {
		to := &counted{Sink: &freshettest.Sink{}}
		stop := freshettest.Run(t, nats.Kind(), config(address, options), freshettest.Env(t), to)
		connected(t, to.Sink, 1)
		for i := range 2000 {
			if options == `"subject":"a"` {
				_ = nc.Publish("a", []byte(strconv.Itoa(i)))
				_ = nc.Publish("s", []byte(strconv.Itoa(i)))
			}
		}
		to.Await(t, numbers(0, 2000)...)
		if writes, most := to.writes.Load(), to.most.Load(); writes > 300 || most < 50 || most > source.BatchPayloads {
			t.Errorf("%s: %d writes, the largest of %d payloads", options, writes, most)
		}
		stop()
	}
}

// A source that ends leaves nothing behind.
func TestNothingIsLeft(t *testing.T) {
	address := start(t, nil)
	_, js := brokers.DialNATS(t, address)
	brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	run := func() {
		for _, options := range []string{`"subject":"a"`, `"stream":"S","deliver":"all"`, `"stream":"S","deliver":"all","durable":"d"`} {
			to := &freshettest.Sink{}
			stop := freshettest.Run(t, nats.Kind(), config(address, options), freshettest.Env(t), to)
			connected(t, to, 1)
			stop()
		}
	}
	clients := func() int { // the server, which is in this process too, keeps goroutines for consumers until they go
		stacks := make([]byte, 8<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		n := 0
		for stack := range strings.SplitSeq(string(stacks), "\n\n") {
			if strings.Contains(stack, "nats-io/nats.go") || strings.Contains(stack, "freshet/internal/flow/source") {
				n++
			}
		}
		return n
	}
	run()
	time.Sleep(time.Second)
	before := clients()
	for range 10 {
		run()
	}
	freshettest.WaitFor(t, 10*time.Second, "no goroutine more than before", func() bool { return clients() <= before })
}
