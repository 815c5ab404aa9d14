package kafka_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"freshet"
	"freshet/internal/flow/source/kafka"
	"freshet/internal/freshettest"
	"freshet/internal/settings"
)

func TestSASL(t *testing.T) {
	t.Parallel()
	read := func(kind kmsg.ACLResourceType, name string) kfake.ACL {
		return kfake.ACL{Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationRead, Allow: true}
	}
	topic, group := read(kmsg.ACLResourceTypeTopic, "prices"), read(kmsg.ACLResourceTypeGroup, "topicid")
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "prices"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "root", "root"),
		kfake.User("PLAIN", "p", "pass,word=1", topic, group), kfake.User("SCRAM-SHA-256", "s256", "swordfish", topic, group), kfake.User("SCRAM-SHA-512", "s512", "swordfish", topic, group),
		kfake.User("PLAIN", "nogroup", "swordfish", topic), kfake.User("PLAIN", "notopic", "swordfish", group))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := connect(t, strings.Join(k.ListenAddrs(), ","), kgo.SASL(plain.Auth{User: "root", Pass: "root"}.AsMechanism()))
	c.write("1")
	for _, tt := range []struct {
		mechanism, user, password string
		code                      int
		words                     string
	}{
		{"PLAIN", "p", "pass,word=1", 0, ""},
		{"PLAIN", "p", "env:FRESHET_TEST_KAFKA", 0, ""},
		{"SCRAM-SHA-256", "s256", "swordfish", 0, ""},
		{"SCRAM-SHA-512", "s512", "swordfish", 0, ""},
		{"PLAIN", "p", "env:PATH", freshet.FaultConfig, "sasl.password: the environment variable"},
		{"PLAIN", "nogroup", "swordfish", freshet.FaultHTTP + 403, "may not use the consumer group topicid"},
		{"PLAIN", "notopic", "swordfish", freshet.FaultHTTP + 403, "may not read the topic prices"},
	} {
		t.Run(tt.mechanism+" "+tt.user+" "+tt.password, func(t *testing.T) {
			env := freshettest.Env(t)
			env.Secrets = settings.Vault{Env: []string{"FRESHET_TEST_*"}}
			to := &freshettest.Sink{}
			freshettest.Run(t, kafka.Kind(), c.config(fmt.Sprintf(`,"readFrom":"earliest","sasl":{"mechanism":%q,"username":%q,"password":%q}`, tt.mechanism, tt.user, tt.password)), env, to)
			if tt.code != 0 {
				awaitFault(t, to, tt.code, tt.words)
				return
			}
			to.Await(t, "1")
			c.commit("topicid", 0)
		})
	}
}

func TestMain(m *testing.M) {
	_ = os.Setenv("FRESHET_TEST_KAFKA", "pass,word=1")
	os.Exit(m.Run())
}

