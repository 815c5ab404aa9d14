package salesforce_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet/internal/flow/source/salesforce"
	"freshet/internal/freshettest"
)

// An organisation is Faye, with what of Salesforce it does not have.
type organisation struct {
	*freshettest.Process
	url string
}

func startOrganisation(t *testing.T) *organisation {
	t.Helper()
	node, modules := freshettest.NodeModules(t, "faye@1.4.3")
	folder := t.TempDir()
	der, err := x509.MarshalPKIXPublicKey(&key().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(folder, "key.pem")
	if err := os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	port := freshettest.Port(t)
	script, err := filepath.Abs("testdata/organisation.js")
	if err != nil {
		t.Fatal(err)
	}
	o := &organisation{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	o.Process = freshettest.Start(t, fmt.Sprintf("127.0.0.1:%d", port), func() *exec.Cmd {
		cmd := exec.Command(node, script, fmt.Sprint(port), filepath.Join(folder, "events"), public)
		cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
		return cmd
	})
	return o
}

// post sends to the organisation, and returns what it answers; "" where it does not.
func (o *organisation) post(path, body string) string {
	resp, err := http.Post(o.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(bytes.TrimSpace(text))
}

// publish publishes so many events, each until it is confirmed.
func (o *organisation) publish(t *testing.T, n int, every time.Duration, published *published) {
	for i := range n {
		for {
			got := o.post("/publish", fmt.Sprintf(`{"n":%d}`, i))
			if got != "" {
				published.add(got)
				break
			}
			if t.Context().Err() != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(every)
	}
}

// published are events that were confirmed.
type published struct {
	mu  sync.Mutex
	all []string
}

func (p *published) add(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, s)
}

func (p *published) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

// stored are all events that the organisation has.
func (o *organisation) stored(t *testing.T) (all []string) {
	t.Helper()
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(o.post("/stored", "")), &raw); err != nil {
		t.Fatal(err)
	}
	for _, r := range raw {
		all = append(all, string(r))
	}
	return all
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// A real Bayeux server is killed in mid-stream for a while, its tokens are revoked, and the source is started
// anew in between: each event comes, once, in its order.
func TestFaye(t *testing.T) {
	t.Parallel()
	o := startOrganisation(t)
	away := 3 * time.Second
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		away = 30 * time.Second
	}
	to := &freshettest.Sink{}
	config := strings.NewReplacer("URL", o.url).Replace(`{"loginUrl":"URL","instanceUrl":"URL","clientId":"the-app","username":"u","channel":"/event/News__e","retryBackOffMaxDuration":"PT1S","replayFrom":"earliest","privateKey":`) + quoted(keyPEM()) + `}`
	stop := freshettest.Run(t, salesforce.Kind(), config, freshettest.Env(t), to)
	all := &published{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.publish(t, 400, 10*time.Millisecond, all)
	}()
	some := func(n int) {
		t.Helper()
		freshettest.WaitFor(t, time.Minute, fmt.Sprint(n, " events"), func() bool { return len(to.Payloads()) >= n })
	}
	some(50)
	o.post("/revoke", "")
	some(100)
	stop()
	stop = freshettest.Run(t, salesforce.Kind(), config, freshettest.Env(t), to)
	some(150)
	o.Kill()
	time.Sleep(away / 2)
	stop() // while there is nobody
	freshettest.Run(t, salesforce.Kind(), config, freshettest.Env(t), to)
	time.Sleep(away / 2)
	o.Restart()
	<-done
	// What was stored but not confirmed when the server was killed was published again: the organisation says
	// what there is.
	stored := o.stored(t)
	to.Await(t, stored...)
	if n := len(all.list()); len(stored) < n || n != 400 {
		t.Errorf("%d events were confirmed, %d are there", n, len(stored))
	}
}
