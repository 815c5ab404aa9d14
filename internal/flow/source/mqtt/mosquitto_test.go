package mqtt_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/mqtt"
	"freshet/internal/freshettest"
	"freshet/internal/freshettest/brokers"
)

// A broker is a real Mosquitto, which keeps its sessions on disk.
type broker struct{ *brokers.Mosquitto }

func start(t *testing.T, options ...string) *broker {
	t.Helper()
	return &broker{brokers.StartMosquitto(t, options...)}
}

func (b *broker) config(options string) string {
	return fmt.Sprintf(`{"url":"mqtt://%s"%s}`, b.Address, options)
}

// A publisher publishes one message after the other, each until the server has it and, with quality 2, once:
// its session is kept, and what is not confirmed is sent again as the protocol says.
type publisher struct {
	t        *testing.T
	address  string
	name     string
	user     string
	conn     net.Conn
	in       *bufio.Reader
	identity uint16
}

func publish(t *testing.T, address string) *publisher {
	p := &publisher{t: t, address: address, name: "publisher" + fmt.Sprint(names.Add(1))}
	t.Cleanup(p.cut)
	return p
}

var names atomic.Int64

func (p *publisher) cut() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

func (p *publisher) connect() error {
	if p.conn != nil {
		return nil
	}
	conn, err := net.DialTimeout("tcp", p.address, time.Second)
	if err != nil {
		return err
	}
	p.conn, p.in = conn, bufio.NewReader(conn)
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	hour := uint32(3600)
	hello := &packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: p.name, Properties: &packets.Properties{SessionExpiryInterval: &hour}}
	if p.user != "" {
		hello.UsernameFlag, hello.Username, hello.PasswordFlag, hello.Password = true, p.user, true, []byte("s3cret")
	}
	_, err = hello.WriteTo(conn)
	return p.answered(err, packets.CONNACK)
}

func (p *publisher) answered(err error, kind byte) error {
	if err == nil {
		var got *packets.ControlPacket
		if got, err = packets.ReadPacket(p.in); err == nil && got.Type != kind {
			err = fmt.Errorf("got %v", got)
		}
	}
	if err != nil {
		p.cut()
	}
	return err
}

// send publishes one message and returns once the server has it.
func (p *publisher) send(topic string, qos byte, retain bool, data string) {
	p.t.Helper()
	p.identity++
	received, duplicate := false, false
	freshettest.WaitFor(p.t, time.Minute, "a message is taken", func() bool {
		if p.connect() != nil {
			return false
		}
		if !received {
			m := &packets.Publish{Topic: topic, QoS: qos, Retain: retain, Payload: []byte(data), PacketID: p.identity, Duplicate: duplicate, Properties: &packets.Properties{}}
			duplicate = qos > 0
			_, err := m.WriteTo(p.conn)
			if qos == 0 || err == nil && qos == 1 {
				return err == nil && (qos == 0 || p.answered(nil, packets.PUBACK) == nil)
			}
			if p.answered(err, packets.PUBREC) != nil {
				return false
			}
			received = true
		}
		_, err := (&packets.Pubrel{PacketID: p.identity, Properties: &packets.Properties{}}).WriteTo(p.conn)
		return p.answered(err, packets.PUBCOMP) == nil
	})
}

func connected(t *testing.T, sink *freshettest.Sink, times int) {
	t.Helper()
	freshettest.WaitFor(t, 30*time.Second, "the source is connected", func() bool { return sink.Fine() >= times })
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf(`{"n":%d}`, i))
	}
	return all
}