// TestOAuth gets its token from a server of tokens, again when it is about to expire.
func TestOAuth(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		switch {
		case id == "odd":
			http.Error(w, "swordfish", http.StatusBadGateway)
		case id == "moved":
			http.Redirect(w, r, "http://127.0.0.1:9/", http.StatusTemporaryRedirect)
		case id != "client" || secret != "swordfish" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "read write":
			http.Error(w, `{"error":"invalid_client","error_description":"not swordfish"}`, http.StatusUnauthorized)
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":"token%d","token_type":"Bearer","expires_in":20}`, asked.Add(1))
		}
	}))
	t.Cleanup(server.Close)
	c, k := fake(t, 1)
	var mu sync.Mutex
	var shown []string
	k.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		resp := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
		resp.SupportedMechanisms = []string{r.(*kmsg.SASLHandshakeRequest).Mechanism}
		return resp, nil, true
	})
	k.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		shown = append(shown, string(r.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes))
		resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if strings.Contains(shown[len(shown)-1], "refused") {
			resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		}
		return resp, nil, true
	})
	last := func() string {
		mu.Lock()
		defer mu.Unlock()
		return shown[len(shown)-1]
	}
	c.write("1")
	oauth := func(id, more string) string {
		return fmt.Sprintf(`,"readFrom":"earliest","sasl":{"mechanism":"OAUTHBEARER","tokenUrl":%q,"clientId":%q,"clientSecret":"swordfish"%s}`, server.URL, id, more)
	}
	to := &freshettest.Sink{}
	stop := c.run(oauth("client", `,"scope":"read write","extensions":{"logicalCluster":"lkc-1"}`), to)
	to.Await(t, "1")
	stop()
	if got, want := last(), "n,,\x01auth=Bearer token"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\x01logicalCluster=lkc-1\x01\x01") {
		t.Errorf("shown to the broker: %q", got)
	}
	if asked.Load() < 2 { // it lives for 20 s, and there is more than one connection
		t.Errorf("tokens got: %d", asked.Load())
	}

	to = &freshettest.Sink{}
	stop = c.run(`,"readFrom":"earliest","sasl":{"mechanism":"OAUTHBEARER","token":"plain:given"}`, to)
	stop()
	if got := last(); got != "n,,\x01auth=Bearer given\x01\x01" {
		t.Errorf("shown to the broker: %q", got)
	}
	for _, tt := range []struct {
		config string
		code   int
		words  string
	}{
		{oauth("client", ``), freshet.FaultHTTP + 401, "tokenUrl gave no token (401)"},
		{oauth("odd", ``), freshet.FaultConnection, "tokenUrl answered 502"},
		{oauth("moved", ``), freshet.FaultConnection, "tokenUrl answered 307"},
		{strings.Replace(oauth("client", ``), server.URL, fmt.Sprintf("http://127.0.0.1:%d", freshettest.Port(t)), 1), freshet.FaultConnection, "no token from tokenUrl: upstream refused"},
		{strings.Replace(oauth("client", ``), server.URL, "http://10.1.2.3", 1), freshet.FaultConfig, "10.1.2.3"},
		{`,"sasl":{"mechanism":"OAUTHBEARER","token":"refused"}`, freshet.FaultHTTP + 401, "do not take the credentials"},
	} {
		to := &freshettest.Sink{}
		stop := freshettest.Run(t, kafka.Kind(), c.config(tt.config), freshettest.Env(t), to)
		awaitFault(t, to, tt.code, tt.words)
		stop()
		if all := fmt.Sprint(to.Faults()); strings.Contains(all, "swordfish") {
			t.Errorf("%s: %s", tt.config, all)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	folder, cert, key, pair := freshettest.Certificate(t)
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "prices"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pair.Roots}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := connect(t, strings.Join(k.ListenAddrs(), ","), kgo.DialTLSConfig(&tls.Config{RootCAs: pair.Roots, Certificates: []tls.Certificate{own}}))
	c.write("1")
	env := freshettest.Env(t)
	env.Secrets = settings.Vault{Files: []string{folder}}
	for _, tt := range []struct {
		name, tls string
		code      int
		words     string
	}{
		{"mutual", fmt.Sprintf(`{"enabled":true,"ca":"file:%s","cert":"file:%s","key":"file:%s"}`, cert, cert, key), 0, ""},
		{"by another name", fmt.Sprintf(`{"enabled":true,"ca":"file:%s","cert":"file:%s","key":"file:%s","serverName":"localhost"}`, cert, cert, key), 0, ""},
		{"by a wrong name", fmt.Sprintf(`{"enabled":true,"ca":"file:%s","cert":"file:%s","key":"file:%s","serverName":"a.example"}`, cert, cert, key), freshet.FaultConnection, "not trusted or not for this host"},
		{"not trusted", fmt.Sprintf(`{"enabled":true,"cert":"file:%s","key":"file:%s"}`, cert, key), freshet.FaultConnection, "not trusted"},
		{"without a certificate", fmt.Sprintf(`{"enabled":true,"ca":"file:%s"}`, cert), freshet.FaultConnection, ""},
		{"no such file", `{"enabled":true,"ca":"file:/nowhere/ca.pem"}`, freshet.FaultConfig, "tls.ca"},
		{"in plain", `{}`, freshet.FaultConnection, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := &freshettest.Sink{}
			freshettest.Run(t, kafka.Kind(), c.config(`,"readFrom":"earliest","tls":`+tt.tls), env, to)
			if tt.code != 0 {
				awaitFault(t, to, tt.code, tt.words)
				return
			}
			to.Await(t, "1")
			c.commit("topicid", 0)
		})
	}
}