// Nothing is lost when the server is killed while messages are under way, nor while the source is stopped;
// with quality 2 nothing is repeated.
func TestNothingLost(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
			t.Parallel()
			b := start(t)
			var gate atomic.Pointer[chan struct{}]
			sink := &freshettest.Sink{Refuse: func(source.Payload) error {
				if g := gate.Load(); g != nil {
					<-*g
				}
				return nil
			}}
			env := freshettest.Env(t)
			config := b.config(fmt.Sprintf(`,"topics":[{"filter":"plant/+/out","qos":%d}]`, qos))
			stop := freshettest.Run(t, mqtt.Kind(), config, env, sink)
			connected(t, sink, 1)
			p := publish(t, b.Address)
			sent := 0
			next := func(n int) {
				t.Helper()
				for _, data := range numbers(sent, sent+n) {
					p.send("plant/7/out", qos, false, data)
				}
				sent += n
			}
			complete := func() {
				t.Helper()
				if qos == 2 {
					sink.Await(t, numbers(0, sent)...)
					return
				}
				freshettest.WaitFor(t, time.Minute, "all messages are there", func() bool {
					got := sink.Payloads()
					for _, data := range numbers(0, sent) {
						if !slices.Contains(got, data) {
							return false
						}
					}
					return true
				})
			}
			next(200)
			complete()

			// While the journal does not take what came, the server goes.
			closed := make(chan struct{})
			gate.Store(&closed)
			next(60)
			freshettest.WaitFor(t, 10*time.Second, "the server has saved", saved())
			b.Kill()
			gate.Store(nil)
			close(closed)
			time.Sleep(brokers.Away()) //nolint:forbidigo // the server is away for so long
			p.cut()
			b.Restart()
			next(40)
			complete()
			if f := sink.Faults(); len(f) == 0 || f[0].Code != freshet.FaultConnection {
				t.Errorf("faults: %v", f)
			}

			// What comes while the source is stopped is there when it is started.
			stop()
			next(40)
			stop = freshettest.Run(t, mqtt.Kind(), config, env, sink)
			next(10)
			complete()
			stop()
			for _, f := range sink.Faults() {
				if f.Code != freshet.FaultConnection {
					t.Errorf("fault: %v", f)
				}
			}
		})
	}
}

// saved is so after a moment: the server saves after the answer.
func saved() func() bool {
	begun := time.Now()
	return func() bool { return time.Since(begun) > 300*time.Millisecond }
}

func TestOptions(t *testing.T) {
	t.Parallel()
	b := start(t)
	env := freshettest.Env(t)
	env.Limit = 1000
	p := publish(t, b.Address)
	p.send("state/a", 1, true, `"kept"`)
	run := func(id freshet.TopicID, options string) (*freshettest.Sink, func()) {
		t.Helper()
		sink, env := &freshettest.Sink{}, env
		env.ID = id
		stop := freshettest.Run(t, mqtt.Kind(), b.config(options), env, sink)
		connected(t, sink, 1)
		return sink, stop
	}

	// What is retained comes once for each session, each time, or never.
	for retained, want := range map[string][2][]string{
		"new":    {{`"kept"`}, {`"kept"`}},
		"always": {{`"kept"`}, {`"kept"`, `"kept"`}},
		"never":  {nil, nil},
	} {
		options := fmt.Sprintf(`,"topics":[{"filter":"state/#"}],"retained":%q`, retained)
		sink, stop := run(freshet.TopicID("t"+retained), options)
		p.send("state/b", 1, false, `1`)
		sink.Await(t, append(want[0], `1`)...)
		stop()
		again, stop := run(freshet.TopicID("t"+retained), options)
		p.send("state/b", 1, false, `2`)
		sink.Await(t, append(want[0], `1`)...)
		again.Await(t, append(want[1][len(want[0]):], `2`)...)
		if retained == "new" { // another list of topics is another session
			stop()
			again, stop = run("tnew", `,"topics":[{"filter":"state/#","qos":2}]`)
			again.Await(t, `"kept"`)
		}
		stop()
	}

	// Each filter has its quality: what is published while nobody is there comes with 1 and 2, not with 0.
	options := `,"clientId":"mine","topics":[{"filter":"q/0","qos":0},{"filter":"q/1"},{"filter":"q/2","qos":2}]`
	_, stop := run("q", options)
	stop()
	for i := range 3 {
		p.send(fmt.Sprint("q/", i), 2, false, fmt.Sprint(i))
	}
	sink, stop := run("other", options) // the session has its name of the configuration
	sink.Await(t, `1`, `2`)

	// A session that is not kept gathers nothing.
	options = `,"topics":[{"filter":"e"}],"sessionExpiry":"PT0S"`
	_, stop2 := run("e", options)
	stop2()
	p.send("e", 1, false, `1`)
	sink2, _ := run("e", options)
	p.send("e", 1, false, `2`)
	sink2.Await(t, `2`)
	if f := sink2.Faults(); len(f) != 0 {
		t.Errorf("faults: %v", f)
	}

	// Who shares gets a part; both together get all.
	one, _ := run("s1", `,"topics":[{"filter":"$share/g/s/#"}]`)
	two, _ := run("s2", `,"topics":[{"filter":"$share/g/s/#"}]`)
	for i := range 20 {
		p.send("s/x", 1, false, fmt.Sprint(i))
	}
	freshettest.WaitFor(t, 20*time.Second, "both together have all", func() bool {
		return len(one.Payloads())+len(two.Payloads()) == 20 && len(one.Payloads()) > 0 && len(two.Payloads()) > 0
	})

	// What is wrong with a message is told, and the next is taken.
	poison, _ := run("p", `,"topics":[{"filter":"p","qos":2}]`)
	for _, data := range []string{`1`, `no JSON`, `"` + strings.Repeat("x", 1200) + `"`, ``, `"` + strings.Repeat("x", 200_000) + `"`, `2`} {
		p.send("p", 2, false, data)
	}
	poison.Await(t, `1`, `2`)
	var codes []int
	for _, f := range poison.Faults() {
		codes = append(codes, f.Code)
	}
	if got := fmt.Sprint(codes); got != "[70016 70015]" {
		t.Errorf("faults %s: %v", got, poison.Faults())
	}

	// Another client of the same name ends the connection. This server gives no reason.
	usurper := publish(t, b.Address)
	usurper.name = "mine"
	if err := usurper.connect(); err != nil {
		t.Fatal(err)
	}
	freshettest.WaitFor(t, 20*time.Second, "a fault is told", func() bool { return len(sink.Faults()) > 0 })
	if f := sink.Faults()[0]; f.Code != freshet.FaultConnection || !strings.Contains(f.Message, "the server closed the connection") {
		t.Errorf("fault: %v", f)
	}
	stop()
}

// Who may not connect or subscribe is told so, without a word of the password.
func TestAccess(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	passwords, rules := filepath.Join(folder, "passwords"), filepath.Join(folder, "rules")
	tool := freshettest.Program(t, "apt-get install mosquitto", "mosquitto_passwd")
	if out, err := exec.Command(tool, "-b", "-c", passwords, "ann", "s3cret").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(rules, []byte("user ann\ntopic readwrite a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, "allow_anonymous false", "password_file "+passwords, "acl_file "+rules)
	p := publish(t, b.Address)
	p.user = "ann"
	p.send("a", 1, true, `1`)
	env := freshettest.Env(t)
	for _, tt := range []struct {
		options string
		code    int
	}{
		{`,"username":"ann","password":"s3cret"`, 0},
		{``, 70401},
		{`,"username":"ann","password":"wrong-s3cret"`, 70401},
		{`,"username":"bob","password":"s3cret"`, 70401},
		{`,"username":"ann","password":"file:/etc/passwd"`, freshet.FaultConfig},
	} {
		sink := &freshettest.Sink{}
		stop := freshettest.Run(t, mqtt.Kind(), b.config(`,"topics":[{"filter":"a"}]`+tt.options), env, sink)
		if tt.code == 0 {
			sink.Await(t, `1`)
		} else {
			freshettest.WaitFor(t, 20*time.Second, "a fault is told", func() bool { return len(sink.Faults()) > 0 })
			if f := sink.Faults()[0]; f.Code != tt.code || strings.Contains(f.Message, "s3cret") {
				t.Errorf("%s: %v, want %d", tt.options, f, tt.code)
			}
		}
		stop()
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	folder, cert, key, _ := freshettest.Certificate(t)
	secured := freshettest.Port(t)
	b := start(t, fmt.Sprintf("listener %d 127.0.0.1", secured), "certfile "+cert, "keyfile "+key, "cafile "+cert, "require_certificate true")
	publish(t, b.Address).send("a", 1, true, `1`)
	env := freshettest.Env(t)
	env.Secrets.Files = []string{folder}
	config := func(tls string) string {
		return fmt.Sprintf(`{"url":"mqtts://localhost:%d","topics":[{"filter":"a"}]%s}`, secured, tls)
	}
	sink := &freshettest.Sink{}
	freshettest.Run(t, mqtt.Kind(), config(fmt.Sprintf(`,"tls":{"ca":"file:%s","cert":"file:%s","key":"file:%s"}`, cert, cert, key)), env, sink)
	sink.Await(t, `1`)
	for options, want := range map[string]string{
		``: "certificate is not trusted",
		fmt.Sprintf(`,"tls":{"ca":"file:%s","serverName":"other.example"}`, cert): "not for this host",
		fmt.Sprintf(`,"tls":{"ca":"file:%s"}`, cert):                              "connection",
	} {
		refused := &freshettest.Sink{}
		freshettest.Run(t, mqtt.Kind(), config(options), env, refused)
		freshettest.WaitFor(t, 20*time.Second, "a fault is told", func() bool { return len(refused.Faults()) > 0 })
		if f := refused.Faults()[0]; !strings.Contains(f.Message, want) || len(refused.Payloads()) > 0 {
			t.Errorf("%s: %v", options, f)
		}
	}
}
